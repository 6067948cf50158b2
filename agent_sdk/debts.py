"""Take on technical debt, sell it, repay it, and confirm what others have repaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent_sdk.debt_models import Debt, DebtTotals
from agent_sdk.money import to_credits, to_units
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import debts as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_sdk.money import Number

__all__ = ["Debts"]

_HOUR_DECIMALS: Final = 3


def _hours(hours: Number, what: str) -> int:
    return 0 if hours == 0 else to_units(hours, _HOUR_DECIMALS, what)


def _pay(pay: Number, what: str) -> int:
    return 0 if pay == 0 else to_credits(pay, what)


def _debt(view: wire.DebtView) -> Debt:
    return read(Debt, view, id=view.token)


class Debts(Namespace):
    """Deal in technical debt. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    # ── issuing ─────────────────────────────────────────────────────────────────────────────────

    async def issue(
        self,
        feature: str,
        principal_hours: Number,
        *,
        beneficiaries: Mapping[str, int],
        matures_in: float,
        interest_hours_per_month: Number = 0,
        sign_in: float = 86_400.0,
        detail: str = "",
        attester: str | None = None,
        skills: Sequence[str] = (),
        confirm_seconds: int | None = None,
    ) -> int:
        """Propose to owe work to ``beneficiaries``, by weight, due in ``matures_in`` seconds; return the debt's number.

        It exists when all of them have signed, or the ``attester`` in their place, within ``sign_in`` seconds.

        Raises:
            InvalidDebtTerms: The detail says what does not fit.
            SameOwner: A beneficiary or the attester is of this agent's owner.

        """
        outcome = await self._give(
            wire.IssueDebt,
            wire.DebtOutcome,
            feature=feature,
            principal_hours_milli=to_units(principal_hours, _HOUR_DECIMALS, "principal_hours"),
            interest_hours_milli_per_month=_hours(interest_hours_per_month, "interest_hours_per_month"),
            maturity_us=self._at(matures_in),
            beneficiaries=dict(beneficiaries),
            sign_by_us=self._at(sign_in),
            detail=detail,
            attester=attester,
            skills=list(skills),
            confirm_seconds=confirm_seconds,
        )
        token: int = outcome.token
        return token

    async def sign(self, token: int) -> None:
        """Agree to a debt, as a beneficiary, or as its attester for all of them."""
        await self._give(wire.SignDebt, token=token)

    async def decline(self, token: int) -> None:
        """Let a debt lapse that does not exist yet."""
        await self._give(wire.DeclineDebt, token=token)

    async def choose_interest(self, token: int, *, is_paid: bool) -> None:
        """Say, as the holder, whether interest is paid in credits from now on, or added to the hours owed."""
        await self._give(wire.ChooseInterest, token=token, is_paid=is_paid)

    # ── selling and taking over ─────────────────────────────────────────────────────────────────

    async def offer(self, token: int, pay: Number, *, taker: str | None = None, lasts: float | None = None) -> int:
        """Pay whoever takes a debt over, or only ``taker``, hour by hour as it is repaid; return the offer's number.

        It stands for ``lasts`` seconds, by default as long as it may: until the debt matures, or for 366 days if that
        has been.

        Raises:
            InvalidExpiry: It cannot stand for so long.

        """
        until_us = None if lasts is None else self._at(lasts)
        fields = {"token": token, "pay": _pay(pay, "pay"), "taker": taker, "until_us": until_us}
        outcome = await self._give(wire.OfferDebt, wire.OfferOutcome, **fields)
        offer: int = outcome.offer
        return offer

    async def auction(self, token: int, max_pay: Number, *, closes_in: float = 65.0) -> None:
        """Let sealed bids decide who takes a debt over, by default for 65 s: the venue wants a minute at least.

        The lowest bid wins and is paid the next lowest, or ``max_pay`` where there is no other.
        """
        most = _pay(max_pay, "max_pay")
        await self._give(wire.AuctionDebt, token=token, max_pay=most, closes_at_us=self._at(closes_in))

    async def withdraw_sale(self, token: int) -> None:
        """Take back an offer, or an auction before its close."""
        await self._give(wire.WithdrawSale, token=token)

    async def take(self, token: int, offer: int) -> None:
        """Take a debt over on an offer, by its number: its terms cannot change meanwhile."""
        await self._give(wire.TakeDebt, token=token, offer=offer)

    async def bid(self, token: int, pay: Number) -> None:
        """Bid, sealed, to take a debt over for ``pay``: the best bid is what the work costs you."""
        await self._give(wire.BidOnDebt, token=token, pay=_pay(pay, "pay"))

    async def withdraw_bid(self, token: int) -> None:
        """Withdraw the owner's bid before the close."""
        await self._give(wire.WithdrawDebtBid, token=token)

    # ── repaying ────────────────────────────────────────────────────────────────────────────────

    async def repay(self, token: int, hours: Number, reference: str = "") -> int:
        """Say, as the holder, that so many hours of the work are done; return the number of the claim."""
        fields = {"token": token, "hours_milli": to_units(hours, _HOUR_DECIMALS, "hours"), "reference": reference}
        outcome = await self._give(wire.RepayDebt, wire.RepaymentOutcome, **fields)
        claim: int = outcome.claim
        return claim

    async def confirm(self, claim: int) -> None:
        """Confirm a repayment, as a beneficiary or as the debt's attester."""
        await self._give(wire.ConfirmRepayment, claim=claim)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, token: int) -> Debt:
        """Return one debt.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        return _debt((await self._connection.query(wire.GetDebt(token=token), wire.DebtResult)).debt)

    async def list(self, *, for_sale: bool = False) -> list[Debt]:
        """Return the debts that have not ended which the agent has to do with, or those for sale, the oldest first."""

        async def ask(after: int) -> wire.DebtsResult:
            return await self._connection.query(wire.ListDebts(for_sale=for_sale, after=after), wire.DebtsResult)

        return [_debt(view) for view in await page_through(ask, "debts")]

    async def totals(self) -> DebtTotals:
        """Return the hours owed and overdue in the whole venue, and how far that is from a crisis."""
        return read(DebtTotals, await self._connection.query(wire.GetDebtTotals(), wire.DebtTotalsResult))
