"""Keep standing bids, found by skill, so that an auction looks only at those that could enter it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.tasks.task import StandingBid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.tasks.task import Terms

__all__ = ["StandingBids", "matches"]


class StandingBids:
    """Hold at most one standing bid per agent."""

    def __init__(self) -> None:
        self.by_agent: dict[str, StandingBid] = {}
        self._by_skill: dict[str, dict[int, StandingBid]] = {}
        self.last_number = 0

    def add(self, bid: StandingBid) -> None:
        """Take in a bid of an agent that has none."""
        self.by_agent[bid.agent] = bid
        for skill in ("", *bid.skills):
            self._by_skill.setdefault(skill, {})[bid.number] = bid

    def remove(self, agent: str) -> StandingBid | None:
        """Take an agent's bid out and return it."""
        bid = self.by_agent.pop(agent, None)
        if bid is None:
            return None
        for skill in ("", *bid.skills):
            found = self._by_skill[skill]
            found.pop(bid.number, None)
            if not found:
                del self._by_skill[skill]
        return bid

    def matching(self, terms: Terms) -> Iterable[StandingBid]:
        """Return the bids that have all skills of a task and take its effort and bond, by number."""
        # The rarest skill leaves the fewest to look at.
        found = min((self._by_skill.get(skill, {}) for skill in (terms.skills or ("",))), key=len)
        return [bid for _, bid in sorted(found.items()) if matches(bid, terms)]

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.last_number, [list(bid) for bid in self.by_agent.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.last_number, bids = state
        for number, agent, owner, skills, *rest in bids:
            self.add(StandingBid(number, agent, owner, tuple(skills), *rest))


def matches(bid: StandingBid, terms: Terms) -> bool:
    """Return whether a bid has all skills of a task, and takes its effort and bond."""
    return (
        all(skill in bid.skills for skill in terms.skills)
        and (bid.max_effort_minutes is None or terms.effort_minutes <= bid.max_effort_minutes)
        and (bid.max_bond is None or terms.bond <= bid.max_bond)
    )
