"""Turn findings into what is reported to the venue: one report for every changed module that broke something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from exchange.coupling.findings import digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from exchange.coupling.findings import Findings
    from exchange.coupling.repository import Change

__all__ = ["MAX_AFFECTED", "Damage", "Report", "known_only", "reports_of"]

MAX_AFFECTED: Final = 256
"""So many modules fit into one report."""


class Damage(msgspec.Struct, frozen=True):
    """Say how badly a module was affected."""

    module: str
    severity: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the venue is told about one changed module."""

    kind: str = "coupling"
    source: str | None
    """Agent that made the change, as far as it was said."""
    module: str
    """Changed module."""
    affected: list[Damage]
    """Modules whose tests it broke, sorted by name; of more than fit those that it hurt most."""
    reference: str
    """Repository and commits."""
    digest: str
    """Digest of all findings about the change."""
    changed_us: int
    """Time of the change."""


def reports_of(
    findings: Findings, change: Change, repository: str, source: str | None, now_us: int, only: Collection[str] = ()
) -> list[Report]:
    """Return the reports about a change, by the module that is blamed; of these ``only`` some, if any are named.

    The time of the change is when its last commit was made, and never later than now.
    """
    hurt = [found for found in findings.affected if found.severity and (not only or found.via in only)]
    digest = digest_of(findings)
    return [
        Report(
            source=source,
            module=module,
            affected=_worst([Damage(found.module, found.severity) for found in hurt if found.via == module]),
            reference=f"{repository} {change}",
            digest=digest,
            changed_us=min(change.committed_us, now_us),
        )
        for module in sorted({found.via for found in hurt})
    ]


def _worst(damage: list[Damage]) -> list[Damage]:
    worst = sorted(damage, key=lambda one: (-one.severity, one.module))[:MAX_AFFECTED]
    return sorted(worst, key=lambda one: one.module)


def known_only(reports: Sequence[Report], known: Collection[str]) -> tuple[list[Report], list[str]]:
    """Return what of the reports a venue can take that knows these modules, and the names of the modules left out."""
    taken: list[Report] = []
    unknown: set[str] = set()
    for report in reports:
        unknown |= {one.module for one in report.affected if one.module not in known}
        affected = [one for one in report.affected if one.module in known]
        if report.module not in known:
            unknown.add(report.module)
        elif affected:
            taken.append(msgspec.structs.replace(report, affected=affected))
    return taken, sorted(unknown)
