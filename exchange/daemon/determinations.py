"""Solve again what a leader's solver answered: the rules cannot tell whether an answer is the best one.

An audit meets the answers in the journal. Each was given to a problem that follows from the records before it; so
whoever has those can solve it, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from exchange.adapters.records import JournalCorrupt, decode_record
from exchange.daemon.determiner import open_problems
from exchange.daemon.host import decode_batch
from exchange.engine import Batch, Engine
from exchange.mechanisms.packages import Packages
from exchange.messages.packages import DeterminePackages
from exchange.solver import Answer, SolverMissing, review

if TYPE_CHECKING:
    from exchange.daemon.host import Host
    from exchange.mechanisms.packages.choosing import Problem
    from exchange.solver import Review

__all__ = ["REVIEW_S", "Determinations", "Determined", "answers_of", "look_over", "problems_before"]

REVIEW_S: Final = 60.0
"""So long one answer may be looked over: longer than the leader had."""

_TAG: Final = b"packages.determine"


class Determinations(msgspec.Struct, kw_only=True):
    """Count the answers of solvers by which auctions were awarded, and what came of solving them again."""

    found: int = 0
    claimed_optimal: int = 0
    """Of those, so many were said to be the best that is possible."""
    confirmed: int = 0
    refuted: int = 0
    unsolved: int = 0
    """Could not be solved again in time; nothing is known against them."""
    payments_confirmed: int = 0
    """Of those that pay by VCG, so many whose payments are right."""
    payments_refuted: int = 0
    payments_unsolved: int = 0
    solver: str = "not asked"
    """Or ``used``, ``skipped``, or ``missing`` where SciPy is not installed."""


class Determined(NamedTuple):
    """Hold one problem before the record in which it was answered."""

    problem: Problem
    bidders: dict[str, int]
    """The bid of each bidder."""


def problems_before(host: Host, body: bytes) -> list[Determined]:
    """Return the problems that a record, which was not replayed yet, may answer.

    Raises:
        JournalCorrupt: it cannot be read or applied.
    """
    if _TAG not in body:
        return []
    record = decode_record(body)
    batch = decode_batch(record)
    found: dict[int, Determined] = {}
    for place, (_, command, _) in enumerate(batch.submissions):
        if not isinstance(command, DeterminePackages):
            continue
        known = _determined(host.engine, command)
        if known is None:
            # It became what it is within the record: its auction closed, or a bid dropped out.
            known = _determined(_engine_within(host, batch, place), command)
        if known is not None:
            found[command.auction] = known
    return list(found.values())


def _engine_within(host: Host, batch: Batch, place: int) -> Engine:
    """Return the state between two commands of a record."""
    scratch = Engine()
    scratch.load(host.engine.dump())
    before = Batch(batch.epoch, batch.index, batch.time_us, batch.submissions[:place], batch.previous_hash)
    try:
        scratch.apply(before)
    except Exception as error:
        message = f"record {batch.index} cannot be applied: {error!r}"
        raise JournalCorrupt(message) from error
    return scratch


def _determined(engine: Engine, command: DeterminePackages) -> Determined | None:
    packages = engine.mechanisms.get("packages")
    if not isinstance(packages, Packages) or command.auction not in packages.determining:
        return None
    auction = packages.auctions[command.auction]
    if auction.revision != command.revision:
        return None
    problem = next(each for each in open_problems(engine) if each[0] == command.auction)
    return Determined(problem, dict(auction.by_bidder))


def answers_of(host: Host, before: list[Determined]) -> list[tuple[Determined, Answer]]:
    """Return how the problems were answered by the record that has been replayed now; some may not have been."""
    packages = host.engine.mechanisms.get("packages")
    answers: list[tuple[Determined, Answer]] = []
    for determined in before:
        number, revision = determined.problem[:2]
        auction = packages.ended.get(number) if isinstance(packages, Packages) else None
        if auction is None or auction.priced is None:
            continue
        winners = [(determined.bidders[each.bidder], each.alternative, each.payment) for each in auction.awards]
        answers.append((determined, Answer(number, revision, auction.priced, bool(auction.optimal), winners)))
    return answers


async def look_over(determined: Determined, answer: Answer, counts: Determinations) -> list[str]:
    """Solve a problem again, count what came of it, and return what is wrong with its answer."""
    counts.found += 1
    if not answer.optimal and answer.pricing != "vcg":
        return []
    counts.claimed_optimal += 1
    try:
        # The solver lets other threads run, so that the connection to the journal stays alive.
        found = await asyncio.to_thread(review, determined.problem, answer, REVIEW_S)
    except SolverMissing:
        counts.solver = "missing"
        counts.unsolved += 1
        return []
    counts.solver = "used"
    if found.optimal is None:
        counts.unsolved += 1
        return []
    if not found.optimal:
        counts.refuted += 1
        text = (
            f"auction {answer.auction} was awarded as the best that is possible, with a surplus of {found.claimed}, "
            f"but there is one of {found.found}: the leader's solver was wrong, or lied"
        )
        return [text]
    counts.confirmed += 1
    return _compare_payments(determined, answer, found, counts)


def _compare_payments(determined: Determined, answer: Answer, found: Review, counts: Determinations) -> list[str]:
    if found.payments is None:
        counts.payments_unsolved += answer.pricing == "vcg"
        return []
    names = {number: bidder for bidder, number in determined.bidders.items()}
    wrong = [
        f"auction {answer.auction}: VCG asks for a payment of {right} for the bid of {names[bid]}, not {payment}"
        for (bid, _, payment), right in zip(answer.winners, found.payments, strict=True)
        if payment != right
    ]
    if wrong:
        counts.payments_refuted += 1
    else:
        counts.payments_confirmed += 1
    return wrong
