"""Send reports of coupling to a venue, and say what came of each."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_sdk import Agent
    from exchange.coupling.reporting import Report

__all__ = ["Sent", "modules_of", "send"]

_SETTLED: Final = (Reason.ALREADY_REPORTED, Reason.NOTHING_AFFECTED)
"""Nothing is wrong: the venue has it already, or it costs nothing by the rules of the venue."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say what came of a report."""

    module: str
    externality: int | None = None
    amount: Decimal | None = None
    held: Decimal | None = None
    stake: Decimal | None = None
    final_at_us: int | None = None
    rejected: str | None = None
    detail: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Return whether somebody has to do something."""
        return self.rejected is not None and self.rejected not in _SETTLED


async def modules_of(agent: Agent) -> list[str]:
    """Return the names of the modules that the venue knows."""
    return [module.id for module in await agent.property.list()]


async def send(agent: Agent, reports: Sequence[Report]) -> list[Sent]:
    """Report what was found; one that is rejected does not keep the next from being sent."""
    return [await _send(agent, report) for report in reports]


async def _send(agent: Agent, report: Report) -> Sent:
    from agent_sdk import Rejected

    try:
        reported = await agent.externalities.report(
            "coupling",
            report.source or "",
            report.reference,
            digest=report.digest,
            module=report.module,
            affected={one.module: one.severity for one in report.affected},
            # By the venue's clock, which may be behind the one that the commit was made by.
            changed_us=min(report.changed_us, agent.venue_time_us),
        )
    except Rejected as rejected:
        return Sent(module=report.module, rejected=rejected.reason, detail=rejected.detail)
    return Sent(
        module=report.module,
        externality=reported.externality,
        amount=reported.amount,
        held=reported.held,
        stake=reported.stake,
        final_at_us=reported.final_at_us,
    )
