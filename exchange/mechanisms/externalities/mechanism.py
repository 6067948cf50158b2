"""Let who harms others pay those who suffer: family ``externalities``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.externalities.assessing import (
    ISSUED,
    KINDS,
    PUBLIC,
    ModuleDirectory,
    assess_debt,
    check_attester,
    double,
    examine,
    price,
    rate_of,
)
from exchange.mechanisms.externalities.declaring import FORGET, RETURN_BOND, Declaring
from exchange.mechanisms.externalities.invariants import broken_invariants
from exchange.mechanisms.externalities.levy import Change, Levy, Suffering
from exchange.mechanisms.externalities.queries import Queries
from exchange.mechanisms.facts import (
    DebtIssued,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    EvidenceGiven,
    ExternalityFinal,
)
from exchange.mechanisms.shares import largest_remainder
from exchange.mechanisms.tally import Figure, Tally
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.externalities import (
    AcceptExternality,
    DeclareChange,
    ExternalityEnded,
    ExternalityOutcome,
    ExternalityReported,
    HowFinal,
    ReportExternality,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Externalities"]

_SECOND_US: Final = 1_000_000
_REMEMBERED: Final = 1_000
"""So many levies that ended can still be asked for, and are not taken again."""

_FINALIZE: Final = "externalities.finalize"

Violation = tuple[Reason, str]


class Externalities(Mechanism):
    """Keep every levy from its report until its money has moved, and the changes that were declared."""

    family: ClassVar[str] = "externalities"
    summary: ClassVar[str] = "externality prices: who breaks, interrupts or blocks others pays those who bear it"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Levy] = {}
        self.ended: dict[int, Levy] = {}
        self.by_owner: dict[str, dict[int, None]] = {}
        """The levies that are not final, by the owners of source, attester and those to be compensated."""
        self.reported: dict[tuple[str, str, str, str, str], int] = {}
        """The levies that are known by what is reported only once."""
        self.reports: dict[str, int] = {}
        """How many levies that are not final each owner attested."""
        self.modules: ModuleDirectory | None = None
        self.declaring = Declaring(self)
        self._last_number = 0
        self._queries = Queries(self)
        self._tally = _tally()
        context.react(DebtIssued, self._price_debt)
        context.react(DisputeOpened, self._freeze)
        context.react(DisputeDecided, self._decide)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the modules that depend on each other, and their owners."""
        self.modules = mechanisms.get("property")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            DeclareChange: CommandRule(self.declaring.declare, "trader", opens=True),
            ReportExternality: CommandRule(self.report, "attester", opens=True),
            AcceptExternality: CommandRule(self.accept, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            _FINALIZE: self._finalize,
            RETURN_BOND: self.declaring.return_bond,
            FORGET: self.declaring.forget,
        }

    # ── reporting ───────────────────────────────────────────────────────────────────────────────

    def report(self, agent: AgentRecord, command: ReportExternality) -> Outcome:
        """Take a report: hold the stake, and of the source what it costs; what it does not have, it owes."""
        context, settings = self.context, self.context.settings
        found = examine(context, self.modules, command)
        if not isinstance(found, Suffering):
            return context.reject(command, *found)
        change = self.declaring.find(found, command.change) if found.kind == "coupling" else None
        if change is not None and not isinstance(change, Change):
            return context.reject(command, *change)
        # What was declared is priced as it was then: whoever declares knows what it will cost.
        priced_us = found.changed_us if change is None else change.declared_us
        problem = price(context, self.modules, found, command, priced_us) or check_attester(context, agent, found)
        if problem is not None:
            return context.reject(command, *problem)
        if found.kind == "coupling" and change is None:
            double(found)
        levy = Levy(self._last_number + 1, found, agent.agent_id, settings.externality_stake, context.time_us)
        levy.reference, levy.digest = command.reference, command.digest
        problem = self._check_report(agent, levy)
        if problem is not None:
            return context.reject(command, *problem)
        self._last_number = levy.number
        posting = context.cashier.posting(levy.cause)
        posting.fund(levy.attester, levy.escrow, levy.stake)
        if change is not None:
            self.declaring.use(change, levy, posting)
        posting.post()
        self._index(levy)
        self._collect(levy)
        final_at_us = context.time_us + settings.dispute_window_seconds * _SECOND_US
        levy.deadline_id = context.deadlines.schedule_act(final_at_us, _FINALIZE, VENUE_SCOPE, levy.number)
        self._tally.count("reported_total", found.kind)
        self._tally.count("doubled_total", by=int(found.is_doubled))
        held = levy.held(context.cashier)
        self._tell_reported(levy, held, final_at_us)
        return ExternalityOutcome(
            command.id,
            "accepted",
            context.stamp,
            externality=levy.number,
            amount=found.amount,
            held=held,
            stake=levy.stake,
            final_at_us=final_at_us,
        )

    def _price_debt(self, fact: DebtIssued) -> None:
        """Levy debt that the venue itself knows of: who issued it has agreed to that, so it is final at once."""
        context = self.context
        found = assess_debt(context, fact)
        if not found.amount:
            return
        self._last_number += 1
        levy = Levy(self._last_number, found, "", 0, context.time_us)
        levy.reference = f"{ISSUED}{fact.token}"
        self._index(levy)
        self._collect(levy)
        self._tally.count("reported_total", found.kind)
        self._pay(levy, "accepted")

    def _check_report(self, agent: AgentRecord, levy: Levy) -> Violation | None:
        """Return why what was assessed cannot be taken."""
        context, settings = self.context, self.context.settings
        earlier = self.reported.get(levy.key(context.agents[levy.suffering.source].owner))
        if earlier is not None:
            return Reason.ALREADY_REPORTED, f"externality {earlier} is about the same: {levy.reference!r}"
        if self.reports.get(agent.owner, 0) >= settings.max_open_reports:
            detail = f"{settings.max_open_reports} reports of this owner are not final, and there may be no more"
            return Reason.TOO_MANY_REPORTS, detail
        return context.cashier.check(agent, levy.stake)

    def _collect(self, levy: Levy) -> None:
        """Debit the source by force what no bond has paid; what it does not have is a lien in favour of the escrow."""
        cashier, about = self.context.cashier, levy.suffering
        amount = about.amount - levy.from_bond
        paid = cashier.collect(about.source, levy.escrow, amount, levy.cause)
        levy.lien = cashier.owe(about.source, levy.escrow, amount - paid, levy.cause)

    # ── becoming final ──────────────────────────────────────────────────────────────────────────

    def accept(self, agent: AgentRecord, command: AcceptExternality) -> Outcome:
        """Let a levy be final that goes against an agent's owner."""
        context = self.context
        levy = self.live.get(command.externality)
        if levy is None:
            ended = self.ended.get(command.externality)
            if ended is not None:
                return context.reject(command, Reason.WRONG_STATE, f"externality {ended.number} is {ended.state}")
            return context.reject(command, Reason.UNKNOWN_EXTERNALITY, f"no externality {command.externality}")
        source = levy.suffering.source
        if agent.owner != context.agents[source].owner:
            return context.reject(
                command, Reason.NOT_PERMITTED, f"it goes against {source}, and is its owner's to accept"
            )
        if levy.dispute:
            return context.reject(command, Reason.WRONG_STATE, f"dispute {levy.dispute} decides about it")
        context.deadlines.cancel(levy.deadline_id)
        self._pay(levy, "accepted")
        return context.accept(command)

    def _finalize(self, number: int) -> None:
        self._pay(self.live[number], "undisputed")

    def _pay(self, levy: Levy, outcome: HowFinal) -> None:
        """Pay those who suffer what was collected, and let them be owed the rest; the stake goes back."""
        cashier, about = self.context.cashier, levy.suffering
        held, owed = levy.held(cashier), levy.owed(cashier)
        weights = {name: share.amount for name, share in about.shares.items()}
        paid = dict(largest_remainder(held, weights))
        posting = cashier.posting(levy.cause)
        for name, part in paid.items():
            posting.pay(levy.escrow, name, part)
        if levy.stake:
            posting.give_back(levy.escrow, levy.attester, levy.stake)
        posting.post()
        if owed:
            rest = [(name, share - paid[name]) for name, share in weights.items() if share > paid[name]]
            cashier.divide(levy.lien, rest)
        levy.state = "final"
        self._finish(levy, outcome, paid)
        self._announce(levy)

    def _overturn(self, levy: Levy) -> None:
        """Give everything back, also to the bond; the stake is for who was wronged."""
        cashier, about = self.context.cashier, levy.suffering
        cashier.forgive(levy.lien, about.amount)
        posting = cashier.posting(levy.cause)
        posting.give_back(levy.escrow, about.source, levy.held(cashier) - levy.from_bond)
        self.declaring.give_back(levy, posting)
        posting.pay(levy.escrow, about.source, levy.stake)
        posting.post()
        levy.state = "overturned"
        self._tally.count("forfeited_stake_credits_total", by=levy.stake)
        self._finish(levy, "overturned", {})

    def _finish(self, levy: Levy, outcome: HowFinal, paid: Mapping[str, int]) -> None:
        """Let a levy be among those that ended, and tell everybody."""
        about = levy.suffering
        levy.outcome, levy.deadline_id = outcome, 0
        del self.live[levy.number]
        self._unindex(levy)
        self.ended[levy.number] = levy
        if len(self.ended) > _REMEMBERED:
            oldest = self.ended.pop(next(iter(self.ended)))
            del self.reported[oldest.key(self.context.agents[oldest.suffering.source].owner)]
        self._tally.count("ended_total", about.kind, outcome)
        for name in levy.parties():
            share = about.shares.get(name)
            owed = 0 if share is None or levy.state != "final" else share.amount - paid[name]
            self.context.emit(
                self.context.agents[name],
                ExternalityEnded(
                    externality=levy.number,
                    kind=about.kind,
                    source=about.source,
                    outcome=outcome,
                    amount=about.amount,
                    paid=paid.get(name, 0),
                    owed=owed,
                ),
            )

    def _announce(self, levy: Levy) -> None:
        """Tell the other mechanisms what is final, pair by pair; breaking others speaks against who owns a module."""
        context, about = self.context, levy.suffering
        self._tally.count("levied_credits_total", about.kind, by=about.amount)
        self._tally.count("units_total", about.kind, by=about.units)
        for name, share in about.shares.items():
            target = None if name == PUBLIC else name
            context.announce(ExternalityFinal(about.kind, share.units, share.amount, about.source, target))
            if about.kind == "coupling" and about.module_owner and not self._is_own(about.module_owner, target):
                context.announce(EvidenceGiven(about.module_owner, "module", 0, share.amount, target))

    def _is_own(self, owner: str, target: str | None) -> bool:
        agents = self.context.agents
        return target is not None and agents[owner].owner == agents[target].owner

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a levy would be about, if this agent may begin one now."""
        levy = self.live.get(number)
        if levy is None:
            return Reason.UNKNOWN_EXTERNALITY, f"no externality {number} that is not final"
        if levy.dispute:
            return Reason.ALREADY_DISPUTED, f"dispute {levy.dispute} was the one there may be"
        about, agents = levy.suffering, self.context.agents
        if agent.owner != agents[about.source].owner:
            return Reason.NOT_PERMITTED, f"it goes against {about.source}, whose owner may dispute it"
        names = [*levy.parties(), about.module_owner] if about.module_owner else levy.parties()
        owners = tuple(dict.fromkeys(agents[name].owner for name in names))
        return DisputeTerms(about.source, levy.attester, about.amount, owners)

    def _freeze(self, fact: DisputeOpened) -> None:
        """Let a levy wait for its dispute."""
        if fact.family != self.family:
            return
        levy = self.live[fact.number]
        self.context.deadlines.cancel(levy.deadline_id)
        levy.deadline_id, levy.dispute, levy.state = 0, fact.dispute, "disputed"

    def _decide(self, fact: DisputeDecided) -> None:
        """Overturn a levy whose dispute was upheld, else let it be final."""
        if fact.family != self.family:
            return
        levy = self.live[fact.number]
        if fact.upheld:
            self._overturn(levy)
        else:
            self._pay(levy, "dispute_lost")

    # ── indexes, telling ────────────────────────────────────────────────────────────────────────

    def _index(self, levy: Levy) -> None:
        agents = self.context.agents
        self.live[levy.number] = levy
        self.reported[levy.key(agents[levy.suffering.source].owner)] = levy.number
        for name in levy.parties():
            self.by_owner.setdefault(agents[name].owner, {})[levy.number] = None
        if levy.attester:
            owner = agents[levy.attester].owner
            self.reports[owner] = self.reports.get(owner, 0) + 1

    def _unindex(self, levy: Levy) -> None:
        agents = self.context.agents
        for owner in dict.fromkeys(agents[name].owner for name in levy.parties()):
            numbers = self.by_owner[owner]
            del numbers[levy.number]
            if not numbers:
                del self.by_owner[owner]
        if not levy.attester:
            return
        owner = agents[levy.attester].owner
        self.reports[owner] -= 1
        if not self.reports[owner]:
            del self.reports[owner]

    def _tell_reported(self, levy: Levy, held: int, final_at_us: int) -> None:
        about = levy.suffering
        for name in levy.parties():
            share = about.shares.get(name)
            self.context.emit(
                self.context.agents[name],
                ExternalityReported(
                    externality=levy.number,
                    kind=about.kind,
                    source=about.source,
                    attester=levy.attester,
                    amount=about.amount,
                    held=held,
                    reference=levy.reference,
                    final_at_us=final_at_us,
                    is_doubled=about.is_doubled,
                    share=0 if share is None else share.amount,
                ),
            )

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        states = {"open": 0, "disputed": 0}
        waiting = stakes = 0
        for levy in list(self.live.values()):
            states[levy.state] = states.get(levy.state, 0) + 1
            waiting += levy.suffering.amount
            stakes += levy.stake
        changes = [change for change in list(self.declaring.changes.values()) if change.is_open]
        bonds = sum(change.left for change in changes)
        text = "Levies that are not final."
        rows: list[Row] = [("levies", text, {"state": state}, count) for state, count in states.items()]
        rows += [
            ("waiting_credits", "What the levies that are not final come to, in whole credits.", {}, waiting),
            ("stake_credits", "What attesters have at stake for them, in whole credits.", {}, stakes),
            ("declared_changes", "Declared changes of which the bond has not returned.", {}, len(changes)),
            ("change_bond_credits", "What is in these bonds, in whole credits.", {}, bonds),
        ]
        text, now_us = "What one unit of a kind costs now, in whole credits.", self.context.time_us
        rows += [("rate_credits", text, {"kind": kind}, rate_of(self.context, kind, now_us)) for kind in KINDS]
        return [*rows, *self._tally.rows()]

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of levies, bonds and their escrows."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all levies that are not final, and of all bonds."""
        bonds = [change.escrow for change in self.declaring.changes.values() if change.is_open]
        return [*[levy.escrow for levy in self.live.values()], *bonds]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            [levy.dump() for levy in self.live.values()],
            [levy.dump() for levy in self.ended.values()],
            self.declaring.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self._last_number, live, ended, declared = state
        for fields in ended:
            levy = Levy.load(fields)
            self.ended[levy.number] = levy
            self.reported[levy.key(self.context.agents[levy.suffering.source].owner)] = levy.number
        for fields in live:
            self._index(Levy.load(fields))
        self.declaring.load(declared)


def _tally() -> Tally:
    kinds = tuple([(kind,) for kind in KINDS])
    outcomes = ("accepted", "undisputed", "dispute_lost", "overturned")
    ends = tuple([(kind, outcome) for kind in KINDS for outcome in outcomes])
    return Tally(
        Figure("reported_total", "Externalities reported.", ("kind",), kinds),
        Figure("doubled_total", "Levies that were doubled because the change was not declared."),
        Figure("ended_total", "Levies that ended.", ("kind", "outcome"), ends),
        Figure("levied_credits_total", "Whole credits of levies that became final.", ("kind",), kinds),
        Figure("units_total", "Units of levies that became final; of coupling, severity.", ("kind",), kinds),
        Figure("forfeited_stake_credits_total", "Whole credits of stakes forfeited for overturned reports."),
    )
