"""Propose public goods, pledge for them, and confirm what is delivered."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent_sdk.assurance_models import Good, GoodPledge, ProposedGood
from agent_sdk.markets import credits_from
from agent_sdk.money import from_units, to_credits, to_units
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import assurance as wire

if TYPE_CHECKING:
    from agent_sdk.money import Number

__all__ = ["Assurance"]

_PERCENT_DECIMALS = 2
"""The bonus is in basis points on the wire."""


def _amount(value: Number | None, what: str) -> int | None:
    """Return an amount that may be missing, or 0."""
    return None if value is None else 0 if value == 0 else to_credits(value, what)


def _good(view: wire.GoodView) -> Good:
    def counted(value: int) -> Decimal:
        return credits_from(value) if view.unit == "credits" else Decimal(value)

    return read(
        Good,
        view,
        id=view.good,
        threshold=counted(view.threshold),
        cap=counted(view.cap),
        raised=counted(view.raised),
        refund_bonus=from_units(view.refund_bonus_bp, _PERCENT_DECIMALS),
    )


class Assurance(Namespace):
    """Pay together for goods. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def propose(
        self,
        title: str,
        *,
        deadline_in: float,
        deliver_in: float,
        owners: int | None = None,
        credits: Number | None = None,
        minutes: int | None = None,
        cap: Number | None = None,
        provider: str | None = None,
        min_credits: Number | None = None,
        min_minutes: int | None = None,
        refund_bonus: Number | None = None,
        hour_bond: Number | None = None,
        attester: str | None = None,
        detail: str = "",
    ) -> ProposedGood:
        """Propose a good that takes ``owners``, ``credits``, or ``minutes`` of work: exactly one of them.

        Pledges are taken for ``deadline_in`` seconds; it is delivered by ``deliver_in`` seconds from now. ``cap`` is in
        the same unit. Where owners count, each gives at least ``min_credits`` and ``min_minutes``, of which one is
        needed. ``provider`` is paid the credits. If too little is pledged, you pay ``refund_bonus`` percent of the
        credits on top of the refunds; the most that this can come to goes into escrow. ``hour_bond`` is the bond for
        each hour of pledged work.

        Raises:
            ValueError: It is not exactly one of ``owners``, ``credits`` and ``minutes``.

        """
        unit, threshold = _threshold(owners, credits, minutes)
        outcome = await self._give(
            wire.ProposeGood,
            wire.GoodOutcome,
            title=title,
            detail=detail,
            unit=unit,
            threshold=threshold,
            cap=None if cap is None else _counted(unit, cap, "cap"),
            deadline_us=self._at(deadline_in),
            deliver_by_us=self._at(deliver_in),
            provider=provider,
            min_credits=_amount(min_credits, "min_credits"),
            min_minutes=min_minutes,
            refund_bonus_bp=_percent(refund_bonus),
            hour_bond=_amount(hour_bond, "hour_bond"),
            attester=attester,
        )
        return ProposedGood(id=outcome.good, escrow=credits_from(outcome.escrow))

    async def pledge(self, good: int, credits: Number = 0, *, minutes: int = 0) -> Decimal:
        """Pledge credits, minutes of work, or both, for good; return what is in escrow as the bond for the work."""
        outcome = await self._give(
            wire.Pledge, wire.PledgeOutcome, good=good, credits=_amount(credits, "credits"), minutes=minutes
        )
        return credits_from(outcome.bond)

    async def confirm(self, good: int) -> None:
        """Accept what the provider delivered, for all that the agent's owner pledged."""
        await self._give(wire.ConfirmGood, good=good)

    async def withdraw(self, good: int) -> None:
        """Take back, as the proposer, a good for which nothing is pledged."""
        await self._give(wire.WithdrawGood, good=good)

    async def get(self, good: int) -> Good:
        """Return one good.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        result = await self._connection.query(wire.GetGood(good=good), wire.GoodResult)
        return _good(result.good)

    async def pledges(self, good: int) -> list[GoodPledge]:
        """Return who has pledged what for a good, and what came of it, the first pledge first.

        Raises:
            NotFound: There is no such good, or it ended too long ago.

        """

        async def ask(after: int) -> wire.PledgesResult:
            return await self._connection.query(wire.ListPledges(good=good, after=after), wire.PledgesResult)

        return [read(GoodPledge, view) for view in await page_through(ask, "pledges")]

    async def list(self, *, mine: bool = False) -> list[Good]:
        """Return the goods that have not ended, the oldest first; ``mine``: those in which the agent has a part."""

        async def ask(after: int) -> wire.GoodsResult:
            return await self._connection.query(wire.ListGoods(mine=mine, after=after), wire.GoodsResult)

        return [_good(view) for view in await page_through(ask, "goods")]


def _threshold(owners: int | None, credits_: Number | None, minutes: int | None) -> tuple[wire.GoodUnit, int]:
    given: list[tuple[wire.GoodUnit, Any]] = [("owners", owners), ("credits", credits_), ("minutes", minutes)]
    named = [(unit, value) for unit, value in given if value is not None]
    if len(named) != 1:
        message = "a good takes exactly one of owners, credits and minutes"
        raise ValueError(message)
    ((unit, value),) = named
    return unit, _counted(unit, value, unit)


def _counted(unit: wire.GoodUnit, value: Number, what: str) -> int:
    return to_credits(value, what) if unit == "credits" else to_units(value, 0, what)


def _percent(value: Number | None) -> int | None:
    return None if value is None or value == 0 else to_units(value, _PERCENT_DECIMALS, "refund_bonus")
