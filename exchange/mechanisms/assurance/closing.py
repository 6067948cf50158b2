"""Collect what was pledged for a good, or give it back; settle what was delivered, and what was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.assurance.good import bond_for
from exchange.mechanisms.assurance.sharing import PUBLIC_FUND, bonuses, credit_shares, forfeits, minute_shares
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import SettlementAgreed, SettlementTerms
from exchange.messages.assurance import GoodDelivered, GoodEnded, GoodReached

if TYPE_CHECKING:
    from exchange.mechanisms.assurance.good import Good, Pledge
    from exchange.mechanisms.assurance.mechanism import Assurance
    from exchange.mechanisms.facts import SettlementDelivered, SettlementFinal, SettlementOpened
    from exchange.messages.assurance import GoodEnd

__all__ = ["Closing"]

_SECOND_US = 1_000_000


class Closing:
    """Bring goods to their end."""

    def __init__(self, assurance: Assurance) -> None:
        self._assurance = assurance
        self._context = assurance.context

    # ── at the deadline ─────────────────────────────────────────────────────────────────────────

    def close(self, number: int) -> None:
        """Decide at the deadline: enough was pledged, or everybody has everything back."""
        good = self._assurance.live[number]
        good.deadline_id = 0
        if good.raised >= good.threshold:
            self._collect(good)
        else:
            self.give_back(good, "not_reached")

    def _collect(self, good: Good) -> None:
        """Take from everybody its share, give back the rest and the bonus, and let provider and workers begin."""
        self._divide(good)
        good.state = "reached"
        self._assurance.tally.count("reached_total")
        for name in good.parties():
            if name not in good.pledges:
                self._context.emit(self._context.agents[name], GoodReached(good=good.number))
        self._agree(good)

    def _divide(self, good: Good) -> None:
        escrow = escrow_of(good.cause)
        posting = self._context.cashier.posting(good.cause)
        credits_, minutes = credit_shares(good), minute_shares(good)
        good.subsidy_share = credits_.get(PUBLIC_FUND, 0)
        posting.move(escrow, PUBLIC_FUND, good.subsidy - good.subsidy_share)
        for pledge in good.pledges.values():
            pledge.share, pledge.share_minutes = credits_.get(pledge.agent, 0), minutes.get(pledge.agent, 0)
            bond = bond_for(pledge.share_minutes, good.hour_bond)
            refunded = pledge.credits - pledge.share + pledge.bond - bond
            pledge.bond, pledge.refunded = bond, refunded
            posting.give_back(escrow, pledge.agent, refunded)
            event = GoodReached(
                good=good.number, share=pledge.share, minutes=pledge.share_minutes, bond=bond, refunded=refunded
            )
            self._context.emit(self._context.agents[pledge.agent], event)
        posting.give_back(escrow, good.proposer, good.bonus_fund)
        posting.post()
        good.bonus_fund = 0

    def _agree(self, good: Good) -> None:
        """Open a settlement with the provider, and one with each who does a part of the work; the good pays them."""
        late_us = max(0, self._context.time_us - good.deadline_us)
        # An outage may have moved the deadline: whoever delivers has as long as before.
        deliver_by_us = good.deliver_by_us + late_us
        agreed: list[tuple[str, str, str]] = []
        if good.provider is not None:
            agreed.append((f"{good.cause}:0", good.provider, good.title))
        for pledge in good.pledges.values():
            if pledge.share_minutes:
                title = f"{good.title}: {pledge.share_minutes} minutes"
                agreed.append((f"{good.cause}:{pledge.number}", pledge.agent, title))
        good.waiting = len(agreed)
        for origin, provider, title in agreed:
            terms = SettlementTerms(
                payer=good.proposer,
                provider=provider,
                price=0,
                bond=0,
                deliver_by_us=deliver_by_us,
                confirm_seconds=good.confirm_seconds,
                attester=good.attester,
                title=title,
            )
            self._context.announce(SettlementAgreed(origin, escrow_of(origin), terms))

    def give_back(self, good: Good, outcome: GoodEnd) -> None:
        """End a good that was not reached: everybody has back what it put in, and who pledged credits the bonus."""
        escrow = escrow_of(good.cause)
        posting = self._context.cashier.posting(good.cause)
        ended = {pledge.agent: (pledge.credits + pledge.bond, 0, 0) for pledge in good.pledges.values()}
        for name, (refunded, _, _) in ended.items():
            good.pledges[name].refunded = refunded
            posting.give_back(escrow, name, refunded)
        for name, bonus in bonuses(good):
            good.pledges[name].bonus = bonus
            good.bonus_paid += bonus
            posting.pay(escrow, name, bonus)
            ended[name] = (ended[name][0], bonus, 0)
        posting.give_back(escrow, good.proposer, good.bonus_fund - good.bonus_paid)
        posting.move(escrow, PUBLIC_FUND, good.subsidy)
        posting.post()
        self._assurance.tally.count("bonus_credits_total", by=good.bonus_paid)
        good.bonus_fund = 0
        self._finish(good, outcome, ended)

    # ── after it ────────────────────────────────────────────────────────────────────────────────

    def note_opened(self, fact: SettlementOpened) -> None:
        """Know the settlements of a good that was reached."""
        found = self._assurance.find(fact.origin)
        if found is None:
            return
        good, pledge = found
        if pledge is None:
            good.settlement = fact.settlement
        else:
            pledge.settlement = fact.settlement

    def note_delivered(self, fact: SettlementDelivered) -> None:
        """Let those who pay know that there is something to look at."""
        found = self._assurance.find(fact.origin)
        if found is None or found[1] is not None:
            return
        good, context = found[0], self._context
        confirm_by_us = fact.delivered_us + good.confirm_seconds * _SECOND_US
        for pledge in good.pledges.values():
            event = GoodDelivered(good=good.number, settlement=fact.settlement, confirm_by_us=confirm_by_us)
            context.emit(context.agents[pledge.agent], event)

    def note_final(self, fact: SettlementFinal) -> None:
        """Pay what is done for good, or give back what was to be paid for it; with the last of it the good ends."""
        found = self._assurance.find(fact.origin)
        if found is None:
            return
        good, pledge = found
        is_done = fact.outcome == "completed"
        if pledge is None:
            self._settle_provider(good, fact.terms.provider, is_done=is_done)
        else:
            self._settle_work(good, pledge, is_done=is_done)
        good.waiting -= 1
        if not good.waiting:
            self._end(good)

    def _settle_provider(self, good: Good, provider: str, *, is_done: bool) -> None:
        escrow = escrow_of(good.cause)
        posting = self._context.cashier.posting(good.cause)
        good.is_provided = is_done
        if is_done:
            posting.pay(escrow, provider, good.credits_due)
            self._assurance.tally.count("paid_credits_total", by=good.credits_due)
        else:
            for pledge in good.pledges.values():
                pledge.refunded += pledge.share
                posting.give_back(escrow, pledge.agent, pledge.share)
            posting.move(escrow, PUBLIC_FUND, good.subsidy_share)
        posting.post()

    def _settle_work(self, good: Good, pledge: Pledge, *, is_done: bool) -> None:
        pledge.delivered = is_done
        if not is_done:
            good.pot += pledge.bond
            return
        good.delivered_minutes += pledge.share_minutes
        pledge.refunded += pledge.bond
        posting = self._context.cashier.posting(good.cause)
        posting.give_back(escrow_of(good.cause), pledge.agent, pledge.bond)
        posting.post()

    def _end(self, good: Good) -> None:
        """Give the bonds of those who did not do their work to those who did."""
        is_refunded = good.is_provided is False
        ended = {pledge.agent: (pledge.share if is_refunded else 0, 0, 0) for pledge in good.pledges.values()}
        escrow = escrow_of(good.cause)
        posting = self._context.cashier.posting(good.cause)
        is_whole = not is_refunded and not any(pledge.delivered is False for pledge in good.pledges.values())
        for name, amount in forfeits(good):
            if name == PUBLIC_FUND:
                posting.move(escrow, PUBLIC_FUND, amount)
            else:
                posting.pay(escrow, name, amount)
                good.pledges[name].earned = amount
                ended[name] = (ended[name][0], 0, amount)
        posting.post()
        good.pot = 0
        self._finish(good, "completed" if is_whole else "failed", ended)

    def _finish(self, good: Good, outcome: GoodEnd, ended: dict[str, tuple[int, int, int]]) -> None:
        """Tell everybody ``(refunded, bonus, earned)``, and let it be among those that have ended."""
        context = self._context
        context.deadlines.cancel(good.deadline_id)
        good.deadline_id = 0
        good.state = outcome
        listeners = good.listeners()
        self._assurance.retire(good)
        self._assurance.tally.count("ended_total", outcome)
        for name in listeners:
            refunded, bonus, earned = ended.get(name, (0, 0, 0))
            event = GoodEnded(good=good.number, outcome=outcome, refunded=refunded, bonus=bonus, earned=earned)
            context.emit(context.agents[name], event)
