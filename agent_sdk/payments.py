"""See what is held and owed, and why; pay debts early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.agreement_models import Hold, Lien
from agent_sdk.markets import credits_from
from agent_sdk.money import from_units, to_credits
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import payments as wire

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk.money import Number

__all__ = ["Payments"]


class Payments(Namespace):
    """See holds and liens. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def holds(self, agent: str | None = None) -> list[Hold]:
        """Return why each amount is on hold, but for orders: own, or of another agent of the same owner."""
        result = await self._connection.query(wire.GetHolds(agent=agent), wire.HoldsResult)
        return [
            read(Hold, view, amount=from_units(view.amount, await self._catalog.decimals(view.asset)))
            for view in result.holds
        ]

    async def liens(self) -> list[Lien]:
        """Return the liens that bind the agent or are due to it; an operator sees all."""

        async def ask(after: int) -> wire.LiensResult:
            return await self._connection.query(wire.GetLiens(after=after), wire.LiensResult)

        return [read(Lien, view, id=view.lien) for view in await page_through(ask, "liens")]

    async def pay_liens(self, amount: Number) -> tuple[Decimal, Decimal]:
        """Pay up to ``amount`` of what the agent owes, the oldest first; return what was paid and what is owed."""
        outcome = await self._give(wire.PayLiens, wire.PayLiensOutcome, amount=to_credits(amount, "amount"))
        return credits_from(outcome.paid), credits_from(outcome.owed)
