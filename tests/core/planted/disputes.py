"""Faults of disputes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.disputes import mechanism
from exchange.mechanisms.disputes.drawing import Candidate, draw
from exchange.mechanisms.disputes.mechanism import Disputes
from exchange.mechanisms.disputes.stakes import Arbitrator
from tests.core.planted import plant

if TYPE_CHECKING:
    from exchange.mechanisms.disputes.dispute import Dispute, Seat

_pay = Disputes._pay
_candidates = Disputes._candidates
_FAMILIES = ("tasks", "settlements", "disputes")


def _keep_the_stake(self: Arbitrator, amount: int) -> None:
    del self, amount


def _draw_agents(candidates: list[Candidate], seats: int, seed: bytes) -> list[Candidate]:
    return draw([candidate._replace(owner=candidate.agent) for candidate in candidates], seats, seed)


def _bar_nobody(self: Disputes, dispute: Dispute) -> list[Candidate]:
    del dispute
    agents = self.context.agents
    return [Candidate(name, agents[name].owner, found.stake) for name, found in self.arbitrators.items()]


def _ask_nobody_who_gains(self: Disputes, dispute: Dispute) -> list[Candidate]:
    kept, self._have_interest = self._have_interest, []
    found = _candidates(self, dispute)
    self._have_interest = kept
    return found


def _forget_the_seat(self: Disputes, dispute: Dispute, seat: Seat, forfeit: int) -> None:
    if forfeit:
        self.arbitrators[seat.agent_id].take(forfeit)
    del dispute


def _replace_for_ever(self: Disputes, dispute: Dispute) -> None:
    if not dispute.is_pending():
        self.context.deadlines.cancel(dispute.deadline_id)


def _pay_no_forfeits(self: Disputes, dispute: Dispute, verdict: Any, forfeits: dict[str, int]) -> None:
    del forfeits
    _pay(self, dispute, verdict, {})


plant("what is forfeited is still counted as stake", Arbitrator, "take", _keep_the_stake, *_FAMILIES)
plant("two agents of one owner have a seat", mechanism, "draw", _draw_agents, *_FAMILIES)
plant("parties may judge", Disputes, "_candidates", _bar_nobody, *_FAMILIES)
plant("a stake answers for a decided dispute", Disputes, "_settle_stake", _forget_the_seat, *_FAMILIES)
plant("a dispute that nobody rules on waits for ever", Disputes, "_go_on", _replace_for_ever, *_FAMILIES)
plant("forfeits go to nobody", Disputes, "_pay", _pay_no_forfeits, *_FAMILIES)
plant("who bets on it judges it", Disputes, "_candidates", _ask_nobody_who_gains, *_FAMILIES, "predictions")
