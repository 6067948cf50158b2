"""Keep what is known of whom: evidence by agent and domain that fades, and how often owners rated each other.

Evidence is counted in billionths of a credit at stake. A score is the mean of a Beta distribution with the prior
(1, 1): (good + 1) ÷ (good + bad + 2).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exchange.mechanisms.expertise.decay import FORGOTTEN_US, decayed
from exchange.messages.base import CREDIT_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.base import Context

__all__ = ["ONE", "STAKE_MAX", "Evidence", "Reputations"]

ONE: Final = 1_000_000
"""A score of 1, and evidence of 1, as others see them."""

STAKE_MAX: Final = 100 * 10**CREDIT_DECIMALS
"""No rating counts for more than so many credits."""

_FINE: Final = 1_000
"""Evidence is kept so much finer than it is shown."""
_PRIOR: Final = ONE * _FINE
_SCORE_MAX: Final = 100
_FORGET_AT_ONCE: Final = 4
"""So many of what has faded are forgotten with each rating, so that none takes long and all are."""

_NOTHING: Final = (0, 0)


class Evidence(NamedTuple):
    """Hold what speaks for and against somebody as of a time; later it has faded."""

    good: int
    bad: int
    updated_us: int


class Book:
    """Keep evidence by subject (an agent, an owner) and domain; what was touched longest ago comes first."""

    def __init__(self) -> None:
        self.rows: OrderedDict[tuple[str, str], Evidence] = OrderedDict()
        self._domains: dict[str, dict[str, None]] = {}

    def find(self, subject: str, domain: str, now_us: int) -> tuple[int, int] | None:
        """Return what speaks for and against a subject now; None if nothing was ever known, or all is forgotten."""
        row = self.rows.get((subject, domain))
        if row is None:
            return None
        elapsed_us = now_us - row.updated_us
        if elapsed_us >= FORGOTTEN_US:
            return None
        return decayed(row.good, elapsed_us), decayed(row.bad, elapsed_us)

    def put(self, subject: str, domain: str, good: int, bad: int, now_us: int) -> None:
        """Write down what is known now, and forget some of what has faded."""
        key = (subject, domain)
        self.rows[key] = Evidence(good, bad, now_us)
        self.rows.move_to_end(key)
        self._domains.setdefault(subject, {})[domain] = None
        for _ in range(_FORGET_AT_ONCE):
            oldest = next(iter(self.rows))
            if now_us - self.rows[oldest].updated_us < FORGOTTEN_US:
                return
            self._forget(oldest)

    def _forget(self, key: tuple[str, str]) -> None:
        del self.rows[key]
        domains = self._domains[key[0]]
        del domains[key[1]]
        if not domains:
            del self._domains[key[0]]

    def domains_of(self, subject: str) -> Iterable[str]:
        """Return the domains in which something is, or was not long ago, known of a subject."""
        return self._domains.get(subject, ())

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [[*key, *row] for key, row in self.rows.items()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for subject, domain, good, bad, updated_us in state:
            self.rows[subject, domain] = Evidence(good, bad, updated_us)
            self._domains.setdefault(subject, {})[domain] = None

    def problems(self, now_us: int) -> Iterable[str]:
        """Yield the broken invariants."""
        last_us = 0
        for (subject, domain), row in self.rows.items():
            if row.good < 0 or row.bad < 0 or row.good + row.bad <= 0:
                yield f"evidence_is_positive: {subject} {domain}"
            if not last_us <= row.updated_us <= now_us:
                yield f"evidence_is_in_order_of_time: {subject} {domain}"
            last_us = row.updated_us
        if sum(len(domains) for domains in self._domains.values()) != len(self.rows):
            yield "evidence_is_indexed_by_subject"


class Pairs:
    """Count how often one owner has rated another; what was counted longest ago comes first."""

    def __init__(self) -> None:
        self.rows: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def count(self, rater: str, rated: str, now_us: int) -> int:
        """Count a rating and return the how manieth of its pair it is."""
        key = (rater, rated)
        total, last_us = self.rows.get(key, (0, now_us))
        if now_us - last_us >= FORGOTTEN_US:
            total = 0
        self.rows[key] = (total + 1, now_us)
        self.rows.move_to_end(key)
        for _ in range(_FORGET_AT_ONCE):
            oldest = next(iter(self.rows))
            if now_us - self.rows[oldest][1] < FORGOTTEN_US:
                break
            del self.rows[oldest]
        return total + 1

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [[*key, *row] for key, row in self.rows.items()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for rater, rated, total, last_us in state:
            self.rows[rater, rated] = (total, last_us)

    def problems(self, now_us: int) -> Iterable[str]:
        """Yield the broken invariants."""
        latest_us = 0
        for (rater, rated), (total, last_us) in self.rows.items():
            if rater == rated or total < 1:
                yield f"pairs_are_of_two_owners: {rater} {rated}"
            if not latest_us <= last_us <= now_us:
                yield f"pairs_are_in_order_of_time: {rater} {rated}"
            latest_us = last_us


class Reputations:
    """Know the reputation of every agent by domain.

    An agent of which nothing is known in a domain has half of its owner's evidence, so that a new name is no new start;
    its first rating is added to that.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.agents = Book()
        self.owners = Book()
        self.pairs = Pairs()

    def score_of(self, agent_id: str, domain: str) -> tuple[int, int]:
        """Return the score of a registered agent in millionths, and the evidence in millionths of a credit at stake."""
        good, bad = self._known(agent_id, domain)
        return (good + _PRIOR) * ONE // (good + bad + 2 * _PRIOR), (good + bad) // _FINE

    def is_inherited(self, agent_id: str, domain: str) -> bool:
        """Return whether what is known is only known of the agent's owner."""
        return self.agents.find(agent_id, domain, self._context.time_us) is None

    def domains_of(self, agent_id: str) -> list[str]:
        """Return the domains, by name, in which there is any evidence of an agent or its owner."""
        owner = self._context.agents[agent_id].owner
        domains = dict.fromkeys([*self.agents.domains_of(agent_id), *self.owners.domains_of(owner)])
        return [domain for domain in sorted(domains) if self._known(agent_id, domain) != _NOTHING]

    def rate(self, rater_id: str | None, rated_id: str, domain: str, score: int, stake: int) -> int:
        """Count a score of 0 to 100 with credits at stake; return the evidence it gives, in millionths.

        Without a rater the facts speak. The k-th rating of one pair of owners counts for 1/k, that of the same owner
        for nothing.
        """
        context = self._context
        owner, now_us = context.agents[rated_id].owner, context.time_us
        weight = min(stake, STAKE_MAX) * _FINE
        if weight <= 0:
            return 0
        if rater_id is not None:
            rater = context.agents[rater_id].owner
            if rater == owner:
                return 0
            weight //= self.pairs.count(rater, owner, now_us)
        if not weight:
            return 0
        good = weight * score // _SCORE_MAX
        own_good, own_bad = self._known(rated_id, domain)
        self.agents.put(rated_id, domain, own_good + good, own_bad + weight - good, now_us)
        all_good, all_bad = self.owners.find(owner, domain, now_us) or _NOTHING
        self.owners.put(owner, domain, all_good + good, all_bad + weight - good, now_us)
        return weight // _FINE

    def _known(self, agent_id: str, domain: str) -> tuple[int, int]:
        now_us = self._context.time_us
        own = self.agents.find(agent_id, domain, now_us)
        if own is not None:
            return own
        good, bad = self.owners.find(self._context.agents[agent_id].owner, domain, now_us) or _NOTHING
        return good // 2, bad // 2

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.agents.dump(), self.owners.dump(), self.pairs.dump()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        agents, owners, pairs = state
        self.agents.load(agents)
        self.owners.load(owners)
        self.pairs.load(pairs)

    def problems(self) -> Iterable[str]:
        """Yield the broken invariants."""
        now_us = self._context.time_us
        yield from self.agents.problems(now_us)
        yield from self.owners.problems(now_us)
        yield from self.pairs.problems(now_us)
        for agent_id, domain in self.agents.rows:
            score, _ = self.score_of(agent_id, domain)
            if not 0 <= score <= ONE:
                yield f"scores_are_shares: {agent_id} {domain}"
