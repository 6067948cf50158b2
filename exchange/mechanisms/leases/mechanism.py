"""Let capacity for a term: family ``leases``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism, NotFound
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.leases import (
    AcquireLeases,
    BidTurn,
    CollectRent,
    GetLease,
    GetLeaseHolder,
    GetLeaseMarket,
    ListLeases,
    ListTurnBids,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RevokeLease,
    WithdrawRenewal,
    WithdrawTurn,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Leases"]


class Leases(Mechanism):
    """Keep the running leases."""

    family: ClassVar[str] = "leases"
    summary: ClassVar[str] = "capacity for a term: rent as it accrues, fencing tokens, renewals, whose turn is next"

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            AcquireLeases: CommandRule(self._reject, "trader", opens=True),
            ReleaseLease: CommandRule(self._reject, None, opens=False),
            RenewLease: CommandRule(self._reject, None, opens=False),
            RevokeLease: CommandRule(self._reject, None, opens=False),
            CollectRent: CommandRule(self._reject, None, opens=False),
            OfferRenewal: CommandRule(self._reject, "trader", opens=True),
            WithdrawRenewal: CommandRule(self._reject, None, opens=False),
            BidTurn: CommandRule(self._reject, "trader", opens=True),
            WithdrawTurn: CommandRule(self._reject, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        kinds = (GetLease, ListLeases, GetLeaseHolder, GetLeaseMarket, ListTurnBids)
        return dict.fromkeys(kinds, self._read)

    def _reject(self, agent: AgentRecord, command: Command) -> Outcome:
        del agent
        return self.context.reject(command, Reason.UNKNOWN_LEASE, "no market of this venue has leases yet")

    def _read(self, agent: AgentRecord, query: Query) -> Result:
        del agent, query
        message = "no market of this venue has leases yet"
        raise NotFound(message)

    def dump(self) -> object:
        """Return the state as plain data."""
        return []

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        del state
