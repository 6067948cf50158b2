"""An audit solves package auctions again: what a leader said of its winners is true, or it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from exchange.adapters import bus
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.journal import Journal, create_stream
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon import Host
from exchange.daemon.determiner import command_of, open_problems
from exchange.daemon.verify import audit_journal
from exchange.engine.genesis import genesis_batch
from exchange.messages.admin import RegisterAgent, RevokeAgent, Settings
from exchange.messages.base import VENUE_AGENT, Command
from exchange.messages.packages import (
    Alternative,
    BidOnPackages,
    DeterminePackages,
    OpenPackages,
    PackageItem,
    PackageWinner,
)
from exchange.solver import Answer, SolverMissing, determine
from exchange.testing import OPERATOR
from exchange.testing.venue import encode_command
from tests.cli.program import run
from tests.cli.test_verify import Records

if TYPE_CHECKING:
    from pathlib import Path

CREDIT: Final = 10**6
SECOND_US: Final = 10**6
START_US: Final = 1_795_000_000_000_000


class House:
    """Write the journal of a venue with one auction of four items, for each of which 20 are paid at most."""

    def __init__(self, bids: dict[str, tuple[str, int]]) -> None:
        self.host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
        self.bodies: list[bytes] = []
        self.time_us = START_US
        self._count = 0
        genesis = genesis_batch(OPERATOR, START_US, settings=Settings(min_auction_seconds=1))
        self._apply(genesis.submissions)
        for name in ("poster", *bids):
            self.give(OPERATOR, RegisterAgent, agent=name, owner=name)
        items = [PackageItem(name=item, reserve=20 * CREDIT) for item in "abcd"]
        self.closes_at_us = self.time_us + 10 * SECOND_US
        self.give(
            "poster", OpenPackages, title="modules", items=items, closes_at_us=self.closes_at_us,
            deliver_by_us=self.time_us + 3_600 * SECOND_US,
        )  # fmt: skip
        for name, (wanted, price) in bids.items():
            alternative = Alternative(items=list(wanted), price=price * CREDIT)
            self.give(name, BidOnPackages, auction=1, alternatives=[alternative])

    def give(self, who: str, kind: type[Command], **fields: Any) -> None:
        """Write a record with one command."""
        self._count += 1
        self.say((who, kind(id=f"test.{self._count}", valid_until_us=self.time_us + SECOND_US, **fields)))

    def say(self, *commands: tuple[str, Command]) -> None:
        """Write a record with commands."""
        self.time_us += 1
        self._apply([(agent, command, encode_command(command)) for agent, command in commands])

    def _apply(self, submissions: Any) -> None:
        step = self.host.apply(submissions, [], self.time_us, 0)
        self.host.release(step)
        self.bodies.append(step.body)

    def close(self) -> None:
        """Let the bids be closed."""
        self.time_us = self.closes_at_us
        self.say()

    def answer(self) -> Answer:
        """Return what an honest solver says."""
        return determine(open_problems(self.host.engine)[0])

    def command(self, answer: Answer) -> tuple[str, Command]:
        """Return an answer as the venue gives it."""
        self._count += 1
        return VENUE_AGENT, command_of(answer, self._count, self.time_us + SECOND_US)

    @property
    def index(self) -> int:
        """The number of the last record."""
        return len(self.bodies)

    @property
    def state(self) -> str:
        """The state of the auction, as far as it has ended."""
        return self.host.engine.mechanisms["packages"].ended[1].state  # type: ignore[attr-defined,no-any-return]


BIDS: Final = {"ann": ("ab", 20), "ben": ("bc", 19), "cid": ("cd", 20)}
"""The greedy choice is Ben's alone, with a surplus of 21; Ann and Cid together have 40."""
LIE: Final = [(2, 0, 19 * CREDIT)]


async def test_good_answers_are_confirmed() -> None:
    """Winners and payments are found again."""
    house = House(BIDS)
    house.close()
    house.say(house.command(house.answer()))
    assert house.state == "awarded"
    audit = await audit_journal(Records(house.bodies))
    counts = audit.determinations
    assert audit.problems == []
    assert (counts.found, counts.claimed_optimal, counts.confirmed, counts.payments_confirmed) == (1, 1, 1, 1)
    assert (counts.refuted, counts.unsolved, counts.payments_refuted, counts.solver) == (0, 0, 0, "used")


@pytest.mark.parametrize("pricing", ["vcg", "pay_as_bid"])
async def test_a_leader_that_lied_is_caught(pricing: str) -> None:
    """Its winners keep all rules, and are as good as the greedy choice; but better ones exist."""
    house = House(BIDS)
    house.close()
    house.say(house.command(Answer(1, 1, pricing, optimal=True, winners=LIE)))
    assert house.state == "awarded"
    house.say()
    audit = await audit_journal(Records(house.bodies))
    assert [(problem.index, problem.kind) for problem in audit.problems] == [(house.index - 1, "winners")]
    assert f"auction 1 was awarded as the best that is possible, with a surplus of {21 * CREDIT}" in (
        audit.problems[0].text
    )
    assert f"there is one of {40 * CREDIT}" in audit.problems[0].text
    assert (audit.records, audit.determinations.refuted) == (house.index, 1)
    # Who does not want to know is not told.
    believed = await audit_journal(Records(house.bodies), solve=False)
    assert (believed.problems, believed.determinations.solver) == ([], "skipped")


async def test_a_claim_of_vcg_is_one_that_nothing_is_better() -> None:
    """It rests on the best winners; so it is looked at even if the answer does not call itself the best."""
    house = House(BIDS)
    house.close()
    house.say(house.command(Answer(1, 1, "vcg", optimal=False, winners=LIE)))
    audit = await audit_journal(Records(house.bodies))
    assert [problem.kind for problem in audit.problems] == ["winners"]


async def test_wrong_payments_are_told() -> None:
    """The winners are the best ones, but one is paid what VCG does not ask."""
    house = House(BIDS)
    house.close()
    honest = house.answer()
    winners = [(bid, place, payment + 1) for bid, place, payment in honest.winners[:1]] + honest.winners[1:]
    house.say(house.command(honest._replace(winners=winners)))
    assert house.state == "awarded"
    audit = await audit_journal(Records(house.bodies))
    right, wrong = honest.winners[0][2], winners[0][2]
    assert [problem.text for problem in audit.problems] == [
        f"auction 1: VCG asks for a payment of {right} for the bid of ann, not {wrong}"
    ]
    assert (audit.determinations.confirmed, audit.determinations.payments_refuted) == (1, 1)


async def test_what_was_not_called_the_best_is_not_judged() -> None:
    """A solver that ran out of time says so; and the simple rule needs no solver."""
    house = House(BIDS)
    house.close()
    house.say(house.command(Answer(1, 1, "pay_as_bid", optimal=False, winners=LIE)))
    audit = await audit_journal(Records(house.bodies))
    assert (audit.problems, audit.determinations.found, audit.determinations.claimed_optimal) == ([], 1, 0)
    house = House(BIDS)
    house.close()
    house.time_us += 31 * SECOND_US
    house.say()
    assert house.state == "awarded"
    audit = await audit_journal(Records(house.bodies))
    assert (audit.problems, audit.determinations.found) == ([], 0)


async def test_an_answer_in_the_record_that_closes_the_bids_is_judged_too() -> None:
    """The problem exists only within that record; a lie does not hide there, nor behind a bid that drops out."""
    house = House(BIDS)
    house.time_us = house.closes_at_us
    house.say(house.command(Answer(1, 1, "pay_as_bid", optimal=True, winners=LIE)))
    assert house.state == "awarded"
    audit = await audit_journal(Records(house.bodies))
    assert [(problem.index, problem.kind) for problem in audit.problems] == [(house.index, "winners")]

    house = House(BIDS | {"dot": ("abcd", 30)})
    house.close()
    revoke = RevokeAgent(id="test.900", valid_until_us=house.time_us + SECOND_US, agent="dot")
    house.say((OPERATOR, revoke), house.command(Answer(1, 2, "pay_as_bid", optimal=True, winners=LIE)))
    assert house.state == "awarded"
    audit = await audit_journal(Records(house.bodies))
    assert [problem.kind for problem in audit.problems] == ["winners"]
    assert f"there is one of {40 * CREDIT}" in audit.problems[0].text


async def test_answers_that_were_refused_count_for_nothing() -> None:
    """Only what was acted upon is judged."""
    house = House(BIDS)
    house.close()
    house.say(house.command(Answer(1, 1, "pay_as_bid", optimal=True, winners=[])))
    house.say(house.command(Answer(1, 7, "pay_as_bid", optimal=True, winners=LIE)))
    stranger = DeterminePackages(
        id="test.901", valid_until_us=house.time_us + SECOND_US, auction=1, revision=1, pricing="pay_as_bid",
        optimal=True, winners=[PackageWinner(bid=2, alternative=0, payment=19 * CREDIT)],
    )  # fmt: skip
    house.say(("ann", stranger), house.command(house.answer()))
    audit = await audit_journal(Records(house.bodies))
    assert (audit.problems, audit.determinations.found, audit.determinations.confirmed) == ([], 1, 1)


async def test_without_time_or_solver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said, and is no failure."""
    house = House(BIDS)
    house.close()
    house.say(house.command(house.answer()))
    with monkeypatch.context() as patch:
        patch.setattr("exchange.daemon.determinations.REVIEW_S", 0.0)
        audit = await audit_journal(Records(house.bodies))
        assert (audit.problems, audit.determinations.unsolved, audit.determinations.solver) == ([], 1, "used")

    with monkeypatch.context() as patch:
        # Time for the winners, but not for what each of them is paid.
        patch.setattr("exchange.solver.reviewing.vcg_payments", lambda *_: None)
        counts = (await audit_journal(Records(house.bodies))).determinations
        assert (counts.confirmed, counts.payments_confirmed, counts.payments_unsolved) == (1, 0, 1)

    def missing() -> None:
        raise SolverMissing

    monkeypatch.setattr("exchange.solver.winners._scipy", missing)
    audit = await audit_journal(Records(house.bodies))
    assert (audit.problems, audit.determinations.unsolved, audit.determinations.solver) == ([], 1, "missing")


async def test_the_command_tells_of_winners(tmp_path: Path) -> None:
    """On the terminal and in JSON; with ``--no-solve`` they are believed."""
    house = House(BIDS)
    house.close()
    house.say(house.command(Answer(1, 1, "pay_as_bid", optimal=True, winners=LIE)))
    data = tmp_path / "venue"
    await _store(data, house)
    done = run("verify", "--data", data)
    assert done.returncode == 1
    assert f"record {house.index}: winners: auction 1 was awarded as the best that is possible" in done.stderr
    assert "1 of them as the best possible: 0 are, 1 ARE NOT" in done.stdout
    facts = json.loads(run("verify", "--data", data, "--json").stdout)
    assert not facts["good"]
    assert (facts["determinations"]["found"], facts["determinations"]["refuted"]) == (1, 1)
    believed = run("verify", "--data", data, "--no-solve")
    assert believed.returncode == 0
    assert "believed, where a leader said that they are the best ones" in believed.stdout


async def _store(data: Path, house: House) -> None:
    files = VenueFiles(data)
    keyring = files.create_keyring()
    server = EmbeddedServer(files.nats, keyring)
    await server.start()
    client = await bus.connect(server.url, keyring.journal_creds_path, "journal")
    await create_stream(client)
    journal = Journal(client)
    await journal.open()
    for index, body in enumerate(house.bodies, 1):
        await journal.append(index, body)
    await client.close()
    await server.stop()
    files.finish_creation()
