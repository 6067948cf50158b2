"""Let agents help each other for a price: family ``expertise``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism, NotFound
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.expertise import (
    GetReputation,
    ListHelpOffers,
    ListHelpSessions,
    ListHelpTopics,
    ListRatable,
    OfferHelp,
    RateSettlement,
    RequestHelp,
    WithdrawHelpOffer,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Expertise"]


class Expertise(Mechanism):
    """Keep the offers of help, the ratings, and the reputation that comes of them."""

    family: ClassVar[str] = "expertise"
    summary: ClassVar[str] = "a market for help, sealed ratings, reputation by domain that fades"

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            OfferHelp: CommandRule(self._reject, "trader", opens=True),
            WithdrawHelpOffer: CommandRule(self._reject, None, opens=False),
            RequestHelp: CommandRule(self._reject, "trader", opens=True),
            RateSettlement: CommandRule(self._reject, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        kinds = (ListHelpOffers, ListHelpTopics, ListHelpSessions, ListRatable, GetReputation)
        return dict.fromkeys(kinds, self._read)

    def _reject(self, agent: AgentRecord, command: Command) -> Outcome:
        del agent
        return self.context.reject(command, Reason.NO_HELP_OFFERED, "nobody helps here yet")

    def _read(self, agent: AgentRecord, query: Query) -> Result:
        del agent, query
        message = "nobody helps here yet"
        raise NotFound(message)

    def score_of(self, agent_id: str, domain: str) -> tuple[int, int]:
        """Return a reputation in millionths, and the evidence for it: nobody has any yet."""
        del agent_id, domain
        return 500_000, 0

    def dump(self) -> object:
        """Return the state as plain data."""
        return []

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        del state
