"""Check what must always be true of proposals, votes and the public fund (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.governance.electorate import Electorate
from exchange.mechanisms.governance.parameters import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.governance.fund import Share
    from exchange.mechanisms.governance.mechanism import Governance
    from exchange.mechanisms.governance.proposal import Proposal

__all__ = ["broken_invariants"]


def broken_invariants(governance: Governance) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    for proposal in governance.voting.values():
        broken.extend(f"{name}: {proposal.number}" for name in _voting_problems(governance, proposal))
    broken.extend(
        f"what_was_voted_for_is_enacted: {proposal.number}"
        for proposal in governance.passed.values()
        if not _waits(governance, proposal.deadline_id)
    )
    for share in governance.fund.shares.values():
        broken.extend(f"{name}: {share.number}" for name in _share_problems(governance, share))
    if governance.days.begun_us is not None and not _waits(governance, governance.days.deadline_id):
        broken.append("days_end")
    broken.extend(_electorate_problems(governance))
    for name in governance.rates.since_us:
        parameter = PARAMETERS[name]
        if not parameter.low <= getattr(governance.context.settings, name) <= parameter.high:
            broken.append(f"what_was_changed_is_within_its_bounds: {name}")
    return broken


def _waits(governance: Governance, deadline_id: int) -> bool:
    return governance.context.deadlines.due_us(deadline_id) is not None


def _voting_problems(governance: Governance, proposal: Proposal) -> Iterator[str]:
    if governance.context.cashier.in_escrow(escrow_of(proposal.cause)) != proposal.deposit:
        yield "escrow_equals_the_deposit"
    if not _waits(governance, proposal.deadline_id):
        yield "votes_are_counted"
    ballots = list(proposal.ballots.items())
    sums = [sum(ballot.weight for _, ballot in ballots if ballot.in_favour is side) for side in (True, False)]
    if sums != [proposal.weight_for, proposal.weight_against] or len(ballots) != proposal.voters:
        yield "sums_equal_the_ballots"
    if sum(ballot.turnout for _, ballot in ballots) != proposal.turnout or proposal.turnout > proposal.total:
        yield "turnout_is_part_of_the_whole"
    for owner, ballot in ballots:
        if ballot.turnout != governance.weight(proposal, owner):
            yield f"votes_weigh_what_their_owner_has: {owner}"


def _share_problems(governance: Governance, share: Share) -> Iterator[str]:
    if governance.context.cashier.in_escrow(escrow_of(share.cause)) != share.left:
        yield "escrow_equals_what_is_left_to_share"
    if not _waits(governance, share.deadline_id):
        yield "shares_are_paid"


def _electorate_problems(governance: Governance) -> Iterator[str]:
    counted, known = Electorate(governance.context), governance.electorate
    counted.follow()
    known.follow()
    if dict(sorted(counted.traders.items())) != dict(sorted(known.traders.items())) or counted.capped != known.capped:
        yield "who_may_vote_is_counted"
    if counted.owners != known.owners:
        yield "owners_stand_in_their_order"
