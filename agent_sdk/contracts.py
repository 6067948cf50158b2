"""Propose, sign and attest conditional contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.agreement_models import Contract, NewContractPart
from agent_sdk.conditions import All, Condition, PartDelivered
from agent_sdk.money import to_credits
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import contracts as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_sdk.money import Number

__all__ = ["Contracts"]


def _bond(bond: Number) -> int:
    return 0 if bond == 0 else to_credits(bond, "bond")


def _contract(view: wire.ContractView) -> Contract:
    return read(Contract, view, id=view.contract)


class Contracts(Namespace):
    """Agree on work together. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def propose(
        self,
        title: str,
        parts: Sequence[NewContractPart],
        *,
        sign_in: float,
        evaluate_in: float,
        condition: Condition | None = None,
        detail: str = "",
    ) -> int:
        """Offer to pay all shares if ``condition`` holds by ``evaluate_in`` seconds from now; return the number.

        By default all parts have to be delivered. It binds when every assignee has signed within ``sign_in`` seconds;
        the shares are in escrow at once.
        """
        joined = condition or All(of=[PartDelivered(part=part.name) for part in parts])
        outcome = await self._give(
            wire.ProposeContract,
            wire.ContractOutcome,
            title=title,
            detail=detail,
            parts=[self._part(part) for part in parts],
            condition=joined,
            sign_by_us=self._at(sign_in),
            evaluate_by_us=self._at(evaluate_in),
        )
        contract: int = outcome.contract
        return contract

    def _part(self, part: NewContractPart) -> wire.ContractPart:
        return wire.ContractPart(
            name=part.name,
            assignee=part.assignee,
            share=to_credits(part.share, "share"),
            deliver_by_us=self._at(part.deliver_in),
            bond=None if part.bond is None else _bond(part.bond),
            attester=part.attester,
        )

    async def sign(self, contract: int) -> None:
        """Agree, as an assignee; the bonds of its parts go into escrow."""
        await self._give(wire.SignContract, contract=contract)

    async def decline(self, contract: int) -> None:
        """Let a contract lapse before it binds."""
        await self._give(wire.DeclineContract, contract=contract)

    async def attest(self, contract: int, statement: str, *, holds: bool) -> None:
        """Say, as the attester that the condition names, whether a statement holds; once."""
        await self._give(wire.Attest, contract=contract, statement=statement, holds=holds)

    async def accept_attestation(self, contract: int, statement: str) -> None:
        """Accept, as the payer, an attestation that goes against it, instead of letting the window pass."""
        await self._give(wire.AcceptAttestation, contract=contract, statement=statement)

    async def get(self, contract: int) -> Contract:
        """Return one contract in which the agent has a part.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        result = await self._connection.query(wire.GetContract(contract=contract), wire.ContractResult)
        return _contract(result.contract)

    async def list(self) -> list[Contract]:
        """Return the contracts that have not ended in which the agent has a part, the oldest first."""

        async def ask(after: int) -> wire.ContractsResult:
            return await self._connection.query(wire.ListContracts(after=after), wire.ContractsResult)

        return [_contract(view) for view in await page_through(ask, "contracts")]
