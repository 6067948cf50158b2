"""Hold what users see of levies, declared changes and rates: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass

from agent_sdk.reading import Credits
from exchange.messages.externalities import ExternalityKind, ExternalityState, HowFinal

__all__ = [
    "AffectedModule",
    "ChangeDeclared",
    "DeclaredChange",
    "Externality",
    "ExternalityRate",
    "ExternalityRates",
    "ExternalityShare",
    "ReportedExternality",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDeclared:
    """Say by which number a change was declared, and when what is left of its bond returns."""

    change: int
    returns_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedExternality:
    """Say what a report came to; ``held`` is what the source had, the rest of ``amount`` it owes."""

    externality: int
    amount: Credits
    held: Credits
    stake: Credits
    final_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedModule:
    """Describe a module that suffers; without a ``beneficiary`` it does not count."""

    module: str
    severity: int
    beneficiary: str | None
    share: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalityShare:
    """Say who is compensated, an agent or ``public_fund``, by how much, and for how many units."""

    beneficiary: str
    share: Credits
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Externality:
    """Describe a levy: ``held`` is what waits in escrow, ``owed`` what its source could not pay yet."""

    id: int
    kind: ExternalityKind
    source: str
    state: ExternalityState
    units: int
    rate: Credits
    amount: Credits
    shares: tuple[ExternalityShare, ...]
    reference: str
    reported_us: int
    changed_us: int
    attester: str | None
    stake: Credits
    digest: str
    module: str | None
    affected: tuple[AffectedModule, ...]
    target: str | None
    change: int | None
    is_doubled: bool
    held: Credits
    owed: Credits
    from_bond: Credits
    final_at_us: int | None
    dispute: int | None
    outcome: HowFinal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredChange:
    """Describe a declared change: ``left`` is what of the bond can still pay, ``externality`` what it answers for."""

    id: int
    module: str
    agent: str
    bond: Credits
    left: Credits
    declared_us: int
    returns_us: int
    is_open: bool
    externality: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalityRate:
    """Say what one ``unit`` of a kind costs now, and what one levy is at most."""

    kind: ExternalityKind
    rate: Credits
    unit: str
    cap: Credits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalityRates:
    """Say what each kind costs now, what a report puts at stake, and what a bond is at least."""

    rates: tuple[ExternalityRate, ...]
    stake: Credits
    bond_min: Credits
