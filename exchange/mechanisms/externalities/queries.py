"""Answer queries about levies, declared changes and rates; none of them is secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.mechanisms.externalities.assessing import KINDS, rate_of
from exchange.messages.externalities import (
    AffectedView,
    ChangesResult,
    ChangeView,
    ExternalitiesResult,
    ExternalityResult,
    ExternalityView,
    GetExternality,
    GetRates,
    ListChanges,
    ListExternalities,
    RatesResult,
    RateView,
    SharePaid,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exchange.mechanisms.externalities.levy import Change, Levy
    from exchange.mechanisms.externalities.mechanism import Externalities
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]

_UNITS: Final = {
    "coupling": "a module of severity 100",
    "context_switch": "interruption",
    "blocking": "started hour",
    "debt": "hour of interest",
    "knowledge_hoarding": "month of a module",
}


class Queries:
    """Read levies and changes; change nothing."""

    def __init__(self, externalities: Externalities) -> None:
        self._externalities = externalities
        self._context = externalities.context

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            GetExternality: self.get_externality,
            ListExternalities: self.list_externalities,
            ListChanges: self.list_changes,
            GetRates: self.get_rates,
        }

    def get_externality(self, agent: AgentRecord, query: GetExternality) -> ExternalityResult:
        """Describe one levy."""
        del agent
        found = self._externalities
        levy = found.live.get(query.externality) or found.ended.get(query.externality)
        if levy is None:
            message = f"no externality {query.externality}, or it ended long ago"
            raise NotFound(message)
        return ExternalityResult(externality=self._view(levy))

    def list_externalities(self, agent: AgentRecord, query: ListExternalities) -> ExternalitiesResult:
        """Describe levies that are not final, by number, a page at a time."""
        live = self._externalities.live
        mine: Iterable[int] = live if query.everybodys else self._externalities.by_owner.get(agent.owner, ())
        page, more = _page(mine, query.after, query.limit)
        views = [self._view(live[number]) for number in page]
        return ExternalitiesResult(externalities=views, next=page[-1] if more else None)

    def list_changes(self, agent: AgentRecord, query: ListChanges) -> ChangesResult:
        """Describe declared changes, by number, a page at a time."""
        declaring = self._externalities.declaring
        if query.module is None:
            page, more = _page(declaring.by_owner.get(agent.owner, ()), query.after, query.limit)
        else:
            page, more = _page(declaring.by_module.get(query.module, ()), query.after, query.limit)
        views = [_change_view(declaring.changes[number]) for number in page]
        return ChangesResult(changes=views, next=page[-1] if more else None)

    def get_rates(self, agent: AgentRecord, query: GetRates) -> RatesResult:
        """Say what each kind costs now."""
        del agent, query
        context, settings = self._context, self._context.settings
        rates = [
            RateView(
                kind=kind,
                rate=rate_of(context, kind, context.time_us),
                unit=_UNITS[kind],
                cap=settings.max_coupling_tax if kind == "coupling" else settings.max_externality_levy,
            )
            for kind in KINDS
        ]
        return RatesResult(rates=rates, stake=settings.externality_stake, bond_min=settings.change_bond_min)

    def _view(self, levy: Levy) -> ExternalityView:
        about, cashier = levy.suffering, self._context.cashier
        is_live = levy.number in self._externalities.live
        return ExternalityView(
            externality=levy.number,
            kind=about.kind,
            source=about.source,
            state=levy.state,
            units=about.units,
            rate=about.rate,
            amount=about.amount,
            shares=[
                SharePaid(beneficiary=name, share=share.amount, units=share.units)
                for name, share in about.shares.items()
            ],
            reference=levy.reference,
            reported_us=levy.reported_us,
            changed_us=about.changed_us,
            attester=levy.attester or None,
            stake=levy.stake,
            digest=levy.digest,
            module=about.module or None,
            affected=[
                AffectedView(
                    module=each.module, severity=each.severity, beneficiary=each.beneficiary or None, share=each.share
                )
                for each in about.affected
            ],
            target=about.target or None,
            change=levy.change or None,
            is_doubled=about.is_doubled,
            held=levy.held(cashier) if is_live else 0,
            owed=levy.owed(cashier) if is_live else 0,
            from_bond=levy.from_bond,
            final_at_us=self._context.deadlines.due_us(levy.deadline_id) if levy.deadline_id else None,
            dispute=levy.dispute or None,
            outcome=levy.outcome,
        )


def _change_view(change: Change) -> ChangeView:
    return ChangeView(
        change=change.number,
        module=change.module,
        agent=change.agent,
        bond=change.bond,
        left=change.left,
        declared_us=change.declared_us,
        returns_us=change.returns_us,
        is_open=change.is_open,
        externality=change.levy or None,
    )


def _page(numbers: Iterable[int], after: int, limit: int) -> tuple[list[int], bool]:
    """Return a page of numbers, in order, and whether there are more."""
    found = sorted(number for number in numbers if number > after)
    return found[:limit], len(found) > limit
