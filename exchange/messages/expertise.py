"""Speak about help that agents give each other, and about what is thought of them: family ``expertise``.

Amounts are in the credit's smallest unit, times in microseconds of venue time. A reputation is a ``score`` in
millionths (500,000 says nothing, neither good nor bad) and the ``evidence`` it rests on, in millionths of a credit at
stake.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    MAX_AMOUNT,
    AgentId,
    Command,
    Event,
    Outcome,
    PositiveAmount,
    Query,
    Result,
    TimestampUs,
)

__all__ = [
    "GetReputation",
    "HelpEngaged",
    "HelpOfferEnded",
    "HelpOfferOutcome",
    "HelpOfferView",
    "HelpOffered",
    "HelpOffersResult",
    "HelpSessionView",
    "HelpSessionsResult",
    "HelpTopicView",
    "HelpTopicsResult",
    "ListHelpOffers",
    "ListHelpSessions",
    "ListHelpTopics",
    "ListRatable",
    "OfferHelp",
    "RatableResult",
    "RatableView",
    "RateSettlement",
    "RatingOpened",
    "RatingPublished",
    "ReputationResult",
    "ReputationView",
    "RequestHelp",
    "RequestHelpOutcome",
    "Topic",
    "WithdrawHelpOffer",
]

Topic = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.+#-]{1,32}$")]
HelpId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Minutes = Annotated[int, Meta(ge=1, le=1_440)]
Score = Annotated[int, Meta(ge=0, le=100)]
Limit = Annotated[int, Meta(ge=1, le=500)]
Domain = Annotated[str, Meta(pattern=r"^(work|module|forecast|payment|help:[A-Za-z0-9_.+#-]{1,32})$")]
OfferEnd = Literal["withdrawn", "expired", "revoked", "switch_lapsed", "debited"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class OfferHelp(Command, tag="expertise.offer_help", kw_only=True):
    """Offer one session of at most ``minutes`` for ``price`` in all; a fifth of the price is held as a bond.

    It stands until ``until_us``, until it is withdrawn, or until somebody is helped.
    """

    topic: Topic
    price: PositiveAmount
    minutes: Minutes
    until_us: TimestampUs


class WithdrawHelpOffer(Command, tag="expertise.withdraw_offer", kw_only=True):
    """Withdraw an offer that nobody has engaged yet."""

    offer: HelpId


class RequestHelp(Command, tag="expertise.request_help", kw_only=True):
    """Engage the best offer of a topic, at its own price: by price ÷ (100 + reputation).

    ``max_price`` is shown to nobody. Helpers with a reputation below ``min_reputation`` of 100 are passed over.
    """

    topic: Topic
    max_price: PositiveAmount
    minutes: Minutes
    min_reputation: Score = 0


class RateSettlement(Command, tag="expertise.rate", kw_only=True):
    """Rate the other side of a final settlement, once: sealed until both have, or the time for it has passed."""

    settlement: HelpId
    score: Score


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class HelpOfferOutcome(Outcome, tag="outcome"):
    """Answer ``OfferHelp``: the number of the ``offer``, and the ``bond`` that is held for it."""

    offer: int = 0
    bond: int = 0


class RequestHelpOutcome(Outcome, tag="outcome"):
    """Answer ``RequestHelp``: who helps, and for how much. ``session`` is the number of the offer that was engaged."""

    session: int = 0
    helper: str = ""
    price: int = 0
    deliver_by_us: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class HelpOffered(Event, tag="expertise.offered", kw_only=True):
    """Tell a helper its own offer, and the ``bond`` that is held for it."""

    offer: int
    topic: str
    price: int
    bond: int
    minutes: int
    until_us: int


class HelpOfferEnded(Event, tag="expertise.offer_ended", kw_only=True):
    """Tell that an offer ended without a session, and that its bond is available again."""

    offer: int
    topic: str
    how: OfferEnd


class HelpEngaged(Event, tag="expertise.engaged", kw_only=True):
    """Tell helper and requester that a session has begun; ``settlement`` is what is to be delivered and confirmed."""

    session: int
    settlement: int
    topic: str
    helper: str
    requester: str
    price: int
    bond: int
    minutes: int
    deliver_by_us: int


class RatingOpened(Event, tag="expertise.rating_opened", kw_only=True):
    """Tell who may rate ``other`` for a settlement now, and until when; ``domain`` is what the rating counts for."""

    settlement: int
    other: str
    domain: str
    until_us: int


class RatingPublished(Event, tag="expertise.rated", kw_only=True):
    """Tell both sides a rating once it is no longer sealed; ``weight`` is the evidence it counts for."""

    settlement: int
    rater: str
    rated: str
    domain: str
    score: int
    weight: int


# ── queries and their results ───────────────────────────────────────────────────────────────────


class ListHelpOffers(Query, tag="expertise.offers"):
    """Ask for the open offers of a ``topic``, whoever's; without one for the agent's own. By number, paged."""

    topic: Topic | None = None
    after: int = 0
    limit: Limit = 100


class ListHelpTopics(Query, tag="expertise.topics"):
    """Ask for the topics of which there are offers, by name, paged."""

    after: Annotated[str, Meta(max_length=32)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class ListHelpSessions(Query, tag="expertise.sessions"):
    """Ask for the sessions under way in which the agent helps or is helped, by number, paged."""

    after: int = 0
    limit: Limit = 100


class ListRatable(Query, tag="expertise.ratable"):
    """Ask for the settlements that the agent may rate or has rated, as long as the rating is sealed; paged."""

    after: int = 0
    limit: Limit = 100


class GetReputation(Query, tag="expertise.reputation"):
    """Ask for the reputation of an agent (default: the asker's) in one ``domain``, or in all with any evidence.

    Domains are ``work``, ``help:<topic>``, ``module``, ``forecast`` and ``payment``. Anybody may ask.
    """

    agent: AgentId | None = None
    domain: Domain | None = None


class HelpOfferView(msgspec.Struct, kw_only=True):
    """Describe an open offer, and the helper's reputation for its topic."""

    offer: int
    topic: str
    helper: str
    price: int
    minutes: int
    until_us: int
    score: int
    evidence: int


class HelpOffersResult(Result, tag="help_offers", kw_only=True):
    """Answer ``ListHelpOffers``; ``next`` is the ``after`` of the next page, if there is one."""

    offers: list[HelpOfferView]
    next: int | None = None


class HelpTopicView(msgspec.Struct):
    """Describe a topic: how many offers there are, and the lowest price."""

    topic: str
    offers: int
    lowest_price: int


class HelpTopicsResult(Result, tag="help_topics", kw_only=True):
    """Answer ``ListHelpTopics``."""

    topics: list[HelpTopicView]
    next: str | None = None


class HelpSessionView(msgspec.Struct, kw_only=True):
    """Describe a session under way."""

    session: int
    settlement: int
    topic: str
    helper: str
    requester: str
    price: int
    bond: int
    minutes: int
    deliver_by_us: int


class HelpSessionsResult(Result, tag="help_sessions", kw_only=True):
    """Answer ``ListHelpSessions``."""

    sessions: list[HelpSessionView]
    next: int | None = None


class RatableView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a settlement of which ratings are sealed still; ``score`` is the asker's own, once given."""

    settlement: int
    other: str
    domain: str
    until_us: int | None = None
    score: int | None = None


class RatableResult(Result, tag="ratable", kw_only=True):
    """Answer ``ListRatable``."""

    settlements: list[RatableView]
    next: int | None = None


class ReputationView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a reputation; ``inherited``: it is its owner's at half the evidence, for want of any of its own."""

    domain: str
    score: int
    evidence: int
    inherited: bool = False


class ReputationResult(Result, tag="reputation", kw_only=True):
    """Answer ``GetReputation``."""

    agent: str
    domains: list[ReputationView]
