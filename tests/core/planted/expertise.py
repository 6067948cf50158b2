"""Faults of help and reputation."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.base import AgentRecord
from exchange.mechanisms.expertise.mechanism import Expertise
from exchange.mechanisms.expertise.offers import Offer, Offers
from exchange.mechanisms.expertise.ratings import Ratings, Window
from exchange.mechanisms.expertise.reputation import Book, Pairs, Reputations
from exchange.messages.expertise import RequestHelp
from tests.core.planted import plant

_put = Book.put
_load = Reputations.load


def _end_with_bond_held(self: Expertise, offer: Offer, how: Any) -> None:
    del how
    self._unlist(offer)
    self._leave_topic(offer.agent, offer.topic)


def _remove_but_in_topic(self: Offers, offer: Offer) -> None:
    del self.open[offer.number]
    del self.by_agent[offer.agent][offer.number]
    self.by_owner[offer.owner] -= 1


def _first_offer(self: Expertise, agent: AgentRecord, command: RequestHelp) -> Offer | None:
    del agent
    return next(iter(self.offers.by_topic.get(command.topic, {}).values()), None)


def _take_and_wait(self: Ratings, window: Window, rater: str, score: int) -> None:
    del self
    if rater == window.payer:
        window.by_payer = score
    else:
        window.by_provider = score


def _count_in_place(self: Pairs, rater: str, rated: str, now_us: int) -> int:
    total, _ = self.rows.get((rater, rated), (0, 0))
    self.rows[rater, rated] = (total + 1, now_us)
    return total + 1


def _put_doubled(self: Book, subject: str, domain: str, good: int, bad: int, now_us: int) -> None:
    _put(self, subject, domain, 2 * good, bad - good, now_us)


def _load_without_pairs(self: Reputations, state: Any) -> None:
    _load(self, [*state[:2], []])


def _forget_no_topic(self: Expertise, window: Window) -> None:
    del self, window


_WALK = ("expertise", "settlements")

plant("an offer that ends keeps its bond held", Expertise, "_end_offer", _end_with_bond_held, "expertise")
plant("an engaged offer stays in its topic", Offers, "remove", _remove_but_in_topic, "expertise")
plant("an owner helps itself", Expertise, "_best_offer", _first_offer, "expertise")
plant("ratings stay sealed though both are in", Ratings, "take", _take_and_wait, *_WALK)
plant("pairs are not kept in order of time", Pairs, "count", _count_in_place, *_WALK, seed=6)
plant("praise takes away from blame", Book, "put", _put_doubled, *_WALK)
plant("a snapshot forgets who rated whom", Reputations, "load", _load_without_pairs, *_WALK)
plant("a topic is in use for ever", Expertise, "_end_rating", _forget_no_topic, *_WALK)
