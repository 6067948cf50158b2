"""Let arbitrators decide what is disputed: family ``disputes``."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.disputes.dispute import Dispute, Seat
from exchange.mechanisms.disputes.drawing import Candidate, draw, odd_size
from exchange.mechanisms.disputes.queries import Queries, rulings_of
from exchange.mechanisms.disputes.stakes import LAYERS_MAX, Arbitrator
from exchange.mechanisms.facts import AgentEnded, DisputeTerms
from exchange.mechanisms.facts import DisputeDecided as DecidedFact
from exchange.mechanisms.facts import DisputeOpened as OpenedFact
from exchange.mechanisms.shares import largest_remainder
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.disputes import (
    ArbitratorAbsent,
    ArbitratorSeated,
    DisputeDecided,
    DisputeOpened,
    DisputeOutcome,
    DisputeVerdict,
    OpenDispute,
    Rule,
    Stake,
    StakeChanged,
    StakeOutcome,
    Unstake,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row
    from exchange.messages.base import Event

__all__ = ["Disputes"]

_SECOND_US: Final = 1_000_000
_BASIS_POINTS: Final = 10_000
_REMEMBERED: Final = 1_000
"""So many decided disputes can still be asked for."""

Violation = tuple[Reason, str]


class Disputes(Mechanism):
    """Keep stakes, and every dispute from its opening until it is decided.

    What is disputed belongs to another mechanism, which says by ``dispute_terms`` what a dispute would be about, and
    reacts to its opening and its decision.
    """

    family: ClassVar[str] = "disputes"
    summary: ClassVar[str] = "arbitration: stakes, panels drawn by a hash, sealed rulings, fees"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.arbitrators: dict[str, Arbitrator] = {}
        self.live: dict[int, Dispute] = {}
        self.decided: dict[int, Dispute] = {}
        self.by_party: dict[str, dict[int, None]] = {}
        self._by_subject: dict[tuple[str, int], int] = {}
        self._by_matter: dict[str, dict[int, None]] = {}
        """The undecided disputes about each matter: several where its settlements are."""
        self._have_interest: list[Callable[[str, str], bool]] = []
        """How to ask those that know whether an owner has something to gain by a matter."""
        self._last_number = 0
        self._terms_of: dict[str, Callable[[int, AgentRecord], DisputeTerms | Violation]] = {}
        self._tally = Tally(
            Figure("opened_total", "Disputes opened.", ("family",)),
            Figure("decided_total", "Disputes decided.", ("verdict",), words(DisputeVerdict)),
            Figure("absences_total", "Arbitrators who did not rule in time, counted when the dispute is decided."),
            Figure("time_to_decide_seconds_total", "Time from opening to decision, summed over all disputes."),
            Figure("forfeited_credits_total", "Whole credits of stakes that were forfeited."),
        )
        context.react(AgentEnded, self._end_agent)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family: whoever is stopped may still dispute and rule."""
        return {
            Stake: CommandRule(self.stake, "arbitrator", opens=True),
            Unstake: CommandRule(self.unstake, "arbitrator", opens=False),
            OpenDispute: CommandRule(self.open, None, opens=False),
            Rule: CommandRule(self.rule, "arbitrator", opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return Queries(self).readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "disputes.await_hash": self._await_hash,
            "disputes.draw": self._draw,
            "disputes.end_round": self._end_round,
        }

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the mechanisms that have something to dispute, and those that know who gains by what is decided."""
        for family, mechanism in mechanisms.items():
            has_interest = getattr(mechanism, "has_interest", None)
            if has_interest is not None:
                self._have_interest.append(has_interest)
            terms_of = getattr(mechanism, "dispute_terms", None)
            if terms_of is not None:
                self._terms_of[family] = terms_of
                self._tally.count("opened_total", family, by=0)

    def has_seat(self, agent_id: str, family: str, number: int) -> bool:
        """Return whether an agent rules, or has ruled, in an undecided dispute about something."""
        dispute = self.live.get(self._by_subject.get((family, number), 0))
        return dispute is not None and any(seat.agent_id == agent_id for seat in dispute.judges())

    def judges(self, owner: str, matter: str) -> bool:
        """Return whether an agent of an owner rules, or has ruled, in an undecided dispute about a matter."""
        numbers = self._by_matter.get(matter, ())
        return any(seat.owner == owner for number in numbers for seat in self.live[number].judges())

    def _has_interest(self, owner: str, matter: str) -> bool:
        return bool(matter) and any(has_interest(owner, matter) for has_interest in self._have_interest)

    # ── stakes ──────────────────────────────────────────────────────────────────────────────────

    def stake(self, agent: AgentRecord, command: Stake) -> Outcome:
        """Put credits at stake."""
        context, name, settings = self.context, agent.agent_id, self.context.settings
        arbitrator = self.arbitrators.get(name)
        if arbitrator is None and len(self.arbitrators) >= settings.max_arbitrators:
            detail = f"{settings.max_arbitrators} arbitrators have a stake, and there may be no more"
            return context.reject(command, Reason.TOO_MANY_ARBITRATORS, detail)
        before = arbitrator.stake if arbitrator is not None else 0
        problem = self._check_stake(before + command.amount) or context.cashier.check(agent, command.amount)
        if problem is not None:
            return context.reject(command, *problem)
        if arbitrator is None:
            arbitrator = self.arbitrators[name] = Arbitrator(name)
        posting = context.cashier.posting(arbitrator.cause)
        posting.fund(name, arbitrator.escrow, command.amount)
        posting.post()
        arbitrator.add(context.time_us, command.amount, context.time_us - self.ripening_us())
        context.emit(agent, StakeChanged(stake=arbitrator.stake, change=command.amount))
        return StakeOutcome(command.id, "accepted", context.stamp, stake=arbitrator.stake)

    def unstake(self, agent: AgentRecord, command: Unstake) -> Outcome:
        """Give a stake back, or a part of it, to an arbitrator without a seat."""
        context, name = self.context, agent.agent_id
        arbitrator = self.arbitrators.get(name)
        if arbitrator is None or command.amount > arbitrator.stake:
            staked = 0 if arbitrator is None else arbitrator.stake
            return context.reject(command, Reason.INSUFFICIENT_CREDITS, f"{staked} is at stake")
        if arbitrator.disputes:
            number = next(iter(arbitrator.disputes))
            return context.reject(
                command, Reason.WRONG_STATE, f"the stake answers for dispute {number} until it is decided"
            )
        left = arbitrator.stake - command.amount
        problem = self._check_stake(left) if left else None
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(arbitrator.cause)
        posting.give_back(arbitrator.escrow, name, command.amount)
        posting.post()
        arbitrator.take(command.amount)
        self._forget_empty(arbitrator)
        context.emit(agent, StakeChanged(stake=left, change=-command.amount))
        return StakeOutcome(command.id, "accepted", context.stamp, stake=left)

    def _check_stake(self, stake: int) -> Violation | None:
        least = self.context.settings.arbitrator_stake_min
        return (Reason.INVALID_QUANTITY, f"a stake is at least {least}, or none") if stake < least else None

    def ripening_us(self) -> int:
        """Return how long a stake is there before it counts."""
        return self.context.settings.arbitrator_stake_seconds * _SECOND_US

    def _forget_empty(self, arbitrator: Arbitrator) -> None:
        if not arbitrator.layers and not arbitrator.disputes:
            del self.arbitrators[arbitrator.agent_id]

    def _return_stake(self, name: str) -> None:
        """Give a revoked arbitrator's stake back to whoever takes what is due to it, once no seat binds it."""
        arbitrator = self.arbitrators.get(name)
        if arbitrator is None or arbitrator.disputes or self.context.agents[name].state != "revoked":
            return
        stake = arbitrator.stake
        posting = self.context.cashier.posting(arbitrator.cause)
        posting.give_back(arbitrator.escrow, name, stake)
        posting.post()
        arbitrator.take(stake)
        self._forget_empty(arbitrator)

    def _end_agent(self, fact: AgentEnded) -> None:
        """Empty the seats in which a revoked arbitrator has not ruled; nothing is forfeited for them."""
        arbitrator = self.arbitrators.get(fact.agent)
        if arbitrator is None:
            return
        for number in list(arbitrator.disputes):
            dispute = self.live[number]
            seat = dispute.seat_of(fact.agent)
            if seat is not None and seat.state == "pending":
                seat.state = "revoked"
                del arbitrator.disputes[number]
                self._go_on(dispute)
        self._return_stake(fact.agent)

    # ── disputing ───────────────────────────────────────────────────────────────────────────────

    def open(self, agent: AgentRecord, command: OpenDispute) -> Outcome:
        """Freeze what is disputed, and let a panel be drawn a little later."""
        context, settings = self.context, self.context.settings
        terms_of = self._terms_of.get(command.family)
        if terms_of is None:
            families = ", ".join(self._terms_of) or "nothing"
            return context.reject(command, Reason.UNKNOWN_MECHANISM, f"what can be disputed is of: {families}")
        earlier = self._by_subject.get((command.family, command.number))
        if earlier is not None:
            return context.reject(command, Reason.ALREADY_DISPUTED, f"dispute {earlier} was the one there may be")
        terms = terms_of(command.number, agent)
        if not isinstance(terms, DisputeTerms):
            return context.reject(command, *terms)
        deposit = max(settings.dispute_deposit_min, -(-terms.amount * settings.dispute_deposit_bp // _BASIS_POINTS))
        problem = context.cashier.check(agent, deposit)
        if problem is not None:
            return context.reject(command, *problem)
        self._last_number = number = self._last_number + 1
        name, now_us = agent.agent_id, context.time_us
        dispute = Dispute(number, command.family, command.number, terms, name, deposit, now_us)
        dispute.statement = command.statement
        posting = context.cashier.posting(dispute.cause)
        posting.fund(name, dispute.escrow, deposit)
        posting.post()
        self._index(dispute)
        self._await_draw(dispute)
        self._tally.count("opened_total", command.family)
        self._tell(dispute.parties(), lambda: self._opened_event(dispute))
        context.announce(OpenedFact(command.family, command.number, number, name))
        return DisputeOutcome(command.id, "accepted", context.stamp, dispute=number, deposit=deposit)

    def _index(self, dispute: Dispute) -> None:
        self.live[dispute.number] = dispute
        self._by_subject[dispute.family, dispute.subject] = dispute.number
        self._by_matter.setdefault(dispute.terms.matter, {})[dispute.number] = None
        for name in dispute.parties():
            self.by_party.setdefault(name, {})[dispute.number] = None

    def rule(self, agent: AgentRecord, command: Rule) -> Outcome:
        """Take a ruling, and keep it sealed."""
        context = self.context
        dispute = self.live.get(command.dispute) or self.decided.get(command.dispute)
        if dispute is None:
            return context.reject(
                command, Reason.UNKNOWN_DISPUTE, f"no dispute {command.dispute}, or it ended long ago"
            )
        seat = dispute.seat_of(agent.agent_id)
        if seat is None:
            return context.reject(
                command, Reason.NOT_PERMITTED, f"{agent.agent_id} has no seat in dispute {dispute.number}"
            )
        if seat.state == "ruled":
            return context.reject(command, Reason.WRONG_STATE, "it has ruled already, and that is final")
        if seat.state != "pending":
            return context.reject(command, Reason.WRONG_STATE, "it lost its seat: it did not rule in time")
        seat.state, seat.upheld, seat.statement = "ruled", command.upheld, command.statement
        self._go_on(dispute)
        return context.accept(command)

    # ── panels ──────────────────────────────────────────────────────────────────────────────────

    def _await_draw(self, dispute: Dispute) -> None:
        """Wait for a record of which nobody can know anything yet."""
        at_us = self.context.time_us + self.context.settings.dispute_draw_seconds * _SECOND_US
        dispute.deadline_id = self.context.deadlines.schedule(at_us, "disputes.await_hash", dispute.number)

    def _await_hash(self, number: int) -> None:
        """Draw in the next record, which names the hash of this one."""
        deadlines = self.context.deadlines
        self.live[number].deadline_id = deadlines.schedule(self.context.time_us + 1, "disputes.draw", number)

    def _draw(self, number: int) -> None:
        """Fill the empty seats of a panel."""
        context, settings = self.context, self.context.settings
        dispute = self.live[number]
        dispute.round += 1
        candidates = self._candidates(dispute)
        if dispute.round == 1:
            owners = len(dict.fromkeys(candidate.owner for candidate in candidates))
            wanted = dispute.size = odd_size(settings.dispute_panel, owners)
            seconds = context.setting_at("ruling_seconds", dispute.opened_us)
        else:
            wanted = dispute.size - len(dispute.ruled())
            seconds = context.setting_at("replacement_ruling_seconds", dispute.opened_us)
        seed = blake2b(f"{number}.{dispute.round}.".encode() + context.previous_hash, digest_size=32).digest()
        drawn = draw(candidates, wanted, seed)
        if not drawn:
            self._decide(dispute)
            return
        until_us = context.time_us + seconds * _SECOND_US
        dispute.deadline_id = context.deadlines.schedule_act(until_us, "disputes.end_round", VENUE_SCOPE, number)
        for candidate in drawn:
            dispute.seats.append(Seat(candidate.agent, candidate.owner))
            self.arbitrators[candidate.agent].disputes[number] = None
            context.emit(context.agents[candidate.agent], self._seated_event(dispute, until_us))

    def _candidates(self, dispute: Dispute) -> list[Candidate]:
        """Return who may be drawn: active, with enough at stake for long enough, of no owner that has a part in it.

        Whoever bets on what is decided, or has a contract about it, has a part in it as well.
        """
        agents = self.context.agents
        least = self.context.settings.arbitrator_stake_min
        since_us = dispute.opened_us - self.ripening_us()
        barred = dict.fromkeys((*dispute.terms.excluded, *(seat.owner for seat in dispute.seats)))
        barred.update(dict.fromkeys(agents[name].owner for name in dispute.parties() if name in agents))
        candidates: list[Candidate] = []
        for name, arbitrator in self.arbitrators.items():
            agent, weight = agents[name], arbitrator.stake_since(since_us)
            if agent.state != "active" or agent.owner in barred or weight < least:
                continue
            if not self._has_interest(agent.owner, dispute.terms.matter):
                candidates.append(Candidate(name, agent.owner, weight))
        return candidates

    def _end_round(self, number: int) -> None:
        """Take the seats of those who did not rule in time."""
        dispute = self.live[number]
        for seat in dispute.seats:
            if seat.state == "pending":
                seat.state = "absent"
                self.context.emit(self.context.agents[seat.agent_id], ArbitratorAbsent(dispute=number))
        self._go_on(dispute)

    def _go_on(self, dispute: Dispute) -> None:
        """Decide once nobody is to rule any more; whoever did not is replaced, but only once."""
        if dispute.is_pending():
            return
        self.context.deadlines.cancel(dispute.deadline_id)
        if dispute.round == 1 and len(dispute.ruled()) < dispute.size:
            self._await_draw(dispute)
        else:
            self._decide(dispute)

    # ── deciding ────────────────────────────────────────────────────────────────────────────────

    def _decide(self, dispute: Dispute) -> None:
        """Pay deposit and forfeits, open the rulings, and tell whom it concerns."""
        context = self.context
        verdict = dispute.verdict = dispute.majority()
        dispute.decided_us, dispute.deadline_id = context.time_us, 0
        forfeits = self._forfeits(dispute, verdict)
        self._pay(dispute, verdict, forfeits)
        self._close(dispute)
        for seat in dispute.seats:
            self._settle_stake(dispute, seat, forfeits.get(seat.agent_id, 0))
        self._count(dispute, verdict, sum(forfeits.values()))
        listeners = dict.fromkeys((*dispute.parties(), *(seat.agent_id for seat in dispute.seats)))
        self._tell(list(listeners), lambda: self._decided_event(dispute, verdict))
        context.announce(DecidedFact(dispute.family, dispute.subject, dispute.number, verdict == "upheld"))
        if verdict == "upheld":
            # After what was frozen has moved: the loser pays out of its part of it.
            context.follow_up(self._charge_respondent, dispute)

    def _forfeits(self, dispute: Dispute, verdict: DisputeVerdict) -> dict[str, int]:
        """Return what each arbitrator forfeits: who was absent, and who ruled against the majority."""
        forfeits: dict[str, int] = {}
        for seat in dispute.seats:
            is_against = seat.state == "ruled" and verdict != "no_majority" and seat.upheld != (verdict == "upheld")
            if is_against or seat.state == "absent":
                stake = self.arbitrators[seat.agent_id].stake
                forfeits[seat.agent_id] = stake * self.context.settings.arbitrator_forfeit_bp // _BASIS_POINTS
        return forfeits

    def _pay(self, dispute: Dispute, verdict: DisputeVerdict, forfeits: dict[str, int]) -> None:
        """Pay the forfeits to those with the majority, and the deposit to the panel or back."""
        ruled = dispute.ruled()
        panel = [seat.agent_id for seat in ruled]
        takers = [seat.agent_id for seat in ruled if seat.agent_id not in forfeits]
        posting = self.context.cashier.posting(dispute.cause)
        for name, amount in forfeits.items():
            escrow = self.arbitrators[name].escrow
            for taker, part in _split(amount, takers):
                posting.pay(escrow, taker, part)
            if not takers:
                posting.move(escrow, "public_fund", amount)
        if verdict == "upheld" or not panel:
            posting.give_back(dispute.escrow, dispute.disputer, dispute.deposit)
        else:
            for member, part in _split(dispute.deposit, panel):
                posting.pay(dispute.escrow, member, part)
        posting.post()

    def _close(self, dispute: Dispute) -> None:
        number = dispute.number
        del self.live[number]
        numbers = self._by_matter[dispute.terms.matter]
        del numbers[number]
        if not numbers:
            del self._by_matter[dispute.terms.matter]
        for name in dispute.parties():
            numbers = self.by_party[name]
            del numbers[number]
            if not numbers:
                del self.by_party[name]
        self.decided[number] = dispute
        if len(self.decided) > _REMEMBERED:
            oldest = self.decided.pop(next(iter(self.decided)))
            del self._by_subject[oldest.family, oldest.subject]

    def _settle_stake(self, dispute: Dispute, seat: Seat, forfeit: int) -> None:
        """Take what an arbitrator forfeits off its stake, which this dispute binds no longer."""
        arbitrator = self.arbitrators.get(seat.agent_id)
        if arbitrator is None or dispute.number not in arbitrator.disputes:
            return
        del arbitrator.disputes[dispute.number]
        if forfeit:
            arbitrator.take(forfeit)
            changed = StakeChanged(stake=arbitrator.stake, change=-forfeit, dispute=dispute.number)
            self.context.emit(self.context.agents[seat.agent_id], changed)
        if self.context.agents[seat.agent_id].state == "revoked":
            self.context.follow_up(self._return_stake, seat.agent_id)
        self._forget_empty(arbitrator)

    def _charge_respondent(self, dispute: Dispute) -> None:
        """Let the loser pay the panel; what it does not have, it owes."""
        respondent = dispute.terms.respondent
        if respondent not in self.context.agents:
            return
        for member, part in _split(dispute.deposit, [seat.agent_id for seat in dispute.ruled()]):
            self.context.cashier.charge(respondent, member, part, dispute.cause)

    def _count(self, dispute: Dispute, verdict: DisputeVerdict, forfeited: int) -> None:
        self._tally.count("decided_total", verdict)
        self._tally.count("absences_total", by=sum(seat.state == "absent" for seat in dispute.seats))
        self._tally.count("time_to_decide_seconds_total", by=dispute.decided_us - dispute.opened_us)
        self._tally.count("forfeited_credits_total", by=forfeited)

    # ── telling ─────────────────────────────────────────────────────────────────────────────────

    def _tell(self, names: list[str], make: Callable[[], Event]) -> None:
        """Send agents an event each of their own."""
        for name in names:
            agent = self.context.agents.get(name)
            if agent is not None:
                self.context.emit(agent, make())

    def _opened_event(self, dispute: Dispute) -> DisputeOpened:
        return DisputeOpened(
            dispute=dispute.number,
            family=dispute.family,
            number=dispute.subject,
            disputer=dispute.disputer,
            respondent=dispute.terms.respondent,
            deposit=dispute.deposit,
            statement=dispute.statement,
        )

    def _seated_event(self, dispute: Dispute, rule_by_us: int) -> ArbitratorSeated:
        return ArbitratorSeated(
            dispute=dispute.number,
            family=dispute.family,
            number=dispute.subject,
            disputer=dispute.disputer,
            respondent=dispute.terms.respondent,
            amount=dispute.terms.amount,
            rule_by_us=rule_by_us,
            statement=dispute.statement,
        )

    def _decided_event(self, dispute: Dispute, verdict: DisputeVerdict) -> DisputeDecided:
        return DisputeDecided(
            dispute=dispute.number,
            family=dispute.family,
            number=dispute.subject,
            verdict=verdict,
            fee=dispute.deposit if dispute.ruled() else 0,
            rulings=rulings_of(dispute),
        )

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; nothing of panels that are at work."""
        oldest = next(iter(self.live.values()), None)
        since_us = 0 if oldest is None else oldest.opened_us
        at_stake = sum(arbitrator.stake for arbitrator in list(self.arbitrators.values()))
        rows: list[Row] = [
            ("open", "Disputes that are not decided.", {}, len(self.live)),
            ("oldest_timestamp_seconds", "When the oldest of them was opened; 0 without any.", {}, since_us),
            ("arbitrators", "Arbitrators with a stake.", {}, len(self.arbitrators)),
            ("stake_credits", "Whole credits that arbitrators have at stake.", {}, at_stake),
        ]
        return [*rows, *self._tally.rows()]

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of stakes, seats and deposits."""
        broken: list[str] = []
        for arbitrator in self.arbitrators.values():
            broken.extend(f"{name}: {arbitrator.agent_id}" for name in self._stake_problems(arbitrator))
        for dispute in self.live.values():
            broken.extend(f"{name}: {dispute.number}" for name in self._dispute_problems(dispute))
        bound = sum(len(arbitrator.disputes) for arbitrator in self.arbitrators.values())
        seats = [seat for dispute in self.live.values() for seat in dispute.seats]
        if bound != sum(seat.state != "revoked" for seat in seats):
            broken.append("stakes_answer_for_seats")
        if len(self.decided) > _REMEMBERED or len(self._by_subject) != len(self.live) + len(self.decided):
            broken.append("few_decided_disputes_are_remembered")
        return broken

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all stakes, and of the disputes that are not decided."""
        stakes = [arbitrator.escrow for arbitrator in self.arbitrators.values()]
        return [*stakes, *(dispute.escrow for dispute in self.live.values())]

    def _stake_problems(self, arbitrator: Arbitrator) -> Iterable[str]:
        layers = arbitrator.layers
        if self.context.cashier.in_escrow(arbitrator.escrow) != arbitrator.stake:
            yield "escrow_equals_stake"
        if len(layers) > LAYERS_MAX or any(amount <= 0 for _, amount in layers):
            yield "layers_are_few_and_positive"
        if any(layers[place][0] > layers[place + 1][0] for place in range(len(layers) - 1)):
            yield "older_layers_come_first"
        if not layers and not arbitrator.disputes:
            yield "arbitrators_have_a_stake"
        if self.context.agents[arbitrator.agent_id].state == "revoked" and not arbitrator.disputes:
            yield "revoked_arbitrators_have_their_stake_back"

    def _dispute_problems(self, dispute: Dispute) -> Iterable[str]:
        context = self.context
        if context.cashier.in_escrow(dispute.escrow) != dispute.deposit:
            yield "escrow_equals_deposit"
        if context.deadlines.due_us(dispute.deadline_id) is None:
            yield "undecided_disputes_have_a_deadline"
        owners = [seat.owner for seat in dispute.seats]
        if len(dict.fromkeys(owners)) != len(owners):
            yield "owners_have_one_seat"
        barred = [context.agents[name].owner for name in dispute.parties() if name in context.agents]
        barred.extend(dispute.terms.excluded)
        if any(owner in barred for owner in owners):
            yield "parties_do_not_judge"
        judges = dispute.judges()
        if any(self._has_interest(seat.owner, dispute.terms.matter) for seat in judges):
            yield "judges_gain_nothing_by_what_they_decide"
        if dispute.number not in self._by_matter.get(dispute.terms.matter, ()):
            yield "undecided_disputes_are_found_by_their_matter"
        if len(judges) > dispute.size or (dispute.size and not dispute.size % 2):
            yield "panels_are_odd_and_not_too_large"
        if any(dispute.number not in self.by_party.get(name, ()) for name in dispute.parties()):
            yield "undecided_disputes_are_indexed_by_party"

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            [arbitrator.dump() for arbitrator in self.arbitrators.values()],
            [dispute.dump() for dispute in self.live.values()],
            [dispute.dump() for dispute in self.decided.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._last_number, arbitrators, live, decided = state
        for fields in arbitrators:
            arbitrator = Arbitrator.load(fields)
            self.arbitrators[arbitrator.agent_id] = arbitrator
        for fields in decided:
            dispute = Dispute.load(fields)
            self.decided[dispute.number] = dispute
            self._by_subject[dispute.family, dispute.subject] = dispute.number
        for fields in live:
            self._index(Dispute.load(fields))


def _split(amount: int, agents: list[str]) -> list[tuple[str, int]]:
    """Split an amount evenly; what does not divide goes unit by unit to the first by name."""
    return largest_remainder(amount, dict.fromkeys(sorted(agents), 1)) if agents else []
