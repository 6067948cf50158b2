"""``exchange externality``: declare changes, report what agents do to others, and see what it costs."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ask, print_all, print_done, print_one, when
from exchange.cli._names import Amount
from exchange.cli._output import CliError, Json, print_json, say
from exchange.cli._venue import Venue
from exchange.messages.externalities import ExternalityKind

if TYPE_CHECKING:
    from agent_sdk import AffectedModule, Agent, ReportedExternality

__all__ = ["accept_", "changes_", "declare_", "list_", "rates_", "report_", "show_"]

_WHOLE: Final = 100
_UNKNOWN: Final = "there is no externality {}, or it ended long ago; see `exchange externality list --everybodys`"


def declare_(module: str, /, *, bond: Amount, venue: Venue | None = None, json: Json = False) -> None:
    """Say that a module will be changed: its bond pays first for what breaks, and that is not doubled.

    Parameters
    ----------
    module
        Module that will be changed.
    bond
        Credits that pay first; what is left returns after a week.
    """
    found = ask(venue, lambda agent: agent.externalities.declare(module, bond))
    print_done(
        found,
        json,
        f"change {found.change} of {module} is declared; what is left of {bond:f} returns {when(found.returns_us)}.",
    )


def report_(
    kind: ExternalityKind,
    /,
    *,
    source: str,
    reference: str,
    digest: str = "",
    module: str | None = None,
    affected: tuple[str, ...] = (),
    target: str | None = None,
    units: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    change: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    ago: timedelta = timedelta(0),
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Attest, with a stake, what an agent did to others; `exchange attest coupling` does it for a git repository.

    Parameters
    ----------
    kind
        What was done: coupling, context_switch, blocking, debt or knowledge_hoarding.
    source
        Agent that did it.
    reference
        Where the evidence is; the same is reported once.
    digest
        Digest of the evidence.
    module
        Module that was changed, or that has no documentation.
    affected
        Module that suffers with its severity from 1 to 100, such as billing=40; repeat it for all.
    target
        Agent that was interrupted, blocked or made to wait.
    units
        Interruptions, started hours, hours of interest, or months.
    change
        Number of the declared change (default: what fits).
    ago
        Time since it was done, such as 2h (default: now).
    """
    severities = dict(_read_affected(text) for text in affected)
    if len(severities) != len(affected):
        message = f"--affected {affected[-1]}: name every module once"
        raise CliError(message)

    async def report(agent: Agent) -> ReportedExternality:
        changed_us = agent.venue_time_us - round(ago.total_seconds() * 1e6) if ago else None
        return await agent.externalities.report(
            kind, source, reference, digest=digest, module=module, affected=severities, target=target, units=units,
            change=change, changed_us=changed_us,
        )  # fmt: skip

    found = ask(venue, report)
    print_done(
        found,
        json,
        f"externality {found.externality} costs {source} {found.amount:f}, of which {found.held:f} is held; "
        f"it may be disputed until {when(found.final_at_us)}. At stake: {found.stake:f}.",
    )


def _read_affected(text: str) -> tuple[str, int]:
    name, equals, severity = text.rpartition("=")
    if not (equals and name and severity.isascii() and severity.isdecimal() and 1 <= int(severity) <= _WHOLE):
        message = f"--affected {text}: give a module with a severity from 1 to 100, such as billing=40"
        raise CliError(message)
    return name, int(severity)


def accept_(externality: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Accept what goes against the agent's owner, instead of letting the time to dispute it pass.

    Parameters
    ----------
    externality
        Number of the levy.
    """
    ask(venue, lambda agent: agent.externalities.accept(externality))
    print_done({"externality": externality, "accepted": True}, json, f"externality {externality} is final.")


def list_(*, everybodys: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the levies that are not final in which the agent's owner has a part.

    Parameters
    ----------
    everybodys
        List everybody's.
    """
    print_all(
        ask(venue, lambda agent: agent.externalities.list(everybodys=everybodys)),
        json,
        ("externality", "kind", "source", "state", ">amount", ">held", ">owed", "for", "final"),
        lambda found: (
            found.id, found.kind, found.source, found.state, f"{found.amount:f}", f"{found.held:f}", f"{found.owed:f}",
            ", ".join(share.beneficiary for share in found.shares), when(found.final_at_us) or "by a dispute",
        ),
        empty="There are no levies that are not final.",
    )  # fmt: skip


def show_(externality: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one levy: what was done, what it costs, and who is compensated.

    Parameters
    ----------
    externality
        Number of the levy.
    """
    found = ask(venue, lambda agent: agent.externalities.get(externality), _UNKNOWN.format(externality))
    print_one(
        found,
        json,
        (
            ("externality", found.id),
            ("kind", found.kind),
            ("source", found.source),
            ("state", found.state if found.outcome is None else f"{found.state}: {found.outcome}"),
            ("attester", found.attester),
            ("reference", found.reference),
            ("digest", found.digest),
            ("module", found.module),
            ("target", found.target),
            ("done", when(found.changed_us)),
            ("declared as", None if found.change is None else f"change {found.change}"),
            ("units", found.units),
            ("rate", f"{found.rate:f}"),
            ("amount", f"{found.amount:f}{', doubled: not declared' if found.is_doubled else ''}"),
            ("paid by the bond", f"{found.from_bond:f}" if found.from_bond else None),
            ("held", f"{found.held:f}" if found.outcome is None else None),
            ("owed", f"{found.owed:f}" if found.owed else None),
            ("at stake", f"{found.stake:f}" if found.outcome is None else None),
            ("final", when(found.final_at_us)),
            ("dispute", found.dispute),
            *((f"for {share.beneficiary}", f"{share.share:f}") for share in found.shares),
            *((f"module {each.module}", _affected(each)) for each in found.affected),
        ),
    )


def _affected(each: AffectedModule) -> str:
    counts = "does not count" if each.beneficiary is None else f"{each.share:f} for {each.beneficiary}"
    return f"severity {each.severity}, {counts}"


def changes_(*, module: str | None = None, venue: Venue | None = None, json: Json = False) -> None:
    """List the changes that were declared by the agent's owner, or of a module.

    Parameters
    ----------
    module
        Module of which to list them, by anybody.
    """
    print_all(
        ask(venue, lambda agent: agent.externalities.changes(module)),
        json,
        ("change", "module", "agent", ">bond", ">left", "declared", "returns", "externality"),
        lambda found: (
            found.id, found.module, found.agent, f"{found.bond:f}", f"{found.left:f}", when(found.declared_us),
            when(found.returns_us) if found.is_open else "returned", found.externality or "",
        ),
        empty="No changes are declared.",
    )  # fmt: skip


def rates_(*, venue: Venue | None = None, json: Json = False) -> None:
    """Show what each kind of externality costs now, and what a report puts at stake."""
    found = ask(venue, lambda agent: agent.externalities.rates())
    if json:
        print_json(msgspec.to_builtins(found))
        return
    print_all(
        found.rates,
        json,
        ("kind", ">rate", "per", ">at most"),
        lambda each: (each.kind, f"{each.rate:f}", each.unit, "" if each.cap is None else f"{each.cap:f}"),
        empty="",
    )
    say(f"A report puts {found.stake:f} at stake; the bond of a declared change is at least {found.bond_min:f}.")
