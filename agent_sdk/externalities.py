"""Declare changes, attest what agents do to others, and accept what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.externality_models import (
    ChangeDeclared,
    DeclaredChange,
    Externality,
    ExternalityRates,
    ReportedExternality,
)
from agent_sdk.money import to_credits
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import externalities as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_sdk.money import Number

__all__ = ["Externalities"]


def _externality(view: wire.ExternalityView) -> Externality:
    return read(Externality, view, id=view.externality)


class Externalities(Namespace):
    """Price what agents do to others. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def declare(self, module: str, bond: Number) -> ChangeDeclared:
        """Say, before a module is changed, that it will be: the bond pays first for what breaks, which is not doubled.

        Raises:
            UnknownModule: No module of that name is registered.

        """
        outcome = await self._give(wire.DeclareChange, wire.ChangeOutcome, module=module, bond=to_credits(bond, "bond"))
        return read(ChangeDeclared, outcome)

    async def report(
        self,
        kind: wire.ExternalityKind,
        source: str,
        reference: str,
        *,
        digest: str = "",
        module: str | None = None,
        affected: Mapping[str, int] | None = None,
        target: str | None = None,
        units: int | None = None,
        change: int | str | None = None,
        changed_us: int | None = None,
    ) -> ReportedExternality:
        """Attest what ``source`` did to others, with a stake; what it costs is held at once, and paid when final.

        ``affected`` are modules that depend on ``module``, each with a severity from 1 to 100. ``change`` is the number
        of a declared change; without one the venue finds what fits. ``changed_us`` is when it was done (default: now).

        Raises:
            NothingAffected: Nothing that was named counts.
            AlreadyReported: The same reference was reported.

        """
        outcome = await self._give(
            wire.ReportExternality,
            wire.ExternalityOutcome,
            kind=kind,
            source=source,
            reference=reference,
            digest=digest,
            module=module,
            affected=[wire.AffectedModule(module=name, severity=each) for name, each in (affected or {}).items()],
            target=target,
            units=units,
            change=int(change) if change else None,
            changed_us=changed_us,
        )
        return read(ReportedExternality, outcome)

    async def accept(self, externality: int) -> None:
        """Let a levy be final that goes against this agent's owner, instead of letting the window pass."""
        await self._give(wire.AcceptExternality, externality=externality)

    async def get(self, externality: int) -> Externality:
        """Return one levy; anybody may ask.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        query = wire.GetExternality(externality=externality)
        return _externality((await self._connection.query(query, wire.ExternalityResult)).externality)

    async def changes(self, module: str | None = None) -> list[DeclaredChange]:
        """Return the declared changes of a module, or of the agent's owner."""

        async def ask(after: int) -> wire.ChangesResult:
            return await self._connection.query(wire.ListChanges(module=module, after=after), wire.ChangesResult)

        return [read(DeclaredChange, view, id=view.change) for view in await page_through(ask, "changes")]

    async def rates(self) -> ExternalityRates:
        """Return what each kind costs now, what a report puts at stake, and what a bond is at least."""
        return read(ExternalityRates, await self._connection.query(wire.GetRates(), wire.RatesResult))

    async def list(self, *, everybodys: bool = False) -> list[Externality]:
        """Return the levies that are not final in which the agent's owner has a part, or everybody's."""

        async def ask(after: int) -> wire.ExternalitiesResult:
            query = wire.ListExternalities(everybodys=everybodys, after=after)
            return await self._connection.query(query, wire.ExternalitiesResult)

        return [_externality(view) for view in await page_through(ask, "externalities")]
