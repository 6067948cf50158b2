"""Bind and settle conditional contracts: family ``contracts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.contracts.attesting import Attesting
from exchange.mechanisms.contracts.conditions import evaluate, leaves_of
from exchange.mechanisms.contracts.contract import Contract, Part
from exchange.mechanisms.contracts.invariants import broken_invariants
from exchange.mechanisms.contracts.proposing import (
    PanelDirectory,
    PredictionDirectory,
    TaskDirectory,
    bond_of,
    check_proposal,
)
from exchange.mechanisms.contracts.queries import Queries
from exchange.mechanisms.contracts.settling import forfeits, part_terms
from exchange.mechanisms.facts import (
    AgentEnded,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    PredictionFinal,
    SettlementAgreed,
    SettlementCalledOff,
    SettlementDelivered,
    SettlementFailed,
    SettlementFinal,
    SettlementOpened,
    SwitchLapsed,
    TaskFinal,
)
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Event, Outcome, Query, Result
from exchange.messages.contracts import (
    AcceptAttestation,
    Attest,
    ContractBound,
    ContractEnded,
    ContractOutcome,
    ContractProposed,
    ContractSigned,
    DeclineContract,
    EndReason,
    PartDelivered,
    PredictionResolved,
    ProposeContract,
    SignContract,
    Statement,
    TaskCompleted,
    TimeReached,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Contracts"]

_REMEMBERED: Final = 1_000
"""So many ended contracts can still be asked for."""

Violation = tuple[Reason, str]


class Contracts(Mechanism):
    """Keep every contract from its proposal until its money has moved."""

    family: ClassVar[str] = "contracts"
    summary: ClassVar[str] = "conditional contracts: all shares are paid in one step if a condition holds, else none"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Contract] = {}
        self.ended: dict[int, Contract] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        self.by_task: dict[int, dict[int, None]] = {}
        """The contracts that wait for a task."""
        self.proposed: dict[str, int] = {}
        """How many contracts that have not ended each owner pays for."""
        self.by_prediction: dict[int, dict[int, None]] = {}
        """The contracts that wait for a prediction market."""
        self.parties: dict[int, dict[str, int]] = {}
        """By prediction market, in how many of those each owner pays or has signed."""
        self._last_number = 0
        self._tasks: TaskDirectory | None = None
        self._predictions: PredictionDirectory | None = None
        self._panels: PanelDirectory | None = None
        self.attesting = Attesting(self)
        self._queries = Queries(self)
        self._tally = Tally(
            Figure("proposed_total", "Contracts proposed."),
            Figure("bound_total", "Contracts that all have signed."),
            Figure("ended_total", "Contracts that ended.", ("outcome",), words(EndReason)),
            Figure("paid_credits_total", "Whole credits paid for shares."),
        )
        context.react(SettlementOpened, self._note_opened)
        context.react(SettlementDelivered, self._note_delivered)
        context.react(SettlementFailed, self._note_failing)
        context.react(SettlementFinal, self._note_final)
        context.react(TaskFinal, self._note_task)
        context.react(PredictionFinal, self._note_prediction)
        context.react(DisputeOpened, self.attesting.freeze)
        context.react(DisputeDecided, self.attesting.decide)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the tasks and prediction markets that conditions may be about, and who judges those."""
        self._tasks = mechanisms.get("tasks")  # type: ignore[assignment]  # by its shape
        self._predictions = mechanisms.get("predictions")  # type: ignore[assignment]  # by its shape
        self._panels = mechanisms.get("disputes")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            ProposeContract: CommandRule(self.propose, "trader", opens=True),
            SignContract: CommandRule(self.sign, "trader", opens=True),
            DeclineContract: CommandRule(self.decline, None, opens=False),
            Attest: CommandRule(self.attesting.attest, "attester", opens=False),
            AcceptAttestation: CommandRule(self.attesting.accept, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "contracts.lapse": self._lapse,
            "contracts.reach": self._reach,
            "contracts.miss": self._miss,
            "contracts.evaluate": self._evaluate_last,
            "contracts.finalize": self.attesting.finalize,
        }

    # ── binding ─────────────────────────────────────────────────────────────────────────────────

    def propose(self, agent: AgentRecord, command: ProposeContract) -> Outcome:
        """Put the shares into escrow and wait for signatures."""
        context = self.context
        markets = [leaf.market for leaf in leaves_of(command.condition) if isinstance(leaf, PredictionResolved)]
        problem = check_proposal(context, agent, command, self._tasks, self._predictions)
        problem = problem or self._check_judge(agent, markets)
        if problem is not None:
            return context.reject(command, *problem)
        cap = context.settings.max_open_contracts
        if self.proposed.get(agent.owner, 0) >= cap:
            return context.reject(command, Reason.TOO_MANY_CONTRACTS, f"an owner pays for at most {cap} at a time")
        total = sum(part.share for part in command.parts)
        problem = context.cashier.check(agent, total)
        if problem is not None:
            return context.reject(command, *problem)
        self._last_number = number = self._last_number + 1
        contract = self.live[number] = Contract(
            number,
            agent.agent_id,
            command.title,
            command.detail,
            command.condition,
            command.sign_by_us,
            command.evaluate_by_us,
        )
        contract.parts = [
            Part(part.name, part.assignee, part.share, bond_of(part), part.deliver_by_us, part.attester)
            for part in command.parts
        ]
        for leaf in leaves_of(command.condition):
            if isinstance(leaf, TaskCompleted):
                contract.tasks[leaf.task] = None
            elif isinstance(leaf, PredictionResolved):
                contract.predictions[leaf.market] = None
        posting = context.cashier.posting(contract.cause)
        posting.fund(agent.agent_id, escrow_of(contract.cause), total)
        posting.post()
        self._index(contract)
        kind = "contracts.lapse"
        contract.deadline_id = context.deadlines.schedule_act(command.sign_by_us, kind, VENUE_SCOPE, number)
        self._tally.count("proposed_total")
        self.tell(
            contract,
            lambda: ContractProposed(
                contract=number,
                title=contract.title,
                payer=contract.payer,
                total=total,
                sign_by_us=contract.sign_by_us,
                evaluate_by_us=contract.evaluate_by_us,
            ),
        )
        return ContractOutcome(command.id, "accepted", context.stamp, contract=number)

    def sign(self, agent: AgentRecord, command: SignContract) -> Outcome:
        """Put an assignee's bonds into escrow; with the last signature the contract binds."""
        context = self.context
        contract = self.live.get(command.contract)
        if contract is None:
            return self.reject_unknown(command, command.contract)
        me = agent.agent_id
        if me not in contract.assignees():
            return context.reject(command, Reason.NOT_PERMITTED, f"{me} has no part in contract {contract.number}")
        if contract.state != "proposed":
            return context.reject(command, Reason.WRONG_STATE, f"contract {contract.number} is {contract.state}")
        if me in contract.signed:
            return context.reject(command, Reason.NO_CHANGE, f"{me} has signed")
        if context.time_us >= min(part.deliver_by_us for part in contract.parts):
            # The time to sign was moved by an outage, the times of the parts are not.
            detail = f"a part of contract {contract.number} is due already; decline, and propose it anew"
            return context.reject(command, Reason.WRONG_STATE, detail)
        bond = contract.bond_of(me)
        problem = self._check_judge(agent, list(contract.predictions)) or context.cashier.check(agent, bond)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(contract.cause)
        posting.fund(me, escrow_of(contract.cause), bond)
        posting.post()
        contract.signed[me] = None
        self._add_party(contract, me)
        self.tell(contract, lambda: ContractSigned(contract=contract.number, agent=me))
        if len(contract.signed) == len(contract.assignees()):
            self._bind(contract)
        return context.accept(command)

    def _check_judge(self, agent: AgentRecord, markets: list[int]) -> Violation | None:
        """Return why an agent's owner may have no contract about some markets now: it judges what they come to.

        Only who asks is told, for who judges is sealed.
        """
        if self._panels is None or self._predictions is None:
            return None
        for market in markets:
            if any(self._panels.judges(agent.owner, matter) for matter in self._predictions.matters_of(market)):
                return Reason.INSIDER, f"{agent.owner} judges what market {market} comes to"
        return None

    def _bind(self, contract: Contract) -> None:
        context, deadlines = self.context, self.context.deadlines
        contract.state, contract.bound_us = "bound", context.time_us
        deadlines.cancel(contract.deadline_id)
        number = contract.number
        contract.deadline_id = deadlines.schedule_act(
            contract.evaluate_by_us, "contracts.evaluate", VENUE_SCOPE, number
        )
        for leaf in leaves_of(contract.condition):
            if isinstance(leaf, TimeReached):
                contract.time_ids.append(deadlines.schedule(leaf.at_us, "contracts.reach", number))
            elif isinstance(leaf, PartDelivered) and leaf.by_us is not None:
                args = (number, leaf.part, leaf.by_us)
                contract.time_ids.append(deadlines.schedule_act(leaf.by_us, "contracts.miss", VENUE_SCOPE, *args))
        self._tally.count("bound_total")
        self.tell(contract, lambda: ContractBound(contract=number))
        for place, part in enumerate(contract.parts):
            origin = f"{contract.cause}:{place}"
            terms = part_terms(contract, part, context.settings.confirm_seconds)
            context.announce(SettlementAgreed(origin, escrow_of(origin), terms))

    def decline(self, agent: AgentRecord, command: DeclineContract) -> Outcome:
        """Let a contract lapse that does not bind yet."""
        contract = self.live.get(command.contract)
        if contract is None:
            return self.reject_unknown(command, command.contract)
        if agent.agent_id not in contract.listeners():
            detail = f"{agent.agent_id} has no part in contract {contract.number}"
            return self.context.reject(command, Reason.NOT_PERMITTED, detail)
        if contract.state != "proposed":
            return self.context.reject(command, Reason.WRONG_STATE, f"contract {contract.number} binds all who signed")
        self._give_back(contract, "declined")
        return self.context.accept(command)

    def _lapse(self, number: int) -> None:
        contract = self.live[number]
        contract.deadline_id = 0
        self._give_back(contract, "unsigned")

    def _wind_up(self, fact: AgentEnded) -> None:
        """Let what a revoked agent proposed, was to sign or to attest lapse; what binds runs to its end."""
        for number in list(self.by_agent.get(fact.agent, ())):
            contract = self.live[number]
            if contract.state == "proposed":
                self._give_back(contract, "revoked")

    def _withdraw(self, fact: SwitchLapsed) -> None:
        """Let lapse what an agent that cannot be reached proposed or signed, and that does not bind yet."""
        for number in list(self.by_agent.get(fact.agent, ())):
            contract = self.live[number]
            if contract.state == "proposed" and (fact.agent == contract.payer or fact.agent in contract.signed):
                self._give_back(contract, "dead_man")

    def _give_back(self, contract: Contract, outcome: EndReason) -> None:
        """End a contract that never bound: everybody gets back what it put in."""
        escrow = escrow_of(contract.cause)
        posting = self.context.cashier.posting(contract.cause)
        posting.give_back(escrow, contract.payer, contract.total)
        for name in contract.signed:
            posting.give_back(escrow, name, contract.bond_of(name))
        posting.post()
        contract.state = "lapsed"
        self._finish(contract, outcome, {contract.payer: contract.total})

    # ── facts ───────────────────────────────────────────────────────────────────────────────────

    def _part_of(self, origin: str) -> tuple[Contract, Part] | None:
        family, _, rest = origin.partition(":")
        if family != self.family:
            return None
        number, _, place = rest.partition(":")
        contract = self.live.get(int(number))
        return None if contract is None else (contract, contract.parts[int(place)])

    def _note_opened(self, fact: SettlementOpened) -> None:
        found = self._part_of(fact.origin)
        if found is not None:
            contract, part = found
            part.settlement = fact.settlement
            # It may be certain from the beginning; then there are settlements to call off.
            if all(each.settlement for each in contract.parts):
                self.evaluate(contract.number)

    def _note_delivered(self, fact: SettlementDelivered) -> None:
        found = self._part_of(fact.origin)
        if found is not None:
            contract, part = found
            part.state = "waiting"
            self.evaluate(contract.number)

    def _note_failing(self, fact: SettlementFailed) -> None:
        found = self._part_of(fact.origin)
        if found is not None:
            found[1].state = "waiting"

    def _note_final(self, fact: SettlementFinal) -> None:
        found = self._part_of(fact.origin)
        if found is not None:
            contract, part = found
            part.state = fact.outcome
            self.evaluate(contract.number)

    def _note_task(self, fact: TaskFinal) -> None:
        for number in list(self.by_task.get(fact.task, ())):
            contract = self.live[number]
            # What comes after the last evaluation is too late, also where that waits for what was on its way.
            if not contract.is_overdue:
                contract.tasks[fact.task] = fact.is_completed
                self.evaluate(number)

    def _note_prediction(self, fact: PredictionFinal) -> None:
        for number in list(self.by_prediction.get(fact.market, ())):
            contract = self.live[number]
            if not contract.is_overdue:
                contract.predictions[fact.market] = fact.outcome or ""
                self.evaluate(number)

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over an attestation would be about, if this agent may begin one now."""
        return self.attesting.dispute_terms(number, agent)

    def has_interest(self, owner: str, matter: str) -> bool:
        """Return whether an owner pays, or has signed, a contract about the market that a matter resolves."""
        family, _, number = matter.partition(":")
        if family == "predictions":
            market = int(number)
        elif family == "tasks" and self._predictions is not None:
            market = self._predictions.market_about(int(number))
        else:
            return False
        return owner in self.parties.get(market, ())

    # ── evaluating ──────────────────────────────────────────────────────────────────────────────

    def value_of(self, contract: Contract) -> bool | None:
        """Return whether the condition holds by what is final; None as long as it may come out either way."""
        return evaluate(contract.condition, lambda leaf: self._known(contract, leaf))

    def _known(self, contract: Contract, leaf: Any) -> bool | None:
        if isinstance(leaf, PartDelivered):
            part = next(part for part in contract.parts if part.name == leaf.part)
            return part.delivered_by(leaf.by_us)
        if isinstance(leaf, Statement):
            attestation = contract.attestations.get(leaf.statement)
            if attestation is None:
                return False if contract.is_overdue else None
            return attestation.holds if attestation.is_final else None
        if isinstance(leaf, TaskCompleted):
            known = contract.tasks[leaf.task]
            return False if known is None and contract.is_overdue else known
        if isinstance(leaf, PredictionResolved):
            outcome = contract.predictions[leaf.market]
            if outcome is None:
                return False if contract.is_overdue else None
            return outcome == leaf.outcome
        # It is never after the last evaluation: what is certain then stays so.
        return True if self.context.time_us >= leaf.at_us else None

    def _reach(self, number: int) -> None:
        self.evaluate(number)

    def _miss(self, number: int, name: str, by_us: int) -> None:
        contract = self.live[number]
        next(part for part in contract.parts if part.name == name).miss(by_us)
        self.evaluate(number)

    def _evaluate_last(self, number: int) -> None:
        contract = self.live[number]
        contract.deadline_id = 0
        contract.is_overdue = True
        self.evaluate(number)

    def evaluate(self, number: int) -> None:
        """Settle a contract as soon as it is certain how it ends."""
        contract = self.live.get(number)
        if contract is None or contract.state != "bound":
            return
        value = self.value_of(contract)
        if value:
            self._pay(contract)
        elif value is False and not any(self.is_undecided(contract, part) for part in contract.parts):
            self._refund(contract)

    @staticmethod
    def is_undecided(contract: Contract, part: Part) -> bool:
        """Return whether it is not final yet whose bond is forfeited; who was not due yet keeps its own."""
        return part.state == "waiting" or (contract.is_overdue and part.state == "open")

    def _pay(self, contract: Contract) -> None:
        escrow = escrow_of(contract.cause)
        posting = self.context.cashier.posting(contract.cause)
        paid: dict[str, int] = {}
        for part in contract.parts:
            posting.pay(escrow, part.assignee, part.share)
            posting.give_back(escrow, part.assignee, part.bond)
            paid[part.assignee] = paid.get(part.assignee, 0) + part.share
        posting.post()
        contract.state = "met"
        self._tally.count("paid_credits_total", by=contract.total)
        self._finish(contract, "met", paid)

    def _refund(self, contract: Contract) -> None:
        escrow = escrow_of(contract.cause)
        posting = self.context.cashier.posting(contract.cause)
        posting.give_back(escrow, contract.payer, contract.total)
        for part in contract.parts:
            if part.state != "failed":
                posting.give_back(escrow, part.assignee, part.bond)
        for name, amount in forfeits(contract, self._owner_of):
            posting.pay(escrow, name, amount)
        posting.post()
        contract.state = "not_met"
        self._finish(contract, "not_met", {contract.payer: contract.total})

    def _owner_of(self, agent: str) -> str:
        return self.context.agents[agent].owner

    def _finish(self, contract: Contract, outcome: EndReason, paid: dict[str, int]) -> None:
        context, number = self.context, contract.number
        for deadline_id in (contract.deadline_id, *contract.time_ids):
            context.deadlines.cancel(deadline_id)
        contract.deadline_id, contract.time_ids = 0, []
        self.attesting.drop(contract)
        for part in contract.parts:
            if part.settlement and part.state in ("open", "waiting"):
                context.announce(SettlementCalledOff(part.settlement))
        del self.live[number]
        self._unindex(contract)
        self.ended[number] = contract
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]
        self._tally.count("ended_total", outcome)
        for name in contract.listeners():
            event = ContractEnded(contract=number, outcome=outcome, paid=paid.get(name, 0))
            context.emit(context.agents[name], event)

    # ── indexes, telling ────────────────────────────────────────────────────────────────────────

    def _index(self, contract: Contract) -> None:
        for name in (*contract.listeners(), *contract.attesters()):
            self.by_agent.setdefault(name, {})[contract.number] = None
        for task in contract.tasks:
            self.by_task.setdefault(task, {})[contract.number] = None
        for market in contract.predictions:
            self.by_prediction.setdefault(market, {})[contract.number] = None
        for name in (contract.payer, *contract.signed):
            self._add_party(contract, name)
        owner = self._owner_of(contract.payer)
        self.proposed[owner] = self.proposed.get(owner, 0) + 1

    def _add_party(self, contract: Contract, name: str) -> None:
        """Count what an agent has in the markets that a contract is about for its owner."""
        owner = self._owner_of(name)
        for market in contract.predictions:
            parties = self.parties.setdefault(market, {})
            parties[owner] = parties.get(owner, 0) + 1

    def _remove_party(self, contract: Contract, name: str) -> None:
        owner = self._owner_of(name)
        for market in contract.predictions:
            parties = self.parties[market]
            parties[owner] -= 1
            if not parties[owner]:
                del parties[owner]
            if not parties:
                del self.parties[market]

    def _unindex(self, contract: Contract) -> None:
        for name in dict.fromkeys((*contract.listeners(), *contract.attesters())):
            numbers = self.by_agent[name]
            del numbers[contract.number]
            if not numbers:
                del self.by_agent[name]
        for task in contract.tasks:
            numbers = self.by_task[task]
            del numbers[contract.number]
            if not numbers:
                del self.by_task[task]
        for market in contract.predictions:
            numbers = self.by_prediction[market]
            del numbers[contract.number]
            if not numbers:
                del self.by_prediction[market]
        for name in (contract.payer, *contract.signed):
            self._remove_party(contract, name)
        owner = self._owner_of(contract.payer)
        self.proposed[owner] -= 1
        if not self.proposed[owner]:
            del self.proposed[owner]

    def reject_unknown(self, command: Command, number: int) -> Outcome:
        """Reject what names a contract that has ended or never was."""
        ended = self.ended.get(number)
        if ended is not None:
            return self.context.reject(command, Reason.WRONG_STATE, f"contract {number} has ended: {ended.state}")
        return self.context.reject(command, Reason.UNKNOWN_CONTRACT, f"no contract {number}")

    def tell(self, contract: Contract, make: Callable[[], Event]) -> None:
        """Send payer and assignees an event each."""
        for name in contract.listeners():
            self.context.emit(self.context.agents[name], make())

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        states = {"proposed": 0, "bound": 0}
        for contract in list(self.live.values()):
            states[contract.state] = states.get(contract.state, 0) + 1
        text = "Contracts that have not ended."
        rows: list[Row] = [("live", text, {"state": state}, count) for state, count in states.items()]
        return [*rows, *self._tally.rows()]

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of contracts and their escrows."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all contracts that have not ended."""
        return [escrow_of(contract.cause) for contract in self.live.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            self.attesting.last_number,
            [contract.dump() for contract in self.live.values()],
            [contract.dump() for contract in self.ended.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self._last_number, self.attesting.last_number, live, ended = state
        for fields in live:
            contract = Contract.load(fields)
            self.live[contract.number] = contract
            self._index(contract)
            self.attesting.restore(contract)
        for fields in ended:
            contract = Contract.load(fields)
            self.ended[contract.number] = contract
