"""Keep the open offers of help, by topic, agent and owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Offer", "Offers", "Session", "cause_of"]


def cause_of(number: int) -> str:
    """Return the cause under which the money of an offer, and of the session it becomes, moves."""
    return f"expertise:{number}"


class Offer:
    """Be one open offer; ``deadline_id`` is that of its end."""

    __slots__ = ("agent", "bond", "deadline_id", "minutes", "number", "owner", "price", "topic", "until_us")

    def __init__(
        self, number: int, agent: str, owner: str, topic: str, price: int, bond: int, minutes: int, until_us: int
    ) -> None:
        self.number = number
        self.agent = agent
        self.owner = owner
        self.topic = topic
        self.price = price
        self.bond = bond
        self.minutes = minutes
        self.until_us = until_us
        self.deadline_id = 0

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.agent, self.owner, self.topic, self.price, self.bond, self.minutes, self.until_us,
            self.deadline_id,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Offer:
        """Return the offer of which ``dump`` gave the state."""
        *fields, deadline_id = state
        offer = Offer(*fields)
        offer.deadline_id = deadline_id
        return offer


class Session:
    """Be one session under way; ``settlement`` is 0 until it was opened, right after the request."""

    __slots__ = (
        "bond", "deliver_by_us", "helper", "minutes", "number", "price", "requester", "settlement", "topic",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        topic: str,
        helper: str,
        requester: str,
        price: int,
        bond: int,
        minutes: int,
        deliver_by_us: int,
        settlement: int = 0,
    ) -> None:
        self.number = number
        self.topic = topic
        self.helper = helper
        self.requester = requester
        self.price = price
        self.bond = bond
        self.minutes = minutes
        self.deliver_by_us = deliver_by_us
        self.settlement = settlement

    def dump(self) -> list[object]:
        """Return the state as plain data, which is also what it is made of."""
        return [
            self.number, self.topic, self.helper, self.requester, self.price, self.bond, self.minutes,
            self.deliver_by_us, self.settlement,
        ]  # fmt: skip


class Offers:
    """Keep the open offers; those of a topic and of an agent in the order in which they were made."""

    def __init__(self) -> None:
        self.open: dict[int, Offer] = {}
        self.by_topic: dict[str, dict[int, Offer]] = {}
        self.by_agent: dict[str, dict[int, Offer]] = {}
        self.by_owner: dict[str, int] = {}

    def add(self, offer: Offer) -> None:
        """List an offer."""
        self.open[offer.number] = offer
        self.by_topic.setdefault(offer.topic, {})[offer.number] = offer
        self.by_agent.setdefault(offer.agent, {})[offer.number] = offer
        self.by_owner[offer.owner] = self.by_owner.get(offer.owner, 0) + 1

    def remove(self, offer: Offer) -> None:
        """Take an offer off all lists."""
        del self.open[offer.number]
        _remove(self.by_topic, offer.topic, offer.number)
        _remove(self.by_agent, offer.agent, offer.number)
        self.by_owner[offer.owner] -= 1
        if not self.by_owner[offer.owner]:
            del self.by_owner[offer.owner]

    def problems(self) -> Iterable[str]:
        """Yield the broken invariants."""
        total = len(self.open)
        for name, index in (("topic", self.by_topic), ("agent", self.by_agent)):
            if sum(len(offers) for offers in index.values()) != total or not all(index.values()):
                yield f"offers_are_indexed_by_{name}"
        if sum(self.by_owner.values()) != total:
            yield "offers_are_counted_by_owner"
        for offer in self.open.values():
            if offer.number not in self.by_topic.get(offer.topic, ()):
                yield f"offers_are_indexed_by_topic: {offer.number}"
            if offer.number not in self.by_agent.get(offer.agent, ()):
                yield f"offers_are_indexed_by_agent: {offer.number}"


def _remove(index: dict[str, dict[int, Offer]], key: str, number: int) -> None:
    numbers = index[key]
    del numbers[number]
    if not numbers:
        del index[key]
