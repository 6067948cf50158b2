"""Give an operator's commands. Amounts are in whole units, as everywhere in the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from agent_sdk.errors import UnreadableReply
from agent_sdk.markets import credits_from
from agent_sdk.money import to_credits, to_units
from agent_sdk.session import DEFAULT_TIMEOUT_S, Draft
from exchange.messages.admin import (
    GetQuarantine,
    HaltAgent,
    HaltMarket,
    HaltVenue,
    IssueAsset,
    QuarantineResult,
    RegisterAgent,
    RegisterAsset,
    RegisterOutcome,
    ReleaseCommand,
    ResumeAgent,
    ResumeMechanism,
    RetireAsset,
    RevokeAgent,
    SetSpendLimit,
    SuspendAgent,
    SuspendMechanism,
)
from exchange.messages.orders import CreateMarket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from agent_sdk.markets import Catalog
    from agent_sdk.money import Number
    from agent_sdk.session import Connection
    from exchange.messages.base import Command

__all__ = ["Admin"]

HaltState = Literal["open", "cancel_only", "halted"]


class Admin:
    """Administer a venue as an operator (or, for spend limits and halts, as an owner).

    Every method raises ``Rejected``, ``Refused``, ``OutcomeUnknown`` or ``NotSent`` like `Agent.place`.
    """

    def __init__(self, connection: Connection, catalog: Catalog) -> None:
        self._connection = connection
        self._catalog = catalog

    async def _give(self, kind: type[Command], fields: dict[str, Any]) -> Any:
        given = {name: value for name, value in fields.items() if value is not None}
        return await self._connection.execute(Draft(kind, given), DEFAULT_TIMEOUT_S)

    # ── agents ──────────────────────────────────────────────────────────────────────────────────

    async def register_agent(
        self,
        agent: str,
        owner: str,
        *,
        roles: Sequence[str] = ("trader",),
        endowment: Number | None = None,
        skills: Sequence[str] = (),
    ) -> Decimal:
        """Admit an agent and return its endowment in credits (default: the venue's)."""
        units = None if endowment is None else 0 if endowment == 0 else to_credits(endowment, "endowment")
        fields = {
            "agent": agent,
            "owner": owner,
            "roles": list(roles),
            "endowment": units,
            "skills": list(skills) or None,
        }
        outcome = await self._give(RegisterAgent, fields)
        if not isinstance(outcome, RegisterOutcome):
            message = f"{agent} was registered, but the outcome cannot be read: update the SDK"
            raise UnreadableReply(message)
        return credits_from(outcome.endowment)

    async def suspend_agent(self, agent: str) -> None:
        """Stop an agent from taking on new obligations."""
        await self._give(SuspendAgent, {"agent": agent})

    async def resume_agent(self, agent: str) -> None:
        """Let a suspended or halted agent trade again."""
        await self._give(ResumeAgent, {"agent": agent})

    async def revoke_agent(self, agent: str) -> None:
        """End an agent for good."""
        await self._give(RevokeAgent, {"agent": agent})

    async def halt_agent(self, agent: str) -> None:
        """Pull the kill switch on one agent."""
        await self._give(HaltAgent, {"agent": agent})

    # ── halts ───────────────────────────────────────────────────────────────────────────────────

    async def halt_venue(self, state: HaltState = "halted") -> None:
        """Set the state of the whole venue; ``open`` lifts a halt."""
        await self._give(HaltVenue, {"state": state})

    async def halt_market(self, market: str, state: HaltState = "halted", *, auction_seconds: int = 0) -> None:
        """Set the state of one market; ``open`` lifts a halt, by a call auction after ``auction_seconds``."""
        await self._give(HaltMarket, {"market": market, "state": state, "auction_seconds": auction_seconds})

    # ── what broke ──────────────────────────────────────────────────────────────────────────────

    async def suspend_mechanism(self, family: str, state: Literal["cancel_only", "halted"] = "cancel_only") -> None:
        """Stop the deadlines of a mechanism, and what would take on something new, or (``halted``) everything."""
        await self._give(SuspendMechanism, {"family": family, "state": state})

    async def resume_mechanism(self, family: str) -> None:
        """Let a suspended mechanism work again; what was due meanwhile follows at once, in order."""
        await self._give(ResumeMechanism, {"family": family})

    async def release_command(self, digest: str) -> None:
        """Take a command out of quarantine."""
        await self._give(ReleaseCommand, {"digest": digest})

    async def quarantine(self) -> QuarantineResult:
        """Return the quarantined commands and the suspended mechanisms; they are there for operators only."""
        return await self._connection.query(GetQuarantine(), QuarantineResult)

    # ── money and assets ────────────────────────────────────────────────────────────────────────

    async def set_spend_limit(
        self,
        *,
        agent: str | None = None,
        owner: str | None = None,
        total: Number | None = None,
        per_period: Number | None = None,
        period_seconds: int = 86_400,
    ) -> None:
        """Limit the net spending plus present holds of an agent or an owner, in credits."""
        fields = {
            "agent": agent,
            "owner": owner,
            "total": None if total is None else 0 if total == 0 else to_credits(total, "total"),
            "per_period": None
            if per_period is None
            else 0
            if per_period == 0
            else to_credits(per_period, "per_period"),
            "period_seconds": period_seconds,
        }
        await self._give(SetSpendLimit, fields)

    async def register_asset(self, asset: str, *, decimals: int = 0, issuer: str | None = None) -> None:
        """Register an asset; only ``issuer`` (default: this agent) may issue and retire it."""
        await self._give(RegisterAsset, {"asset": asset, "decimals": decimals, "issuer": issuer})

    async def issue_asset(self, asset: str, agent: str, quantity: Number) -> None:
        """Create ``quantity`` whole units of an asset on an agent's account (its issuer only)."""
        units = to_units(quantity, await self._catalog.decimals(asset), "quantity")
        await self._give(IssueAsset, {"asset": asset, "agent": agent, "quantity": units})

    async def retire_asset(self, asset: str, quantity: Number) -> None:
        """Destroy ``quantity`` whole units of an asset on this agent's own account (its issuer only)."""
        units = to_units(quantity, await self._catalog.decimals(asset), "quantity")
        await self._give(RetireAsset, {"asset": asset, "quantity": units})

    # ── markets ─────────────────────────────────────────────────────────────────────────────────

    async def create_market(
        self,
        market: str,
        base: str,
        *,
        tick: Number,
        lot: Number | None = None,
        min_quantity: Number | None = None,
        max_quantity: Number | None = None,
        reference_price: Number | None = None,
        **terms: Any,
    ) -> None:
        """Open a market for ``base`` against credits.

        ``tick`` and ``reference_price`` are credits per whole unit of base, ``lot`` and the limits
        whole units. ``terms``: the other fields of the command, such as ``taker_fee_bp``.
        """
        decimals = await self._catalog.decimals(base)
        fields: dict[str, Any] = {"market": market, "base": base, "tick": to_credits(tick, "tick"), **terms}
        if reference_price is not None:
            fields["reference_price"] = to_credits(reference_price, "reference_price")
        for name, value in (("lot", lot), ("min_quantity", min_quantity), ("max_quantity", max_quantity)):
            if value is not None:
                fields[name] = to_units(value, decimals, name)
        await self._give(CreateMarket, fields)
