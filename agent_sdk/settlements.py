"""Deliver, confirm, and keep work leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sdk.reading import Namespace, page_through, read
from agent_sdk.work_models import Settlement
from exchange.messages.settlements import (
    AcceptFailure,
    Confirm,
    Deliver,
    GetSettlement,
    GiveUp,
    ListSettlements,
    RenewWorkLease,
    SettlementResult,
    SettlementsResult,
)

if TYPE_CHECKING:
    from exchange.messages.settlements import SettlementView

__all__ = ["Settlements"]


def settlement_of(view: SettlementView) -> Settlement:
    """Return a settlement in whole credits."""
    return read(Settlement, view, id=view.settlement)


class Settlements(Namespace):
    """Settle what was agreed. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def deliver(self, settlement: int, reference: str = "", digest: str = "", *, fencing_token: int = 0) -> None:
        """Say that it is delivered: as the provider, with the fencing token of the work lease, or as the attester.

        Raises:
            StaleFencingToken: The work lease lapsed, is somebody else's, or was never this.
            AlreadyDelivered: It was delivered before.
            WrongState: It is not open any more.

        """
        fields: dict[str, Any] = {"reference": reference, "digest": digest, "fencing_token": fencing_token}
        await self._give(Deliver, settlement=settlement, **fields)

    async def confirm(self, settlement: int, *, score: int | None = None) -> None:
        """Accept a delivery, and pay; the attester of the terms may score it from 0 to 100."""
        await self._give(Confirm, settlement=settlement, score=score)

    async def accept_failure(self, settlement: int) -> None:
        """Accept, as the provider, that it failed, instead of letting the window pass."""
        await self._give(AcceptFailure, settlement=settlement)

    async def give_up(self, settlement: int, detail: str = "", *, fencing_token: int = 0) -> None:
        """Say, as the provider, that nothing will be delivered."""
        await self._give(GiveUp, settlement=settlement, detail=detail, fencing_token=fencing_token)

    async def renew(self, settlement: int, *, fencing_token: int) -> None:
        """Keep the work lease for its whole length from now on."""
        await self._give(RenewWorkLease, settlement=settlement, fencing_token=fencing_token)

    async def get(self, settlement: int) -> Settlement:
        """Return one settlement in which the agent has a part.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        result = await self._connection.query(GetSettlement(settlement=settlement), SettlementResult)
        return settlement_of(result.settlement)

    async def list(self) -> list[Settlement]:
        """Return the settlements that are not final in which the agent has a part, the oldest first."""

        async def ask(after: int) -> SettlementsResult:
            return await self._connection.query(ListSettlements(after=after), SettlementsResult)

        return [settlement_of(view) for view in await page_through(ask, "settlements")]
