"""Offer and ask for help, rate the other side, and see what is thought of agents."""

from __future__ import annotations

from decimal import Decimal

from agent_sdk.agreement_models import EngagedHelp, HelpOffer, HelpSession, HelpTopic, PlacedOffer, Ratable, Reputation
from agent_sdk.markets import credits_from
from agent_sdk.money import Number, to_credits
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import expertise as wire

__all__ = ["Help"]


def _score(millionths: int) -> Decimal:
    """Return a score from 0 to 100."""
    return Decimal(millionths).scaleb(-4)


class Help(Namespace):
    """Help and be helped. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def offer(self, topic: str, price: Number, *, minutes: int, lasts: float) -> PlacedOffer:
        """Offer one session of at most ``minutes`` for ``price`` in all; the offer stands for ``lasts`` seconds."""
        fields = {"topic": topic, "price": to_credits(price, "price"), "minutes": minutes, "until_us": self._at(lasts)}
        outcome = await self._give(wire.OfferHelp, wire.HelpOfferOutcome, **fields)
        return PlacedOffer(id=outcome.offer, bond=credits_from(outcome.bond))

    async def withdraw_offer(self, offer: int) -> None:
        """Withdraw an offer that nobody has engaged yet."""
        await self._give(wire.WithdrawHelpOffer, offer=offer)

    async def request(self, topic: str, max_price: Number, *, minutes: int, min_reputation: int = 0) -> EngagedHelp:
        """Engage the best offer of a topic at its own price; ``max_price`` is shown to nobody.

        The session is a settlement: confirm it by `Agent.settlements`, or let silence confirm it.
        """
        fields = {
            "topic": topic,
            "max_price": to_credits(max_price, "max_price"),
            "minutes": minutes,
            "min_reputation": min_reputation,
        }
        return read(EngagedHelp, await self._give(wire.RequestHelp, wire.RequestHelpOutcome, **fields))

    async def rate(self, settlement: int, score: int) -> None:
        """Rate the other side of a final settlement from 0 to 100, once: sealed until both have, or time is up."""
        await self._give(wire.RateSettlement, settlement=settlement, score=score)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def offers(self, topic: str | None = None) -> list[HelpOffer]:
        """Return the open offers of a topic, or without one the agent's own."""

        async def ask(after: int) -> wire.HelpOffersResult:
            return await self._connection.query(wire.ListHelpOffers(topic=topic, after=after), wire.HelpOffersResult)

        views = await page_through(ask, "offers")
        return [read(HelpOffer, view, id=view.offer, score=_score(view.score)) for view in views]

    async def topics(self) -> list[HelpTopic]:
        """Return the topics of which there are offers, by name."""
        topics: list[HelpTopic] = []
        after = ""
        while True:
            page = await self._connection.query(wire.ListHelpTopics(after=after), wire.HelpTopicsResult)
            topics += [read(HelpTopic, view) for view in page.topics]
            if page.next is None:
                return topics
            after = page.next

    async def sessions(self) -> list[HelpSession]:
        """Return the sessions under way in which the agent helps or is helped."""

        async def ask(after: int) -> wire.HelpSessionsResult:
            return await self._connection.query(wire.ListHelpSessions(after=after), wire.HelpSessionsResult)

        return [read(HelpSession, view) for view in await page_through(ask, "sessions")]

    async def ratable(self) -> list[Ratable]:
        """Return the settlements that the agent may rate, or has rated, as long as the ratings are sealed."""

        async def ask(after: int) -> wire.RatableResult:
            return await self._connection.query(wire.ListRatable(after=after), wire.RatableResult)

        return [read(Ratable, view) for view in await page_through(ask, "settlements")]

    async def reputation(self, agent: str | None = None, domain: str | None = None) -> dict[str, Reputation]:
        """Return by domain (``work``, ``help:<topic>``, …) what is thought of an agent, by default of this one."""
        query = wire.GetReputation(agent=agent, domain=domain)
        result = await self._connection.query(query, wire.ReputationResult)
        return {view.domain: read(Reputation, view, score=_score(view.score)) for view in result.domains}
