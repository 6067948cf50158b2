"""Commands and deadlines that break the engine, in real processes: the venue comes back without them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Self

import pytest

from agent_sdk import Refused, connect
from agent_sdk.errors import MechanismSuspended
from exchange.adapters.poison_file import PoisonFile
from tests.cli.program import run
from tests.daemon.support import wait_until
from tests.faults.record import record
from tests.faults.test_kill import prove_by_journal
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agent_sdk import Agent
    from tests.daemon.support import External

POISONED = "tests.faults.poisoned"
WAIT_S = 30


class Supervisor:
    """Start a daemon again whenever it ends, as systemd does; count how often."""

    def __init__(self, *venues: VenueProcess) -> None:
        self.ends: dict[VenueProcess, list[int]] = {venue: [] for venue in venues}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._watch(venue)) for venue in self.ends]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, venue: VenueProcess) -> None:
        while True:
            process = venue._process
            assert process is not None
            self.ends[venue].append(await process.wait())
            await venue.spawn()

    @property
    def total(self) -> int:
        """How many times a daemon ended."""
        return sum(map(len, self.ends.values()))


@contextlib.asynccontextmanager
async def poisoned_venue(directory: Path) -> AsyncIterator[tuple[VenueProcess, Agent, Agent]]:
    """Run a venue whose engine has bugs, with a market, and alice and an operator on it."""
    venue = VenueProcess(directory / "venue", program=POISONED)
    try:
        await venue.start()
        await set_up(venue)
        async with (
            connect(venue.url, venue.creds("operator"), timeout=WAIT_S) as operator,
            connect(venue.url, venue.creds("alice"), timeout=WAIT_S) as alice,
        ):
            yield venue, operator, alice
    finally:
        await venue.stop()


async def set_up(venue: VenueProcess) -> None:
    """Open a market, and register who poisons it."""
    async with connect(venue.url, venue.creds("operator")) as operator:
        await operator.admin.register_asset("cpu")
        await operator.admin.create_market("cpu", "cpu", tick=1, price_band_bp=0)
        for agent in ("alice", "bob"):
            await operator.admin.register_agent(agent, agent, endowment=10_000)


async def poison(agent: Agent, name: str) -> str:
    """Place a poisonous order and repeat it, as the SDK does, until there is an answer; return the refusal."""
    with pytest.raises(Refused) as refused:
        await agent.buy("cpu", 1, 1, client_order_id=name)
    return str(refused.value)


async def doctor(venue: VenueProcess, *arguments: str) -> Any:
    """Ask the doctor, or tell it to do something."""
    flags = ("--data", venue.files.data, *(arguments or ("--json",)))
    done = await asyncio.to_thread(run, "doctor", *flags)
    if arguments:
        assert done.returncode == 0, done.stderr
        return None
    return json.loads(done.stdout)


async def prove(venue: VenueProcess) -> None:
    """Prove the journal from its first record by a program that has no bugs."""
    await venue.kill()
    told = await prove_by_journal(venue, [])
    assert told is not None


async def test_a_poisonous_command_stops_the_venue_once(tmp_path: Path) -> None:
    """Whoever sent it hears that it is quarantined, everybody else goes on, also over more restarts."""
    async with poisoned_venue(tmp_path) as (venue, operator, alice), Supervisor(venue) as supervisor:
        loop = asyncio.get_running_loop()
        kept = await alice.buy("cpu", 2, 1)
        took_s = []
        for number, name in enumerate(("raise-1", "counterfeit-1"), 1):
            began = loop.time()
            assert "quarantined" in await poison(alice, name)
            took_s.append(loop.time() - began)
            assert supervisor.ends[venue] == [1] * number
        assert [order.id for order in await alice.open_orders()] == [kept.id]
        notes = PoisonFile(venue.files.poison).notes
        assert [(note.kind, note.agent, note.is_certain, note.is_journaled) for note in notes] == [
            ("command", "alice", True, True)
        ] * 2
        assert "planted in the placing of raise-1" in notes[0].error
        assert "credits are not conserved" in notes[1].error
        assert venue.said().count("Nothing of batch") >= 2
        found = await operator.admin.quarantine()
        assert [view.digest for view in found.commands] == [note.digest for note in notes]
        # A third one, and it is no longer this owner's commands that are tried.
        assert "quarantined" in await poison(alice, "raise-2")
        assert "3 orders commands" in await poison(alice, "harmless")
        assert (await doctor(venue))["quarantined"][0]["command"]["client_order_id"] == "raise-1"
        await doctor(venue, "--release", notes[0].digest[:12])
        await alice.buy("cpu", 1, 1, client_order_id="harmless")
        assert supervisor.ends[venue] == [1] * 3
        assert (await operator.status()).conservation_difference == 0
        record("a command breaks the engine, or makes money out of nothing", times=3, acknowledged=2, recovery_s=took_s)


async def test_a_poisonous_deadline_suspends_its_mechanism(tmp_path: Path) -> None:
    """The venue is back with its orders suspended; an upgrade and a resume later everything goes on, in order."""
    async with poisoned_venue(tmp_path) as (venue, operator, alice):
        resting = await alice.buy("cpu", 1, 1)
        bomb = await alice.buy("cpu", 1, 1, time_in_force="gtd", expires_in=1, client_order_id="bomb")
        async with Supervisor(venue) as supervisor:
            await wait_until(lambda: supervisor.total == 1, "the deadline does not break it", WAIT_S)
            with pytest.raises(MechanismSuspended):
                await alice.buy("cpu", 1, 1)
            await alice.cancel(resting.id)
            found = await operator.admin.quarantine()
            assert [view.family for view in found.mechanisms] == ["orders"]
            assert "orders.expire_order" in found.mechanisms[0].detail
            # Resumed too early, it breaks again, and is suspended again.
            await operator.admin.resume_mechanism("orders")
            await wait_until(lambda: supervisor.total == 2, "the deadline does not break it again", WAIT_S)
            with pytest.raises(MechanismSuspended):
                await alice.buy("cpu", 1, 1)
        await venue.kill()
        venue.program = "exchange"
        await venue.start()
        with pytest.raises(MechanismSuspended):
            await alice.buy("cpu", 1, 1)
        assert "mechanism orders is suspended" in str((await doctor(venue))["findings"])
        await doctor(venue, "--resume", "orders")
        assert (await doctor(venue))["good"]
        placed = await alice.buy("cpu", 1, 1)
        assert [order.id for order in await alice.open_orders()] == [placed.id]
        assert bomb.id != placed.id
        record("a deadline breaks the engine", times=2, acknowledged=4)
        await prove(venue)


async def test_a_standby_does_not_die_of_what_killed_its_leader(tmp_path: Path, external: External) -> None:
    """It was warned, refuses the command from its first record on, and the dead one follows when it is back."""
    flags = ("--standby", "--takeover-after", "1s")
    keys = external.files.keys
    venues = [
        VenueProcess(tmp_path / name, external.url, keys=keys, flags=flags, program=POISONED)
        for name in ("left", "right")
    ]
    try:
        await asyncio.gather(*(venue.start() for venue in venues))
        await wait_until(lambda: any(venue.state == "leading" for venue in venues), "nobody leads", WAIT_S)
        await set_up(venues[0])
        victim = next(venue for venue in venues if venue.state == "leading")
        heir = next(venue for venue in venues if venue is not victim)
        async with (
            Supervisor(*venues) as supervisor,
            connect(heir.url, venues[0].creds("alice"), timeout=WAIT_S) as alice,
        ):
            began = asyncio.get_running_loop().time()
            assert "quarantined" in await poison(alice, "raise")
            took_s = asyncio.get_running_loop().time() - began
            assert supervisor.ends == {victim: [1], heir: []}
            assert heir.state == "leading"
            await wait_until(lambda: victim.state == "following", "it does not follow", WAIT_S)
            assert [note.is_heard for note in PoisonFile(heir.files.poison).notes] == [True]
            assert len(await alice.open_orders()) == 0
        record("a command breaks the leader that has a standby", times=1, recovery_s=[took_s])
    finally:
        for venue in venues:
            await venue.stop()
