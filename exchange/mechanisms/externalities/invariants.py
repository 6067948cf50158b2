"""Check what must always be true of levies, bonds and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.externalities.levy import Change, Levy
    from exchange.mechanisms.externalities.mechanism import Externalities

__all__ = ["broken_invariants"]


def broken_invariants(externalities: Externalities) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    reports: dict[str, int] = {}
    agents = externalities.context.agents
    for levy in externalities.live.values():
        broken.extend(f"{name}: {levy.number}" for name in _levy_problems(externalities, levy))
        reports[agents[levy.attester].owner] = reports.get(agents[levy.attester].owner, 0) + 1
    for change in externalities.declaring.changes.values():
        broken.extend(f"{name}: {change.number}" for name in _change_problems(externalities, change))
    if reports != externalities.reports:
        broken.append("open_reports_are_counted")
    known = [*externalities.live.values(), *externalities.ended.values()]
    if len(externalities.reported) != len(known) or any(
        externalities.reported.get(levy.key(agents[levy.suffering.source].owner)) != levy.number for levy in known
    ):
        broken.append("nothing_is_reported_twice")
    return broken


def _levy_problems(externalities: Externalities, levy: Levy) -> Iterator[str]:
    context, about = externalities.context, levy.suffering
    cashier, agents = context.cashier, context.agents
    if levy.held(cashier) + levy.owed(cashier) != about.amount:
        yield "escrow_and_lien_equal_levy_and_stake"
    if levy.held(cashier) < levy.from_bond:
        yield "bonds_pay_first"
    shares = about.shares.values()
    if sum(share.amount for share in shares) != about.amount or sum(share.units for share in shares) != about.units:
        yield "shares_add_up_to_levy"
    owner = agents[about.source].owner
    if any(name in agents and agents[name].owner == owner for name in about.shares):
        yield "nobody_is_compensated_by_its_owner"
    if agents[levy.attester].owner in [agents[name].owner for name in levy.parties() if name != levy.attester]:
        yield "attesters_are_of_neither_owner"
    waits = context.deadlines.due_us(levy.deadline_id) is not None if levy.deadline_id else False
    if waits != (levy.state == "open") or bool(levy.dispute) != (levy.state == "disputed"):
        yield "levies_become_final"
    names = levy.parties()
    if any(levy.number not in externalities.by_owner.get(agents[name].owner, ()) for name in names):
        yield "levies_are_indexed_by_owner"
    change = externalities.declaring.changes.get(levy.change) if levy.change else None
    if change is not None and change.levy != levy.number:
        yield "a_change_answers_for_one_levy"


def _change_problems(externalities: Externalities, change: Change) -> Iterator[str]:
    context = externalities.context
    if context.cashier.in_escrow(change.escrow) != change.left:
        yield "escrow_equals_bond"
    if not 0 <= change.left <= change.bond or (change.left and not change.is_open):
        yield "bonds_return"
    if context.deadlines.due_us(change.deadline_id) is None:
        yield "changes_are_forgotten"
    owner = context.agents[change.agent].owner
    declaring = externalities.declaring
    if change.number not in declaring.by_owner.get(owner, ()):
        yield "changes_are_indexed_by_owner"
    if change.number not in declaring.by_module.get(change.module, ()):
        yield "changes_are_indexed_by_module"
