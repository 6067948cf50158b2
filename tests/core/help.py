"""Build the scene that tests of help and reputation start from, and what agents do in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.messages.expertise import (
    GetReputation,
    ListHelpOffers,
    ListHelpSessions,
    ListRatable,
    OfferHelp,
    RateSettlement,
    RequestHelp,
)
from exchange.messages.settlements import Confirm, Deliver
from exchange.testing import SECOND_US, Venue
from tests.core.agreements import WITH_AGREEMENTS, Agree

if TYPE_CHECKING:
    from exchange.messages.expertise import HelpOfferView, HelpSessionView, RatableView, ReputationView
    from exchange.testing import Answer

__all__ = ["CREDIT", "DAY_US", "HOUR_US", "MINUTE_US", "Help"]

CREDIT: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US


class Help(Venue):
    """Be a venue with ``ann``, ``ben``, ``cid``, ``dot`` (1,000 credits each), and ``anna``, who is of ann's owner."""

    def __init__(self, **options: Any) -> None:
        super().__init__(mechanisms=WITH_AGREEMENTS, **options)
        self.register("ann", "ben", "cid", "dot", endowment=1_000 * CREDIT)
        self.register("anna", owner="ann", endowment=100 * CREDIT)
        self.settled = 0

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def offer(self, agent: str, price: int, minutes: int = 60, topic: str = "rust", **fields: Any) -> int:
        """Offer help for a price in whole credits, for a day; return the number of the offer."""
        answer = self.try_to_offer(agent, price, minutes, topic, **fields)
        assert answer.accepted, answer.outcome
        return int(answer.data["offer"])

    def try_to_offer(
        self, agent: str, price: int, minutes: int = 60, topic: str = "rust", until_us: int | None = None
    ) -> Answer:
        until_us = self.time_us + DAY_US if until_us is None else until_us
        return self.submit(agent, OfferHelp, topic=topic, price=price * CREDIT, minutes=minutes, until_us=until_us)

    def ask(self, agent: str, max_price: int = 100, minutes: int = 30, topic: str = "rust", **fields: Any) -> Answer:
        """Request help for at most a price in whole credits."""
        return self.submit(agent, RequestHelp, topic=topic, max_price=max_price * CREDIT, minutes=minutes, **fields)

    def session(self, helper: str, requester: str, price: int = 10, topic: str = "rust") -> int:
        """Let one agent help another, deliver and be paid; return the settlement, which may be rated now."""
        self.offer(helper, price, topic=topic)
        answer = self.ask(requester, price, topic=topic)
        assert answer.data["helper"] == helper, answer.data
        (session,) = self.sessions(requester)
        self.must(helper, Deliver, settlement=session.settlement)
        self.must(requester, Confirm, settlement=session.settlement)
        return session.settlement

    def agreed(self, payer: str, provider: str, price: int, origin: str = "agreements") -> int:
        """Let a settlement of some origin be completed; return its number."""
        settlement = self.agree(payer, provider, price, origin)
        self.must(provider, Deliver, settlement=settlement)
        self.must(payer, Confirm, settlement=settlement)
        return settlement

    def agree(self, payer: str, provider: str, price: int, origin: str = "agreements", **terms: Any) -> int:
        fields = {"price": price * CREDIT, "deliver_by_us": self.time_us + HOUR_US, "origin": origin, **terms}
        self.must(payer, Agree, provider=provider, **fields)
        return int(self.events(payer)[-1].settlement)  # type: ignore[attr-defined]

    def rate(self, agent: str, settlement: int, score: int) -> None:
        self.must(agent, RateSettlement, settlement=settlement, score=score)

    def both_rate(self, settlement: int, requester: str, helper: str, score: int, back: int = 100) -> None:
        """Let the requester give a score and the helper another."""
        self.rate(requester, settlement, score)
        self.rate(helper, settlement, back)

    def reload(self) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(WITH_AGREEMENTS)
        engine.load(dumped)
        assert engine.dump() == dumped
        assert engine.check_invariants() == []
        self.engine = engine

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def offers(self, topic: str | None = "rust", agent: str = "dot") -> list[HelpOfferView]:
        return self.engine.query(agent, ListHelpOffers(topic=topic)).offers  # type: ignore[attr-defined, no-any-return]

    def sessions(self, agent: str) -> list[HelpSessionView]:
        return self.engine.query(agent, ListHelpSessions()).sessions  # type: ignore[attr-defined, no-any-return]

    def ratable(self, agent: str) -> list[RatableView]:
        return self.engine.query(agent, ListRatable()).settlements  # type: ignore[attr-defined, no-any-return]

    def reputation(self, agent: str, domain: str = "help:rust", asker: str = "dot") -> ReputationView:
        (view,) = self.engine.query(asker, GetReputation(agent=agent, domain=domain)).domains  # type: ignore[attr-defined]
        return view  # type: ignore[no-any-return]

    def known(self, agent: str, domain: str = "help:rust") -> tuple[int, int]:
        """Return score and evidence in millionths."""
        view = self.reputation(agent, domain)
        assert self.expertise.score_of(agent, domain) == (view.score, view.evidence)
        return view.score, view.evidence

    def purse(self, agent: str) -> tuple[int, int]:
        """Return what is available and held, in whole credits."""
        available, held = self.balance(agent)
        return available // CREDIT, held // CREDIT

    @property
    def expertise(self) -> Any:
        return self.engine.mechanisms["expertise"]
