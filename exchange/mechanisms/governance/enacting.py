"""Do what was voted for, once the lock is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import GoodSubsidised, TaskOrdered
from exchange.mechanisms.governance.fund import FUND
from exchange.messages.governance import ShareBegan

if TYPE_CHECKING:
    from exchange.mechanisms.facts import TaskOpened
    from exchange.mechanisms.governance.mechanism import Governance
    from exchange.mechanisms.governance.proposal import Proposal

__all__ = ["Enacting"]

_SECOND_US: Final = 1_000_000
_ANSWERED_AFTER: Final = 2
"""So many follow-ups later who was ordered a task has answered, if anybody does."""


class Enacting:
    """Set parameters, order tasks, subsidise goods, share the fund."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance
        self._context = governance.context
        self._ordered: dict[int, Proposal] = {}
        """Those whose task was ordered and not opened yet; none is left when a batch ends."""

    def enact(self, number: int) -> None:
        """Do it, as far as that is possible by now."""
        governance = self._governance
        proposal = governance.passed.pop(number)
        proposal.deadline_id = 0
        terms = proposal.terms
        if terms.kind == "change":
            if governance.rates.set(terms.parameter, terms.value):
                governance.tally.count("parameters_changed_total", "vote")
            governance.finish(proposal, "enacted")
        elif terms.amount > governance.fund.available:
            governance.finish(proposal, "unfunded")
        elif terms.kind == "work":
            self._order(proposal)
        elif terms.kind == "subsidy":
            self._subsidise(proposal)
        else:
            self._share(proposal)

    def _share(self, proposal: Proposal) -> None:
        governance, amount = self._governance, proposal.terms.amount
        governance.electorate.follow()
        owners = governance.fund.share(amount)
        if owners:
            agent = self._context.agents[proposal.proposer]
            self._context.emit(agent, ShareBegan(proposal=proposal.number, amount=amount, owners=owners))
        governance.finish(proposal, "enacted" if owners else "impossible")

    def _subsidise(self, proposal: Proposal) -> None:
        governance, terms = self._governance, proposal.terms
        if governance.goods is None or not governance.goods.takes_subsidy(terms.good):
            governance.finish(proposal, "impossible")
            return
        escrow = escrow_of(proposal.cause)
        governance.fund.take(escrow, terms.amount, proposal.cause, "subsidy")
        self._context.announce(GoodSubsidised(terms.good, escrow, terms.amount))
        governance.finish(proposal, "enacted")

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────

    def _order(self, proposal: Proposal) -> None:
        """Have a task opened that the fund pays for; whoever proposed it stands in for the payer."""
        context, governance, terms = self._context, self._governance, proposal.terms
        poster = context.cashier.payee(proposal.proposer)
        if poster not in context.agents:
            governance.finish(proposal, "impossible")
            return
        escrow = escrow_of(proposal.cause)
        governance.fund.take(escrow, terms.amount, proposal.cause, "work")
        closes_at_us = context.time_us + terms.bidding_seconds * _SECOND_US
        attester = terms.attester
        if attester is not None and context.agents[attester].state == "revoked":
            attester = None
        self._ordered[proposal.number] = proposal
        ordered = TaskOrdered(
            origin=proposal.cause,
            escrow=escrow,
            poster=poster,
            refund=FUND,
            title=terms.title,
            detail=terms.detail,
            skills=terms.skills,
            effort_minutes=terms.effort_minutes,
            reserve=terms.amount,
            closes_at_us=closes_at_us,
            deadline_us=closes_at_us + terms.work_seconds * _SECOND_US,
            excluded_owners=tuple(dict.fromkeys((proposal.owner, context.agents[poster].owner))),
            attester=attester,
        )
        context.announce(ordered)
        context.follow_up(self._await_answer, proposal.number, _ANSWERED_AFTER)

    def note_task(self, fact: TaskOpened) -> None:
        """End a proposal whose task was opened: the task answers for the money now."""
        family, _, number = fact.origin.partition(":")
        proposal = self._ordered.pop(int(number), None) if family == "governance" else None
        if proposal is not None:
            proposal.task = fact.task
            self._governance.finish(proposal, "enacted")

    def _await_answer(self, number: int, rounds: int) -> None:
        """Take the money back if nobody opened the task."""
        if rounds:
            self._context.follow_up(self._await_answer, number, rounds - 1)
            return
        proposal = self._ordered.pop(number, None)
        if proposal is None:
            return
        escrow, amount = escrow_of(proposal.cause), proposal.terms.amount
        posting = self._context.cashier.posting(proposal.cause)
        posting.move(escrow, FUND, amount)
        posting.post()
        self._governance.tally.count("fund_inflow_credits_total", "returned", by=amount)
        self._governance.finish(proposal, "impossible")
