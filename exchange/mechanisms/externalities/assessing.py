"""Say what a report comes to: which modules count, what the levy is, and who is compensated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from exchange.mechanisms.externalities.levy import Affected, Share, Suffering
from exchange.mechanisms.shares import largest_remainder
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.mechanisms.facts import DebtIssued
    from exchange.messages.externalities import ExternalityKind, ReportExternality

__all__ = [
    "ISSUED",
    "KINDS",
    "PUBLIC",
    "ModuleDirectory",
    "assess_debt",
    "check_attester",
    "double",
    "examine",
    "price",
    "rate_of",
]

KINDS: Final[tuple[ExternalityKind, ...]] = ("coupling", "context_switch", "blocking", "debt", "knowledge_hoarding")
"""What is priced."""

PUBLIC: Final = "public_fund"
"""The account that is compensated where nobody in particular suffers."""

ISSUED: Final = "debts:"
"""References of debt that was issued at the venue, and priced then, begin so."""

_SECOND_US: Final = 1_000_000
_MILLI: Final = 1_000
"""So many thousandths are an hour."""

_WHOLE: Final = 100
"""The severity of a module of which everything is broken."""

Violation = tuple[Reason, str]


class ModuleDirectory(Protocol):
    """Say what this mechanism needs to know about modules."""

    def has_module(self, module: str) -> bool:
        """Return whether a module is registered."""

    def owner_at(self, module: str, time_us: int) -> str | None:
        """Return the agent that owned a module at a time; None if nobody did."""

    def depends_on(self, module: str, dependency: str, registered_by_us: int) -> bool:
        """Return whether it was registered by then that a module depends on another."""


def rate_of(context: Context, kind: ExternalityKind, time_us: int) -> int:
    """Return what one unit of a kind cost at a time; of coupling, one module with a severity of 100."""
    return context.setting_at(f"{kind}_rate", time_us)


def examine(context: Context, modules: ModuleDirectory | None, command: ReportExternality) -> Suffering | Violation:
    """Return what a report is about, not priced yet, or the first rule that it breaks."""
    changed_us = context.time_us if command.changed_us is None else command.changed_us
    found = Suffering(command.kind, command.source, command.module or "", command.target or "", changed_us)
    problem = (
        _check_form(command)
        or _check_reference(command)
        or _check_parties(context, command)
        or _check_time(context, changed_us)
        or _find_module(context, modules, found)
    )
    return found if problem is None else problem


def price(
    context: Context, modules: ModuleDirectory | None, found: Suffering, command: ReportExternality, priced_us: int
) -> Violation | None:
    """Note what it comes to, by the rate and the cap of a time, and for whom; return why it comes to nothing."""
    found.rate = rate_of(context, command.kind, priced_us)
    if command.affected and modules is not None:
        return _count_affected(context, modules, found, command, priced_us)
    return _count_units(context, found, command.units or 1)


def assess_debt(context: Context, fact: DebtIssued) -> Suffering:
    """Return what debt comes to that an agent has issued: its interest of a month, for who suffers by weight.

    Amounts are rounded down, units are started hours.
    """
    found = Suffering("debt", fact.issuer, "", "", context.time_us)
    found.rate = rate_of(context, "debt", context.time_us)
    owner = context.agents[fact.issuer].owner
    weights = {name: weight for name, weight in fact.beneficiaries if context.agents[name].owner != owner}
    if not weights:
        return found
    found.units = -(-fact.interest_hours_milli // _MILLI)
    found.amount = min(found.rate * fact.interest_hours_milli // _MILLI, context.settings.max_externality_levy)
    units = dict(largest_remainder(found.units, weights))
    amounts = largest_remainder(found.amount, weights)
    found.shares = {name: Share(amount, units[name]) for name, amount in amounts}
    return found


def double(found: Suffering) -> None:
    """Let a levy, and every share of it, be twice as much."""
    found.is_doubled = True
    found.amount *= 2
    found.affected = [each._replace(share=2 * each.share) for each in found.affected]
    found.shares = {name: share._replace(amount=2 * share.amount) for name, share in found.shares.items()}


# ── guards ──────────────────────────────────────────────────────────────────────────────────────


def _check_form(command: ReportExternality) -> Violation | None:
    """Return what is missing or too much for the kind."""
    kind, needs_units = command.kind, command.kind in ("blocking", "debt", "knowledge_hoarding")
    names = [each.module for each in command.affected]
    problem = ""
    if kind in ("coupling", "knowledge_hoarding") and command.module is None:
        problem = f"{kind} is about a module: name it"
    elif kind == "coupling" and not command.affected:
        problem = "coupling is about the modules that a change affected: name them, with severities"
    elif kind == "coupling" and (command.units is not None or command.target is not None):
        problem = "coupling is counted by the modules affected, whose owners suffer: give no units and no target"
    elif kind != "coupling" and command.change is not None:
        problem = f"only coupling is about a declared change, not {kind}"
    elif kind in ("context_switch", "blocking") and command.affected:
        problem = f"{kind} is suffered by a target, not by modules"
    elif command.affected and command.target is not None:
        problem = "those who suffer are either the owners of the modules affected or a target, not both"
    elif command.affected and command.module is None:
        problem = "modules are affected by one they depend on: name it as module"
    elif needs_units and command.units is None:
        problem = f"{kind} is counted in units: say how many"
    elif len(dict.fromkeys(names)) != len(names):
        problem = "a module is named twice"
    return (Reason.INVALID_EXTERNALITY_TERMS, problem) if problem else None


def _check_reference(command: ReportExternality) -> Violation | None:
    """Return whether it takes a name that the venue has for what it knows itself."""
    if command.kind != "debt" or not command.reference.startswith(ISSUED):
        return None
    detail = f"debt that is issued at the venue is priced then; a reference does not begin with {ISSUED!r}"
    return Reason.INVALID_EXTERNALITY_TERMS, detail


def _check_parties(context: Context, command: ReportExternality) -> Violation | None:
    source = context.agents.get(command.source)
    if source is None:
        return Reason.UNKNOWN_AGENT, f"{command.source} is not registered"
    if context.cashier.payee(command.source) not in context.agents:
        return Reason.AGENT_REVOKED, f"{command.source} was revoked, and nobody of its owner is left who could pay"
    if command.target is None:
        return None
    target = context.agents.get(command.target)
    if target is None:
        return Reason.UNKNOWN_AGENT, f"{command.target} is not registered"
    if target.owner == source.owner:
        return (
            Reason.SAME_OWNER,
            f"{command.target} is of {source.owner}, too: what one does to itself is free",
        )
    return None


def _check_time(context: Context, changed_us: int) -> Violation | None:
    if changed_us > context.time_us:
        return Reason.INVALID_EXTERNALITY_TERMS, f"changed_us is at most venue time {context.time_us}"
    seconds = context.settings.externality_report_seconds
    if changed_us <= context.time_us - seconds * _SECOND_US:
        return Reason.EXTERNALITY_TOO_OLD, f"what was done is reported within {seconds} seconds"
    return None


def _find_module(context: Context, modules: ModuleDirectory | None, found: Suffering) -> Violation | None:
    """Note who owned the module that it is about, if it is about one."""
    if not found.module:
        return None
    if modules is None or not modules.has_module(found.module):
        return Reason.UNKNOWN_MODULE, f"no module {found.module!r} is registered"
    found.module_owner = modules.owner_at(found.module, found.changed_us) or ""
    if found.kind != "knowledge_hoarding":
        return None
    owner = context.agents[found.module_owner].owner if found.module_owner else ""
    if owner != context.agents[found.source].owner:
        detail = f"knowledge of {found.module!r} is hoarded by its owner: {found.module_owner or 'nobody'}"
        return Reason.INVALID_EXTERNALITY_TERMS, detail
    return None


def check_attester(context: Context, attester: AgentRecord, found: Suffering) -> Violation | None:
    """Return whose owner the attester is of, of all those whom something concerns that is priced."""
    for name in (found.source, found.module_owner, *list(found.shares)):
        party = context.agents.get(name)
        if party is not None and party.owner == attester.owner:
            return Reason.SAME_OWNER, f"{attester.agent_id} is of the owner of {name}, whom it concerns"
    return None


# ── counting ────────────────────────────────────────────────────────────────────────────────────


def _count_affected(
    context: Context, modules: ModuleDirectory, found: Suffering, command: ReportExternality, priced_us: int
) -> Violation | None:
    """Split the levy among the owners of the modules that count, by severity."""
    rows = [(each.module, each.severity) for each in command.affected]
    owners = {name: _sufferer(context, modules, found, name) for name, _ in rows}
    weights = {name: severity for name, severity in rows if owners[name]}
    severity = sum(weights.values())
    if not weights:
        seconds = context.settings.dependency_age_seconds
        detail = f"none of others was registered as depending on {found.module!r} {seconds} seconds before the change"
        return Reason.NOTHING_AFFECTED, detail
    if found.kind == "coupling":
        found.units = severity
        found.amount = min(found.rate * severity // _WHOLE, context.setting_at("max_coupling_tax", priced_us))
    else:
        problem = _price(context, found, command.units or 1)
        if problem is not None:
            return problem
    if not found.amount:
        return _nothing(found)
    parts = dict(largest_remainder(found.amount, weights))
    units = dict(largest_remainder(found.units, weights))
    found.affected = [Affected(name, each, owners[name], parts.get(name, 0)) for name, each in rows]
    for name in weights:
        before = found.shares.get(owners[name], Share(0, 0))
        found.shares[owners[name]] = Share(before.amount + parts[name], before.units + units[name])
    return None


def _sufferer(context: Context, modules: ModuleDirectory, found: Suffering, module: str) -> str:
    """Return who is compensated for a module; nobody if it does not count."""
    registered_by_us = found.changed_us - context.settings.dependency_age_seconds * _SECOND_US
    if not modules.depends_on(module, found.module, registered_by_us):
        return ""
    owner = modules.owner_at(module, found.changed_us)
    if owner is None:
        return PUBLIC
    return "" if context.agents[owner].owner == context.agents[found.source].owner else owner


def _count_units(context: Context, found: Suffering, units: int) -> Violation | None:
    """Let the levy compensate the target, or the public where there is none."""
    problem = _price(context, found, units)
    if problem is not None:
        return problem
    if not found.amount:
        return _nothing(found)
    found.shares = {found.target or PUBLIC: Share(found.amount, units)}
    return None


def _price(context: Context, found: Suffering, units: int) -> Violation | None:
    found.units, found.amount = units, found.rate * units
    most = context.settings.max_externality_levy
    if found.amount > most:
        return Reason.INVALID_EXTERNALITY_TERMS, f"{units} units cost {found.amount}, and a levy is at most {most}"
    return None


def _nothing(found: Suffering) -> Violation:
    return Reason.NOTHING_AFFECTED, f"it comes to nothing at the rate of {found.rate} for {found.kind}"
