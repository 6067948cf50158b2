"""Dispute what came out wrong, and rule on the disputes of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.agreement_models import Dispute, OpenedDispute, StakeInfo
from agent_sdk.markets import credits_from
from agent_sdk.money import to_credits
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import disputes as wire

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk.money import Number

__all__ = ["Disputes"]


def _dispute(view: wire.DisputeView) -> Dispute:
    return read(Dispute, view, id=view.dispute)


class Disputes(Namespace):
    """Dispute and rule. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def open(self, family: str, number: int, statement: str = "") -> OpenedDispute:
        """Dispute what a family knows by a number, say ``"settlements", 17``, for a deposit; once, in its window."""
        fields = {"family": family, "number": number, "statement": statement}
        outcome = await self._give(wire.OpenDispute, wire.DisputeOutcome, **fields)
        return OpenedDispute(id=outcome.dispute, deposit=credits_from(outcome.deposit))

    async def rule(self, dispute: int, *, upheld: bool, statement: str = "") -> None:
        """Rule, as a member of the panel; once, and sealed until the dispute is decided."""
        await self._give(wire.Rule, dispute=dispute, upheld=upheld, statement=statement)

    async def stake(self, amount: Number) -> Decimal:
        """Put credits at stake as an arbitrator, and return what is at stake now."""
        outcome = await self._give(wire.Stake, wire.StakeOutcome, amount=to_credits(amount, "amount"))
        return credits_from(outcome.stake)

    async def unstake(self, amount: Number) -> Decimal:
        """Take credits back that are at stake, and return what is left; not while the arbitrator has a seat."""
        outcome = await self._give(wire.Unstake, wire.StakeOutcome, amount=to_credits(amount, "amount"))
        return credits_from(outcome.stake)

    async def my_stake(self) -> StakeInfo:
        """Return what the agent has at stake as an arbitrator."""
        return read(StakeInfo, await self._connection.query(wire.GetMyStake(), wire.MyStakeResult))

    async def get(self, dispute: int) -> Dispute:
        """Return one dispute, as a party or of the panel.

        Raises:
            NotFound: There is none, or it was decided long ago.

        """
        return _dispute((await self._connection.query(wire.GetDispute(dispute=dispute), wire.DisputeResult)).dispute)

    async def list(self) -> list[Dispute]:
        """Return the undecided disputes in which the agent is a party or has to rule."""

        async def ask(after: int) -> wire.DisputesResult:
            return await self._connection.query(wire.ListDisputes(after=after), wire.DisputesResult)

        return [_dispute(view) for view in await page_through(ask, "disputes")]
