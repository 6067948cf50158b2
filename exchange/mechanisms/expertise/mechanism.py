"""Let agents help each other for a price, and know what is thought of whom: family ``expertise``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.expertise.offers import Offer, Offers, Session, cause_of
from exchange.mechanisms.expertise.queries import Queries
from exchange.mechanisms.expertise.ratings import PAYMENT, REVEAL, Ratings, Window
from exchange.mechanisms.expertise.reputation import ONE, Reputations
from exchange.mechanisms.facts import (
    AgentEnded,
    EvidenceGiven,
    SettlementAgreed,
    SettlementFinal,
    SettlementOpened,
    SettlementTerms,
    SwitchLapsed,
)
from exchange.mechanisms.tally import Figure, Tally
from exchange.messages.base import CREDIT, Command, Outcome
from exchange.messages.expertise import (
    HelpEngaged,
    HelpOffered,
    HelpOfferEnded,
    HelpOfferOutcome,
    OfferHelp,
    RateSettlement,
    RequestHelp,
    RequestHelpOutcome,
    WithdrawHelpOffer,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row
    from exchange.messages.base import Query, Result
    from exchange.messages.expertise import OfferEnd

__all__ = ["Expertise"]

_SECOND_US: Final = 1_000_000
_EXPIRE: Final = "expertise.expire"
_OFFER_MAX_US: Final = 90 * 86_400 * _SECOND_US
"""No offer stands for longer."""
_BOND_SHARE: Final = 5
"""A helper forfeits one part in so many of the price if it does not come, rounded up."""
_SCORE_MAX: Final = 100
_PER_POINT: Final = ONE // _SCORE_MAX
_WORK: Final = "work"
_DOMAINS: Final = ((_WORK,), ("help",), (PAYMENT,))
"""The kinds of domains that settlements are rated in."""


class Expertise(Mechanism):
    """Keep the offers of help, the ratings, and the reputation that comes of them."""

    family: ClassVar[str] = "expertise"
    summary: ClassVar[str] = "a market for help, sealed ratings, reputation by domain that fades"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.offers = Offers()
        self.sessions: dict[int, Session] = {}
        self.sessions_of: dict[str, dict[int, None]] = {}
        self.topics: dict[str, dict[str, int]] = {}
        """For how many offers, sessions and sealed ratings each topic of an agent is in use."""
        self.last_offer = 0
        self.tally = Tally(
            Figure("offers_total", "Offers of help."),
            Figure("sessions_total", "Sessions that began."),
            Figure("session_credits_total", "Prices of all sessions, in whole credits."),
            Figure("ratings_total", "Ratings that count, by the kind of their domain.", ("domain",), _DOMAINS),
        )
        self.reputations = Reputations(context)
        self.ratings = Ratings(context, self.reputations, self.tally, self._end_rating)
        self._queries = Queries(self)
        context.cashier.on_debit(self)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw_all)
        context.react(SettlementOpened, self._begin_session)
        context.react(SettlementFinal, self._end_settlement)
        context.react(EvidenceGiven, self._take_evidence)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            OfferHelp: CommandRule(self.offer_help, "trader", opens=True),
            WithdrawHelpOffer: CommandRule(self.withdraw_offer, None, opens=False),
            RequestHelp: CommandRule(self.request_help, "trader", opens=True),
            RateSettlement: CommandRule(self.rate, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {_EXPIRE: self._expire, REVEAL: self.ratings.reveal}

    def score_of(self, agent_id: str, domain: str) -> tuple[int, int]:
        """Return an agent's score in millionths, and the evidence for it in millionths of a credit at stake."""
        return self.reputations.score_of(agent_id, domain)

    # ── offers ──────────────────────────────────────────────────────────────────────────────────

    def offer_help(self, agent: AgentRecord, command: OfferHelp) -> Outcome:
        """List an offer, and hold its bond."""
        context = self.context
        bond = -(-command.price // _BOND_SHARE)
        problem = self._check_offer(agent, command) or context.cashier.check(agent, bond)
        if problem is not None:
            return context.reject(command, *problem)
        number = self.last_offer + 1
        posting = context.cashier.posting(cause_of(number))
        posting.hold(agent.agent_id, bond)
        posting.post()
        self.last_offer = number
        offer = Offer(
            number,
            agent.agent_id,
            agent.owner,
            command.topic,
            command.price,
            bond,
            command.minutes,
            command.until_us,
        )
        offer.deadline_id = context.deadlines.schedule(command.until_us, _EXPIRE, number)
        self.offers.add(offer)
        self._use_topic(agent.agent_id, command.topic)
        self.tally.count("offers_total")
        event = HelpOffered(
            offer=number,
            topic=offer.topic,
            price=offer.price,
            bond=bond,
            minutes=offer.minutes,
            until_us=offer.until_us,
        )
        context.emit(agent, event)
        return HelpOfferOutcome(command.id, "accepted", context.stamp, None, None, number, bond)

    def _check_offer(self, agent: AgentRecord, command: OfferHelp) -> tuple[Reason, str] | None:
        now_us, settings = self.context.time_us, self.context.settings
        if not now_us < command.until_us <= now_us + _OFFER_MAX_US:
            return Reason.INVALID_EXPIRY, f"until_us must lie within 90 days after {now_us}"
        if self.offers.by_owner.get(agent.owner, 0) >= settings.max_help_offers:
            return Reason.TOO_MANY_HELP_OFFERS, f"owner {agent.owner} has {settings.max_help_offers}: withdraw one"
        if len(self.offers.by_topic.get(command.topic, ())) >= settings.max_offers_per_topic:
            detail = f"{settings.max_offers_per_topic} offers of {command.topic} are open: try again later"
            return Reason.TOO_MANY_HELP_OFFERS, detail
        topics = self._topics_of(agent.agent_id)
        if command.topic not in topics and len(topics) >= settings.max_help_topics:
            return Reason.TOO_MANY_TOPICS, f"it has {settings.max_help_topics}: offer one of those"
        return None

    def _topics_of(self, agent_id: str) -> dict[str, None]:
        """Return the topics in which an agent helps or has a reputation."""
        topics = dict.fromkeys(self.topics.get(agent_id, ()))
        for domain in self.reputations.agents.domains_of(agent_id):
            kind, _, topic = domain.partition(":")
            if kind == "help":
                topics[topic] = None
        return topics

    def withdraw_offer(self, agent: AgentRecord, command: WithdrawHelpOffer) -> Outcome:
        """Take an offer back that nobody has engaged."""
        offer = self.offers.open.get(command.offer)
        if offer is None:
            detail = f"no open offer {command.offer}: it was engaged, has ended, or never was"
            return self.context.reject(command, Reason.UNKNOWN_HELP_OFFER, detail)
        if offer.owner != agent.owner:
            return self.context.reject(command, Reason.NOT_PERMITTED, f"it is of {offer.agent}")
        self._end_offer(offer, "withdrawn")
        return self.context.accept(command)

    def _expire(self, number: int) -> None:
        self._end_offer(self.offers.open[number], "expired")

    def _end_offer(self, offer: Offer, how: OfferEnd) -> None:
        """Release the bond of an offer that comes to nothing."""
        context = self.context
        posting = context.cashier.posting(cause_of(offer.number))
        posting.release(offer.agent, offer.bond)
        posting.post()
        self._unlist(offer)
        self._leave_topic(offer.agent, offer.topic)
        event = HelpOfferEnded(offer=offer.number, topic=offer.topic, how=how)
        context.emit(context.agents[offer.agent], event)

    def _unlist(self, offer: Offer) -> None:
        self.context.deadlines.cancel(offer.deadline_id)
        self.offers.remove(offer)

    def _withdraw_all(self, fact: SwitchLapsed) -> None:
        """Withdraw the offers of an agent that does not answer."""
        self._end_offers(fact.agent, "switch_lapsed")

    def _wind_up(self, fact: AgentEnded) -> None:
        """Withdraw the offers of a revoked agent; its sessions run to their end."""
        self._end_offers(fact.agent, "revoked")

    def _end_offers(self, agent_id: str, how: OfferEnd) -> None:
        for offer in list(self.offers.by_agent.get(agent_id, {}).values()):
            self._end_offer(offer, how)

    def release_for(self, agent_id: str, amount: int) -> None:
        """Withdraw the newest offers of a debtor, until ``amount`` is available or none is left."""
        balance = self.context.ledger.balance(agent_id, CREDIT)
        for offer in reversed(list(self.offers.by_agent.get(agent_id, {}).values())):
            if balance.available >= amount:
                return
            self._end_offer(offer, "debited")

    def _use_topic(self, agent_id: str, topic: str) -> None:
        topics = self.topics.setdefault(agent_id, {})
        topics[topic] = topics.get(topic, 0) + 1

    def _leave_topic(self, agent_id: str, topic: str) -> None:
        topics = self.topics[agent_id]
        topics[topic] -= 1
        if not topics[topic]:
            del topics[topic]
        if not topics:
            del self.topics[agent_id]

    # ── sessions ────────────────────────────────────────────────────────────────────────────────

    def request_help(self, agent: AgentRecord, command: RequestHelp) -> Outcome:
        """Engage the best offer at its own price: a session is a settlement with the bond of the offer."""
        context = self.context
        offer = self._best_offer(agent, command)
        if offer is None:
            detail = f"nobody else offers {command.minutes} minutes of {command.topic} at such a price and reputation"
            return context.reject(command, Reason.NO_HELP_OFFERED, detail)
        problem = context.cashier.check(agent, offer.price)
        if problem is not None:
            return context.reject(command, *problem)
        cause = cause_of(offer.number)
        escrow = escrow_of(cause)
        posting = context.cashier.posting(cause)
        posting.fund(agent.agent_id, escrow, offer.price)
        posting.fund_held(offer.agent, escrow, offer.bond)
        posting.post()
        self._unlist(offer)
        seconds = command.minutes * 60 + context.settings.help_start_seconds
        deliver_by_us = context.time_us + seconds * _SECOND_US
        session = Session(
            offer.number,
            offer.topic,
            offer.agent,
            agent.agent_id,
            offer.price,
            offer.bond,
            command.minutes,
            deliver_by_us,
        )
        self._list_session(session)
        self.tally.count("sessions_total")
        self.tally.count("session_credits_total", by=offer.price)
        terms = SettlementTerms(
            payer=agent.agent_id,
            provider=offer.agent,
            price=offer.price,
            bond=offer.bond,
            deliver_by_us=deliver_by_us,
            confirm_seconds=context.settings.confirm_seconds,
            title=f"{command.minutes} minutes of help: {offer.topic}",
        )
        context.announce(SettlementAgreed(cause, escrow, terms))
        return RequestHelpOutcome(
            command.id, "accepted", context.stamp, None, None, offer.number, offer.agent, offer.price, deliver_by_us
        )

    def _best_offer(self, agent: AgentRecord, command: RequestHelp) -> Offer | None:
        """Return the offer with the lowest price ÷ (100 + reputation); of equal ones the earlier."""
        agents = self.context.agents
        domain = f"help:{command.topic}"
        least = command.min_reputation * _PER_POINT
        best: Offer | None = None
        best_score = 0
        for offer in self.offers.by_topic.get(command.topic, {}).values():
            if offer.minutes < command.minutes or offer.price > command.max_price or offer.owner == agent.owner:
                continue
            # A reputation is looked up only where even the best there is could make the offer better.
            if best is not None and offer.price * (ONE + best_score) >= best.price * (2 * ONE):
                continue
            if agents[offer.agent].state != "active":
                continue
            score, _ = self.reputations.score_of(offer.agent, domain)
            if score < least:
                continue
            # By cross multiplication: exact.
            if best is None or offer.price * (ONE + best_score) < best.price * (ONE + score):
                best, best_score = offer, score
        return best

    def _list_session(self, session: Session) -> None:
        self.sessions[session.number] = session
        for name in (session.helper, session.requester):
            self.sessions_of.setdefault(name, {})[session.number] = None

    def _begin_session(self, fact: SettlementOpened) -> None:
        """Tell both sides which settlement the session is."""
        family, _, number = fact.origin.partition(":")
        if family != self.family:
            return
        session = self.sessions[int(number)]
        session.settlement = fact.settlement
        for name in (session.requester, session.helper):
            event = HelpEngaged(
                session=session.number,
                settlement=session.settlement,
                topic=session.topic,
                helper=session.helper,
                requester=session.requester,
                price=session.price,
                bond=session.bond,
                minutes=session.minutes,
                deliver_by_us=session.deliver_by_us,
            )
            self.context.emit(self.context.agents[name], event)

    def _end_session(self, number: int) -> Session:
        session = self.sessions.pop(number)
        for name in (session.helper, session.requester):
            numbers = self.sessions_of[name]
            del numbers[number]
            if not numbers:
                del self.sessions_of[name]
        return session

    # ── ratings ─────────────────────────────────────────────────────────────────────────────────

    def rate(self, agent: AgentRecord, command: RateSettlement) -> Outcome:
        """Take a rating, sealed."""
        context = self.context
        window = self.ratings.windows.get(command.settlement)
        if window is None or agent.agent_id not in (window.payer, window.provider):
            detail = f"settlement {command.settlement} is none that {agent.agent_id} may rate, or no more"
            return context.reject(command, Reason.UNKNOWN_SETTLEMENT, detail)
        if agent.agent_id not in window.raters():
            detail = "the outcome of a task rates the work: only the worker rates the other side"
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        if window.score_by(agent.agent_id) is not None:
            return context.reject(command, Reason.ALREADY_RATED, "a rating is given once and does not change")
        self.ratings.take(window, agent.agent_id, command.score)
        return context.accept(command)

    def _end_settlement(self, fact: SettlementFinal) -> None:
        """Let the outcome of a task count at once, and let the sides of a settlement rate each other."""
        family, _, number = fact.origin.partition(":")
        terms, domain = fact.terms, _WORK
        if family == self.family:
            domain = f"help:{self._end_session(int(number)).topic}"
        agents = self.context.agents
        if terms.price <= 0 or agents[terms.payer].owner == agents[terms.provider].owner:
            return
        if family == "tasks":
            score = 0 if fact.outcome == "failed" else _SCORE_MAX if fact.score is None else fact.score
            self.ratings.publish(fact.settlement, terms.payer, terms.provider, _WORK, score, terms.price)
            domain = ""
        self.ratings.open(fact.settlement, terms.payer, terms.provider, domain, terms.price)

    def _end_rating(self, window: Window) -> None:
        kind, _, topic = window.domain.partition(":")
        if kind == "help":
            self._leave_topic(window.provider, topic)

    def _take_evidence(self, fact: EvidenceGiven) -> None:
        """Let facts count that another mechanism knows."""
        if self.reputations.rate(fact.rater, fact.agent, fact.domain, fact.score, fact.stake):
            self.tally.count("ratings_total", fact.domain.partition(":")[0])

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; of a rating nothing before it counts."""
        rows: list[Row] = [
            ("open_offers", "Open offers of help.", {}, len(self.offers.open)),
            ("topics", "Topics of which there are offers.", {}, len(self.offers.by_topic)),
            ("open_sessions", "Sessions under way.", {}, len(self.sessions)),
            ("ratable", "Settlements of which ratings are sealed still, or not given.", {}, len(self.ratings.windows)),
        ]
        return [*rows, *self.tally.rows()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of offers, sessions, ratings and reputations."""
        return [
            *self.offers.problems(),
            *self._bond_problems(),
            *self._session_problems(),
            *self._topic_problems(),
            *self.ratings.problems(),
            *self.reputations.problems(),
        ]

    def _bond_problems(self) -> Iterable[str]:
        holds, deadlines = self.context.cashier.holds, self.context.deadlines
        for offer in self.offers.open.values():
            if holds.get(offer.agent, {}).get((cause_of(offer.number), CREDIT)) != offer.bond:
                yield f"offers_hold_their_bond: {offer.number}"
            if deadlines.due_us(offer.deadline_id) is None:
                yield f"offers_end: {offer.number}"
        held = sum(cause.startswith("expertise:") for causes in holds.values() for cause, _ in causes)
        if held != len(self.offers.open):
            yield "only_offers_hold_bonds"

    def _session_problems(self) -> Iterable[str]:
        context = self.context
        for session in self.sessions.values():
            if context.cashier.in_escrow(escrow_of(cause_of(session.number))) != session.price + session.bond:
                yield f"sessions_are_in_escrow: {session.number}"
            if not session.settlement:
                yield f"sessions_are_settlements: {session.number}"
            if context.agents[session.helper].owner == context.agents[session.requester].owner:
                yield f"owners_do_not_help_themselves: {session.number}"
        if sum(len(numbers) for numbers in self.sessions_of.values()) != 2 * len(self.sessions):
            yield "sessions_are_indexed_by_agent"

    def _topic_problems(self) -> Iterable[str]:
        uses = [(offer.agent, offer.topic) for offer in self.offers.open.values()]
        uses.extend((session.helper, session.topic) for session in self.sessions.values())
        for window in self.ratings.windows.values():
            kind, _, topic = window.domain.partition(":")
            if kind == "help":
                uses.append((window.provider, topic))
        counted: dict[tuple[str, str], int] = {}
        for use in uses:
            counted[use] = counted.get(use, 0) + 1
        known = {(agent, topic): total for agent, topics in self.topics.items() for topic, total in topics.items()}
        if counted != known:
            yield "topics_in_use_are_counted"

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.last_offer,
            [offer.dump() for offer in self.offers.open.values()],
            [session.dump() for session in self.sessions.values()],
            self.ratings.dump(),
            self.reputations.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.last_offer, offers, sessions, ratings, reputations = state
        for fields in offers:
            offer = Offer.load(fields)
            self.offers.add(offer)
            self._use_topic(offer.agent, offer.topic)
        for fields in sessions:
            session = Session(*fields)
            self._list_session(session)
            self._use_topic(session.helper, session.topic)
        self.ratings.load(ratings)
        for window in self.ratings.windows.values():
            kind, _, topic = window.domain.partition(":")
            if kind == "help":
                self._use_topic(window.provider, topic)
        self.reputations.load(reputations)
