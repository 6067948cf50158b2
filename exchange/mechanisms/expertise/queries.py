"""Answer what agents ask about help, ratings and reputation."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.expertise import (
    GetReputation,
    HelpOffersResult,
    HelpOfferView,
    HelpSessionsResult,
    HelpSessionView,
    HelpTopicsResult,
    HelpTopicView,
    ListHelpOffers,
    ListHelpSessions,
    ListHelpTopics,
    ListRatable,
    RatableResult,
    RatableView,
    ReputationResult,
    ReputationView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.expertise.mechanism import Expertise
    from exchange.mechanisms.expertise.offers import Offer
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the state of the mechanism, as far as the asker may see it."""

    def __init__(self, expertise: Expertise) -> None:
        self._expertise = expertise

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {
            ListHelpOffers: self._offers,
            ListHelpTopics: self._topics,
            ListHelpSessions: self._sessions,
            ListRatable: self._ratable,
            GetReputation: self._reputation,
        }

    def _offers(self, agent: AgentRecord, query: ListHelpOffers) -> HelpOffersResult:
        offers = self._expertise.offers
        if query.topic is None:
            listed = offers.by_agent.get(agent.agent_id, {})
        else:
            listed = offers.by_topic.get(query.topic, {})
        page, following = _page(list(listed), query.after, query.limit)
        return HelpOffersResult(offers=[self._offer(listed[number]) for number in page], next=following)

    def _offer(self, offer: Offer) -> HelpOfferView:
        score, evidence = self._expertise.score_of(offer.agent, f"help:{offer.topic}")
        return HelpOfferView(
            offer=offer.number,
            topic=offer.topic,
            helper=offer.agent,
            price=offer.price,
            minutes=offer.minutes,
            until_us=offer.until_us,
            score=score,
            evidence=evidence,
        )

    def _topics(self, agent: AgentRecord, query: ListHelpTopics) -> HelpTopicsResult:
        del agent
        topics = self._expertise.offers.by_topic
        names = nsmallest(query.limit + 1, (topic for topic in topics if topic > query.after))
        page = names[: query.limit]
        views = [
            HelpTopicView(topic, len(topics[topic]), min(offer.price for offer in topics[topic].values()))
            for topic in page
        ]
        return HelpTopicsResult(topics=views, next=page[-1] if len(names) > query.limit else None)

    def _sessions(self, agent: AgentRecord, query: ListHelpSessions) -> HelpSessionsResult:
        numbers = list(self._expertise.sessions_of.get(agent.agent_id, ()))
        page, following = _page(sorted(numbers), query.after, query.limit)
        views = []
        for number in page:
            session = self._expertise.sessions[number]
            view = HelpSessionView(
                session=number,
                settlement=session.settlement,
                topic=session.topic,
                helper=session.helper,
                requester=session.requester,
                price=session.price,
                bond=session.bond,
                minutes=session.minutes,
                deliver_by_us=session.deliver_by_us,
            )
            views.append(view)
        return HelpSessionsResult(sessions=views, next=following)

    def _ratable(self, agent: AgentRecord, query: ListRatable) -> RatableResult:
        """Show the asker its own ratings only, and not whether the other side has rated."""
        ratings, me = self._expertise.ratings, agent.agent_id
        page, following = _page(sorted(ratings.by_agent.get(me, ())), query.after, query.limit)
        views = []
        for number in page:
            window = ratings.windows[number]
            view = RatableView(
                settlement=number,
                other=window.other(me),
                domain=window.domain_of(me),
                until_us=self._expertise.context.deadlines.due_us(window.deadline_id),
                score=window.score_by(me),
            )
            views.append(view)
        return RatableResult(settlements=views, next=following)

    def _reputation(self, agent: AgentRecord, query: GetReputation) -> ReputationResult:
        name = query.agent or agent.agent_id
        if name not in self._expertise.context.agents:
            message = f"{name} is not registered"
            raise NotFound(message)
        reputations = self._expertise.reputations
        domains = reputations.domains_of(name) if query.domain is None else [query.domain]
        views = []
        for domain in domains:
            score, evidence = reputations.score_of(name, domain)
            is_inherited = evidence > 0 and reputations.is_inherited(name, domain)
            views.append(ReputationView(domain=domain, score=score, evidence=evidence, inherited=is_inherited))
        return ReputationResult(agent=name, domains=views)


def _page(numbers: list[int], after: int, limit: int) -> tuple[list[int], int | None]:
    """Return the numbers of a page, and the ``after`` of the next, if there is one."""
    following = [number for number in numbers if number > after]
    page = following[:limit]
    return page, page[-1] if len(following) > limit else None
