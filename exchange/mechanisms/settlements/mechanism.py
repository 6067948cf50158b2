"""Settle what is to be delivered: family ``settlements``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism, NotFound
from exchange.mechanisms.facts import (
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    SettlementAccepted,
    SettlementAgreed,
    SettlementCalledOff,
    SettlementFailed,
)
from exchange.mechanisms.facts import SettlementDelivered as DeliveredFact
from exchange.mechanisms.facts import SettlementOpened as OpenedFact
from exchange.mechanisms.settlements.disputing import Disputing
from exchange.mechanisms.settlements.ending import Ending
from exchange.mechanisms.settlements.invariants import broken_invariants
from exchange.mechanisms.settlements.parties import Parties
from exchange.mechanisms.settlements.settlement import HOUR_US, Settlement
from exchange.mechanisms.settlements.views import view_of
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.reasons import Reason
from exchange.messages.settlements import (
    AcceptFailure,
    Confirm,
    Deliver,
    GetSettlement,
    GiveUp,
    ListSettlements,
    RenewWorkLease,
    SettlementDelivered,
    SettlementFailing,
    SettlementOpened,
    SettlementOutcome,
    SettlementResult,
    SettlementsResult,
    WorkLeaseRenewed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row
    from exchange.messages.base import Event

__all__ = ["Settlements"]

_SECOND_US: Final = 1_000_000
_DELIVERY_BOUNDS: Final = tuple(
    [seconds * _SECOND_US for seconds in (1, 10, 60, 600, 3_600, 21_600, 86_400, 259_200, 604_800, 2_592_000)]
)
"""From a second to thirty days."""

Violation = tuple[Reason, str]


class Settlements(Mechanism):
    """Keep every settlement from its opening until its money has moved."""

    family: ClassVar[str] = "settlements"
    summary: ClassVar[str] = "delivery against escrow and bond: deliver, confirm, fail, work leases, finality"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Settlement] = {}
        self.ended: dict[int, Settlement] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        self._last_number = 0
        self._last_token = 0
        self._tally = Tally(
            Figure("opened_total", "Settlements opened."),
            Figure("final_total", "Settlements that ended for good.", ("outcome",), words(SettlementOutcome)),
            Figure("disputed_total", "Settlements that were disputed."),
            Figure("time_to_deliver_seconds", "Time from opening to each delivery.", bounds=_DELIVERY_BOUNDS),
            Figure("paid_credits_total", "Whole credits paid to providers."),
        )
        self.parties = Parties(context)
        self.ending = Ending(self, self._tally)
        self.disputing = Disputing(self, self._tally)
        context.react(SettlementAgreed, self._open)
        context.react(SettlementCalledOff, self.ending.call_off)
        context.react(SettlementAccepted, self._accept)
        context.react(DisputeOpened, self.disputing.freeze)
        context.react(DisputeDecided, self.disputing.decide)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family: whoever is stopped may still wind up."""
        return {
            Deliver: CommandRule(self.deliver, None, opens=False),
            Confirm: CommandRule(self.confirm, None, opens=False),
            AcceptFailure: CommandRule(self.accept_failure, None, opens=False),
            GiveUp: CommandRule(self.give_up, None, opens=False),
            RenewWorkLease: CommandRule(self.renew, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {GetSettlement: self._get, ListSettlements: self._list}

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "settlements.miss": self._miss,
            "settlements.expire": self._expire,
            "settlements.lapse": self._lapse,
            "settlements.confirm": self._confirm_by_silence,
            "settlements.refund": self._refund_by_silence,
        }

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the mechanisms whose settlements have a payer that stands for many."""
        self.parties.connect(mechanisms)

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a settlement would be about, if this agent may begin one now."""
        return self.disputing.dispute_terms(number, agent)

    def state_of(self, number: int) -> str | None:
        """Return the state of a settlement that is not final; None of any other."""
        settlement = self.live.get(number)
        return None if settlement is None else settlement.state

    # ── opening ─────────────────────────────────────────────────────────────────────────────────

    def _open(self, fact: SettlementAgreed) -> None:
        context = self.context
        terms = fact.terms
        self._last_number = number = self._last_number + 1
        settlement = self.live[number] = Settlement(number, fact.origin, fact.escrow, terms, context.time_us)
        for name in settlement.listeners():
            self.by_agent.setdefault(name, {})[number] = None
        self._await(settlement, terms.deliver_by_us, "settlements.miss")
        if terms.lease_seconds:
            self._last_token = settlement.fencing_token = self._last_token + 1
            self._lease(settlement)
        self._tally.count("opened_total")
        self.tell(
            settlement,
            lambda: SettlementOpened(
                settlement=number,
                origin=fact.origin,
                payer=terms.payer,
                provider=terms.provider,
                price=terms.price,
                bond=terms.bond,
                deliver_by_us=terms.deliver_by_us,
                title=terms.title,
                attester=terms.attester,
                asset=terms.asset,
                quantity=terms.quantity,
                fencing_token=settlement.fencing_token,
                lease_until_us=self._lease_until(settlement),
            ),
        )
        context.announce(OpenedFact(fact.origin, number, settlement.fencing_token))

    def _accept(self, fact: SettlementAccepted) -> None:
        """Complete what those have accepted for whom the payer stands."""
        settlement = self.live.get(fact.settlement)
        if settlement is not None and settlement.state == "delivered":
            self.ending.complete(settlement, is_accepted=True)

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def deliver(self, agent: AgentRecord, command: Deliver) -> Outcome:
        """Take a delivery in time; who confirms it, or silence, makes it final."""
        settlement = self.live.get(command.settlement)
        if settlement is None:
            return self._reject_late(agent, command, command.settlement)
        terms = settlement.terms
        by_attester = self.parties.is_attester(settlement, agent)
        if not by_attester and not self.parties.acts_for(agent, terms.provider):
            return self.context.reject(command, Reason.NOT_PERMITTED, "only its provider or its attester delivers")
        if settlement.state == "delivered":
            return self.context.reject(command, Reason.ALREADY_DELIVERED, "it waits to be confirmed or disputed")
        if by_attester:
            problem = self._check_state(settlement, "open")
        else:
            problem = self._check_work(settlement, command.fencing_token)
        if problem is not None:
            return self.context.reject(command, *problem)
        self._take_delivery(settlement, agent.agent_id, command)
        return self.context.accept(command)

    def _take_delivery(self, settlement: Settlement, by: str, command: Deliver) -> None:
        now_us = self.context.time_us
        confirm_by_us = now_us + settlement.terms.confirm_seconds * _SECOND_US
        settlement.state = "delivered"
        settlement.delivered_us = now_us
        settlement.reference, settlement.digest = command.reference, command.digest
        settlement.late_fee = settlement.late_fee_at(now_us)
        self.end_lease(settlement)
        self._await(settlement, confirm_by_us, "settlements.confirm")
        self._tally.observe("time_to_deliver_seconds", now_us - settlement.opened_us)
        self.tell(
            settlement,
            lambda: SettlementDelivered(
                settlement=settlement.number,
                origin=settlement.origin,
                by=by,
                confirm_by_us=confirm_by_us,
                reference=command.reference,
                digest=command.digest,
                late_fee=settlement.late_fee,
            ),
        )
        self.context.announce(DeliveredFact(settlement.origin, settlement.number, now_us))

    def confirm(self, agent: AgentRecord, command: Confirm) -> Outcome:
        """Accept a delivery: it is paid for at once."""
        settlement = self.live.get(command.settlement)
        if settlement is None:
            return self._reject_unknown(command, command.settlement)
        terms = settlement.terms
        by_attester = self.parties.is_attester(settlement, agent)
        if not by_attester and not self.parties.acts_for(agent, terms.payer):
            return self.context.reject(command, Reason.NOT_PERMITTED, "only its payer or its attester confirms")
        if not by_attester:
            payers = self.parties.payers(settlement)
            if payers is not None and payers.confirm_together:
                detail = f"{terms.payer} stands for many: they confirm together, by {settlement.family}.confirm"
                return self.context.reject(command, Reason.NOT_PERMITTED, detail)
        if by_attester and agent.agent_id != terms.payer and self.parties.is_of_provider(settlement, agent):
            return self.context.reject(command, Reason.SAME_OWNER, "nobody attests what its own owner is paid for")
        if command.score is not None and not by_attester:
            return self.context.reject(command, Reason.FIELD_NOT_ALLOWED, "only the attester of the terms scores")
        problem = self._check_state(settlement, "delivered")
        if problem is not None:
            return self.context.reject(command, *problem)
        settlement.score = command.score
        self.ending.complete(settlement, is_accepted=not by_attester)
        return self.context.accept(command)

    def accept_failure(self, agent: AgentRecord, command: AcceptFailure) -> Outcome:
        """Make a failure final, because the provider does not dispute it."""
        settlement = self.live.get(command.settlement)
        if settlement is None:
            return self._reject_unknown(command, command.settlement)
        if agent.agent_id != settlement.terms.provider:
            return self.context.reject(command, Reason.NOT_PERMITTED, "only its provider accepts it")
        problem = self._check_state(settlement, "failing")
        if problem is not None:
            return self.context.reject(command, *problem)
        self.ending.fail(settlement)
        return self.context.accept(command)

    def give_up(self, agent: AgentRecord, command: GiveUp) -> Outcome:
        """End a settlement of which the provider says itself that it fails."""
        settlement = self.live.get(command.settlement)
        if settlement is None:
            return self._reject_late(agent, command, command.settlement)
        if agent.agent_id != settlement.terms.provider:
            return self.context.reject(command, Reason.NOT_PERMITTED, "only its provider gives it up")
        problem = self._check_work(settlement, command.fencing_token)
        if problem is not None:
            return self.context.reject(command, *problem)
        self._begin_failing(settlement, "given_up", command.detail)
        self.ending.fail(settlement)
        return self.context.accept(command)

    def renew(self, agent: AgentRecord, command: RenewWorkLease) -> Outcome:
        """Let the work lease last for its whole length from now on."""
        settlement = self.live.get(command.settlement)
        if settlement is None:
            return self._reject_late(agent, command, command.settlement)
        if not self.parties.acts_for(agent, settlement.terms.provider):
            return self.context.reject(command, Reason.NOT_PERMITTED, "only its provider has the work lease")
        if not settlement.fencing_token:
            return self.context.reject(command, Reason.FIELD_NOT_ALLOWED, "this settlement has no work lease")
        problem = self._check_work(settlement, command.fencing_token)
        if problem is not None:
            return self.context.reject(command, *problem)
        self.end_lease(settlement)
        self._lease(settlement)
        event = WorkLeaseRenewed(
            settlement=settlement.number,
            fencing_token=settlement.fencing_token,
            lease_until_us=self._lease_until(settlement) or 0,
        )
        self.context.emit(self.context.agents[settlement.terms.provider], event)
        return self.context.accept(command)

    # ── guards ──────────────────────────────────────────────────────────────────────────────────

    def _reject_unknown(self, command: Command, number: int) -> Outcome:
        if number in self.ended:
            return self.context.reject(command, Reason.WRONG_STATE, f"settlement {number} has ended for good")
        return self.context.reject(command, Reason.UNKNOWN_SETTLEMENT, f"no settlement {number}")

    def _reject_late(self, agent: AgentRecord, command: Command, number: int) -> Outcome:
        """Refuse what a worker says of a settlement that is not live, if its work lease lapsed by its token."""
        ended = self.ended.get(number)
        if ended is not None and self.parties.acts_for(agent, ended.terms.provider):
            lapsed = self._check_lapse(ended)
            if lapsed is not None:
                return self.context.reject(command, *lapsed)
        return self._reject_unknown(command, number)

    @staticmethod
    def _check_state(settlement: Settlement, wanted: str) -> Violation | None:
        if settlement.state == wanted:
            return None
        return Reason.WRONG_STATE, f"settlement {settlement.number} is {settlement.state}, not {wanted}"

    @staticmethod
    def _check_lapse(settlement: Settlement) -> Violation | None:
        if settlement.cause != "lease_lapsed":
            return None
        token, number = settlement.fencing_token, settlement.number
        return Reason.STALE_FENCING_TOKEN, f"fencing token {token} ended with the work lease of settlement {number}"

    def _check_work(self, settlement: Settlement, token: int) -> Violation | None:
        """Say what keeps the holder of a token from working on."""
        problem = self._check_lapse(settlement) or self._check_state(settlement, "open")
        if problem is not None:
            return problem
        if token == settlement.fencing_token:
            return None
        detail = f"fencing token {token} is not that of settlement {settlement.number}"
        return Reason.STALE_FENCING_TOKEN, detail

    # ── deadlines ───────────────────────────────────────────────────────────────────────────────

    def _await(self, settlement: Settlement, deadline_us: int, kind: str) -> None:
        """Let the one thing that silence brings come at another time."""
        deadlines = self.context.deadlines
        if settlement.deadline_id:
            deadlines.cancel(settlement.deadline_id)
        settlement.deadline_id = deadlines.schedule_act(deadline_us, kind, VENUE_SCOPE, settlement.number)

    def stop_waiting(self, settlement: Settlement) -> None:
        """Let silence bring nothing."""
        self.context.deadlines.cancel(settlement.deadline_id)
        settlement.deadline_id = 0

    def _lease(self, settlement: Settlement) -> None:
        until_us = self.context.time_us + settlement.terms.lease_seconds * _SECOND_US
        deadlines = self.context.deadlines
        settlement.lease_id = deadlines.schedule_act(until_us, "settlements.lapse", VENUE_SCOPE, settlement.number)

    def end_lease(self, settlement: Settlement) -> None:
        """End the work lease, if there is one."""
        if settlement.lease_id:
            self.context.deadlines.cancel(settlement.lease_id)
            settlement.lease_id = 0

    def _lease_until(self, settlement: Settlement) -> int | None:
        return self.context.deadlines.due_us(settlement.lease_id) if settlement.lease_id else None

    def _miss(self, number: int) -> None:
        """Note that it is late now; without late hours it has failed."""
        settlement = self.live[number]
        settlement.deadline_id = 0
        if not settlement.terms.late_hours:
            self._begin_failing(settlement, "undelivered")
            return
        settlement.late_since_us = self.context.time_us
        self._await(settlement, self.context.time_us + settlement.terms.late_hours * HOUR_US, "settlements.expire")

    def _expire(self, number: int) -> None:
        settlement = self.live[number]
        settlement.deadline_id = 0
        self._begin_failing(settlement, "undelivered")

    def _lapse(self, number: int) -> None:
        settlement = self.live[number]
        settlement.lease_id = 0
        self._begin_failing(settlement, "lease_lapsed")

    def _confirm_by_silence(self, number: int) -> None:
        settlement = self.live[number]
        settlement.deadline_id = 0
        self.ending.complete(settlement)

    def _refund_by_silence(self, number: int) -> None:
        settlement = self.live[number]
        settlement.deadline_id = 0
        self.ending.fail(settlement)

    def _begin_failing(
        self, settlement: Settlement, cause: Literal["undelivered", "lease_lapsed", "given_up"], detail: str = ""
    ) -> None:
        """Let a settlement fail; it is final when nobody disputes it within the window."""
        window_us = self.context.setting_at("dispute_window_seconds", settlement.opened_us) * _SECOND_US
        final_at_us = self.context.time_us + (0 if cause == "given_up" else window_us)
        settlement.state = "failing"
        settlement.cause = cause
        self.end_lease(settlement)
        if cause != "given_up":
            self._await(settlement, final_at_us, "settlements.refund")
        self.tell(
            settlement,
            lambda: SettlementFailing(
                settlement=settlement.number,
                origin=settlement.origin,
                cause=cause,
                final_at_us=final_at_us,
                detail=detail,
            ),
        )
        self.context.announce(SettlementFailed(settlement.origin, settlement.number, cause))

    # ── telling ─────────────────────────────────────────────────────────────────────────────────

    def tell(self, settlement: Settlement, make: Callable[[], Event]) -> None:
        """Send parties and attester an event each of their own."""
        for name in settlement.listeners():
            self.context.emit(self.context.agents[name], make())

    def _get(self, agent: AgentRecord, query: GetSettlement) -> SettlementResult:
        settlement = self.live.get(query.settlement) or self.ended.get(query.settlement)
        if settlement is None or not self.parties.may_read(settlement, agent):
            message = f"no settlement {query.settlement} in which {agent.agent_id} is a party"
            raise NotFound(message)
        return SettlementResult(settlement=view_of(settlement, self.context.deadlines))

    def _list(self, agent: AgentRecord, query: ListSettlements) -> SettlementsResult:
        numbers = [number for number in self.by_agent.get(agent.agent_id, ()) if number > query.after]
        page = numbers[: query.limit]
        views = [view_of(self.live[number], self.context.deadlines) for number in page]
        return SettlementsResult(settlements=views, next=page[-1] if len(numbers) > query.limit else None)

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        states = dict.fromkeys(("open", "delivered", "failing", "disputed"), 0)
        in_escrow = 0
        for settlement in list(self.live.values()):
            states[settlement.state] = states.get(settlement.state, 0) + 1
            in_escrow += settlement.terms.price + settlement.terms.bond
        rows: list[Row] = [
            ("live", "Settlements that are not final.", {"state": state}, count) for state, count in states.items()
        ]
        rows.append(("escrow_credits", "Whole credits that wait in settlements.", {}, in_escrow))
        return [*rows, *self._tally.rows()]

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of settlements and their escrows."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all settlements that are not final."""
        return [settlement.escrow for settlement in self.live.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            self._last_token,
            [settlement.dump() for settlement in self.live.values()],
            [settlement.dump() for settlement in self.ended.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._last_number, self._last_token, live, ended = state
        for fields in live:
            settlement = Settlement.load(fields)
            self.live[settlement.number] = settlement
            for name in settlement.listeners():
                self.by_agent.setdefault(name, {})[settlement.number] = None
        for fields in ended:
            settlement = Settlement.load(fields)
            self.ended[settlement.number] = settlement
