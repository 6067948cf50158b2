"""Take claims of repayment, and let them count when they are confirmed and that is final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.debts.token import Claim, credits_for
from exchange.mechanisms.facts import DisputeTerms
from exchange.messages.debts import (
    RepaymentAttested,
    RepaymentClaimed,
    RepaymentFinal,
    RepaymentOutcome,
    RepaymentRefused,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.debts.mechanism import Debts
    from exchange.mechanisms.debts.token import Token
    from exchange.mechanisms.facts import DisputeDecided, DisputeOpened
    from exchange.messages.base import Outcome
    from exchange.messages.debts import ConfirmRepayment, RepayDebt

__all__ = ["Repaying"]

_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


class Repaying:
    """Know the claims that are not final; each stands with its debt."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        self._context = debts.context
        self.claims: dict[int, int] = {}
        """The debt of every claim that is not final."""
        self.last_claim = 0

    # ── claiming and confirming ─────────────────────────────────────────────────────────────────

    def claim(self, agent: AgentRecord, command: RepayDebt) -> Outcome:
        """Take a claim, and let beneficiaries and attester look at the work."""
        context, debts = self._context, self._debts
        token = debts.live.get(command.token)
        if token is None:
            return debts.reject_unknown(command, command.token)
        problem = debts.check_holder(token, agent) or self._check_claim(token, command.hours_milli)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_claim = number = self.last_claim + 1
        claim = token.claim = Claim(number, token.number, token.holder, command.hours_milli, command.reference)
        self.claims[number] = token.number
        confirm_by_us = context.time_us + token.confirm_seconds * _SECOND_US
        self._await(claim, confirm_by_us)
        debts.tell(
            token,
            lambda: RepaymentClaimed(
                token=token.number,
                claim=number,
                by=claim.by,
                hours_milli=claim.hours,
                confirm_by_us=confirm_by_us,
                reference=claim.reference,
            ),
        )
        return RepaymentOutcome(command.id, "accepted", context.stamp, claim=number)

    def _check_claim(self, token: Token, hours: int) -> Violation | None:
        if token.claim is not None:
            detail = f"claim {token.claim.number} of a repayment of debt {token.number} is not final"
            return Reason.WRONG_STATE, detail
        if token.sale is not None:
            return Reason.WRONG_STATE, f"debt {token.number} is for sale; withdraw that first"
        if hours > token.owed:
            return Reason.INVALID_QUANTITY, f"{token.owed} thousandths of an hour are owed"
        return None

    def confirm(self, agent: AgentRecord, command: ConfirmRepayment) -> Outcome:
        """Take a confirmation: of the attester, which is final after a while, or of a beneficiary."""
        context = self._context
        found = self._find(command.claim)
        if found is None:
            detail = f"no claim {command.claim} that is not final"
            return context.reject(command, Reason.UNKNOWN_REPAYMENT, detail)
        token, claim = found
        if agent.owner == self._debts.owner_of(claim.by):
            return context.reject(command, Reason.SAME_OWNER, f"{claim.by}, who claims it, is of the same owner")
        by_attester = agent.agent_id == token.attester and "attester" in agent.roles
        names = [name for name in token.beneficiaries if self._debts.acts_for(agent, name)]
        if not by_attester and not names:
            detail = f"{agent.agent_id} is neither a beneficiary nor the attester of debt {token.number}"
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        if claim.state not in ("claimed", "attested"):
            return context.reject(command, Reason.WRONG_STATE, f"claim {claim.number} is {claim.state}")
        new = [name for name in names if name not in claim.confirmed]
        if not new and not (by_attester and claim.state == "claimed"):
            return context.reject(command, Reason.NO_CHANGE, "it has confirmed this already")
        for name in new:
            claim.confirmed[name] = None
        if self._is_accepted(token, claim):
            self._count(token, claim)
        elif by_attester and claim.state == "claimed":
            self._attest(token, claim)
        return context.accept(command)

    def _find(self, number: int) -> tuple[Token, Claim] | None:
        token = self._debts.live.get(self.claims.get(number, 0))
        if token is None or token.claim is None:
            return None
        return token, token.claim

    def _is_accepted(self, token: Token, claim: Claim) -> bool:
        """Return whether more than half of the weight of others has confirmed, of those who still can."""
        owner, total, confirmed = self._debts.owner_of(claim.by), 0, 0
        for name, weight in token.beneficiaries.items():
            if name in claim.confirmed:
                confirmed += weight
                total += weight
            elif self._debts.owner_of(name) != owner and self._context.cashier.payee(name) in self._context.agents:
                total += weight
        return 2 * confirmed > total

    def _attest(self, token: Token, claim: Claim) -> None:
        claim.state = "attested"
        final_at_us = self._await_window(token, claim)
        self._debts.tell(
            token,
            lambda: RepaymentAttested(token=token.number, claim=claim.number, final_at_us=final_at_us),
        )

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def _await(self, claim: Claim, until_us: int) -> None:
        deadlines = self._context.deadlines
        deadlines.cancel(claim.deadline_id)
        claim.deadline_id = deadlines.schedule_act(until_us, "debts.end_claim", VENUE_SCOPE, claim.number)

    def _await_window(self, token: Token, claim: Claim) -> int:
        """Let a claim be disputed for as long as the venue allowed when the debt was issued; return until when."""
        context = self._context
        until_us = context.time_us + context.setting_at("dispute_window_seconds", token.issued_us) * _SECOND_US
        self._await(claim, until_us)
        return until_us

    def end_by_silence(self, number: int) -> None:
        """Do what silence brings: nobody confirmed, or nobody disputes."""
        found = self._find(number)
        if found is None:
            return
        token, claim = found
        claim.deadline_id = 0
        if claim.state == "attested":
            self._count(token, claim)
        elif claim.state == "refused":
            self._drop(token, claim)
        else:
            claim.state = "refused"
            final_at_us = self._await_window(token, claim)
            self._debts.tell(
                token,
                lambda: RepaymentRefused(token=token.number, claim=number, final_at_us=final_at_us),
            )

    # ── the end of a claim ──────────────────────────────────────────────────────────────────────

    def _count(self, token: Token, claim: Claim) -> None:
        """Let a claim count: fewer hours are owed, and who repaid them gets their part of the escrow."""
        debts = self._debts
        hours = min(claim.hours, token.owed)
        paid = self._part_of_escrow(token, hours)
        self._forget(token, claim)
        debts.repay(token, hours)
        posting = self._context.cashier.posting(token.cause)
        posting.pay(token.escrow, claim.by, paid)
        posting.post()
        self._tell_final(token, claim, hours, paid)
        if token.paydown is not None:
            debts.paydowns.go_on(token, claim.by)
        elif not token.owed:
            debts.end(token, "repaid")

    def _part_of_escrow(self, token: Token, hours: int) -> int:
        """Return what hours get of what was paid for repaying them: their part of those owed, rounded down, or all."""
        escrow = self._context.cashier.in_escrow(token.escrow)
        paydown = token.paydown
        if paydown is None:
            return escrow if hours == token.owed else escrow * hours // token.owed
        part = min(paydown.bounty * hours // token.owed, escrow)
        paydown.bounty -= part
        return part

    def _drop(self, token: Token, claim: Claim) -> None:
        """Let a claim not count."""
        self._forget(token, claim)
        self._debts.tally.count("repayments_refused_total")
        self._tell_final(token, claim, 0, 0)
        if token.paydown is not None:
            self._debts.paydowns.go_on(token, claim.by)

    def _forget(self, token: Token, claim: Claim) -> None:
        self._context.deadlines.cancel(claim.deadline_id)
        claim.deadline_id = 0
        token.claim = None
        del self.claims[claim.number]

    def _tell_final(self, token: Token, claim: Claim, hours: int, paid: int) -> None:
        context = self._context
        for name in dict.fromkeys([*token.listeners(), claim.by]):
            event = RepaymentFinal(
                token=token.number, claim=claim.number, hours_milli=hours, paid=paid, owed_hours_milli=token.owed
            )
            context.emit(context.agents[name], event)

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a claim would be about, if this agent may begin one now."""
        found = self._find(number)
        if found is None:
            return Reason.UNKNOWN_REPAYMENT, f"no claim {number} that is not final"
        token, claim = found
        if claim.dispute is not None:
            return Reason.ALREADY_DISPUTED, f"dispute {claim.dispute} was the one there may be"
        debts, amount = self._debts, credits_for(claim.hours, token.hour_rate)
        owners = [debts.owner_of(name) for name in token.listeners()]
        excluded = tuple(dict.fromkeys(owners))
        if claim.state == "attested":
            names = [name for name in token.beneficiaries if debts.acts_for(agent, name)]
            if not names or agent.owner == debts.owner_of(claim.by):
                return Reason.NOT_PERMITTED, "it goes against the beneficiaries, who may dispute it"
            return DisputeTerms(agent.agent_id, claim.by, amount, excluded)
        if claim.state == "refused":
            if not debts.acts_for(agent, claim.by):
                return Reason.NOT_PERMITTED, f"it goes against {claim.by}, who may dispute it"
            return DisputeTerms(agent.agent_id, self._respondent(token, claim), amount, excluded)
        return Reason.WRONG_STATE, f"claim {number} is {claim.state}: there is nothing to dispute yet"

    def _respondent(self, token: Token, claim: Claim) -> str:
        """Return who answers for the silence of all: of those who could have confirmed it the one of most weight."""
        debts, cashier = self._debts, self._context.cashier
        best, most = token.issuer, 0
        for name, weight in token.beneficiaries.items():
            is_left = cashier.payee(name) in self._context.agents
            if weight > most and is_left and debts.owner_of(name) != debts.owner_of(claim.by):
                best, most = name, weight
        return best

    def freeze(self, fact: DisputeOpened) -> None:
        """Let a claim wait for its dispute."""
        found = self._find(fact.number) if fact.family == self._debts.family else None
        if found is None:
            return
        claim = found[1]
        self._context.deadlines.cancel(claim.deadline_id)
        claim.deadline_id, claim.dispute = 0, fact.dispute
        claim.frozen_state, claim.state = claim.state, "disputed"

    def decide(self, fact: DisputeDecided) -> None:
        """Let a claim count or not as its dispute was decided."""
        found = self._find(fact.number) if fact.family == self._debts.family else None
        if found is None:
            return
        token, claim = found
        if (claim.frozen_state == "attested") != fact.upheld:
            self._count(token, claim)
        else:
            self._drop(token, claim)

    def restore(self, token: Token) -> None:
        """Know again the claim of a debt that was loaded."""
        if token.claim is not None:
            self.claims[token.claim.number] = token.number
