"""Define what can go wrong, as one tree.

```
ExchangeError
├── ConnectionFailed          no server, no venue, or the connection was closed
│   └── NotSent               certain: the command never left this process
├── CredentialsError          the creds file is missing, unreadable or not accepted
├── PermissionDenied          the server does not let this agent use a subject
├── RequestTimeout            a query was not answered in time
├── UnreadableReply           the venue speaks a newer protocol than this SDK
├── OutcomeUnknown            a command may or may not have been executed
├── Refused                   turned away before the journal: nothing was done
│   ├── NotFound              … there is no such thing
│   ├── RateLimited           … too many commands or queries
│   └── VenueUnavailable      … no leader, no journal, or its queue is full
└── Rejected                  a rule said no: nothing was done
    └── one class per reason: InsufficientCredits, UnknownOrder, MarketHalted, …
```

Wrong arguments are `TypeError` and `ValueError`, raised before anything is sent.
"""

# The names say what happened; users read them in `except` lines.

from __future__ import annotations

from typing import Final

from exchange.messages.reasons import Reason, RefusalReason

__all__ = [
    "REJECTIONS",
    "AgentExists",
    "AgentHalted",
    "AgentRevoked",
    "AgentSuspended",
    "AssetExists",
    "ConnectionFailed",
    "CredentialsError",
    "DuplicateClientOrderId",
    "DuplicateId",
    "EndowmentCap",
    "ExchangeError",
    "Expired",
    "InsufficientAsset",
    "InsufficientCredits",
    "InvalidPrice",
    "InvalidQuantity",
    "MarketCancelOnly",
    "MarketExists",
    "MarketHalted",
    "MarketInAuction",
    "NoChange",
    "NotFound",
    "NotPermitted",
    "NotSent",
    "OutcomeForgotten",
    "OutcomeUnknown",
    "PermissionDenied",
    "PostOnlyWouldTrade",
    "RateLimited",
    "Refused",
    "Rejected",
    "RequestTimeout",
    "SpendLimit",
    "TooManyOpenOrders",
    "Unfillable",
    "UnknownAgent",
    "UnknownAsset",
    "UnknownMarket",
    "UnknownOrder",
    "UnreadableReply",
    "VenueCancelOnly",
    "VenueHalted",
    "VenueUnavailable",
    "refused",
    "rejected",
]


class ExchangeError(Exception):
    """Cover everything that this SDK raises about the venue and the way to it."""


class ConnectionFailed(ExchangeError):
    """Raised when no server or no venue answers, or when the connection was closed meanwhile."""


class NotSent(ConnectionFailed):
    """Raised when a command could not be sent before its time-out: it was certainly not executed."""


class CredentialsError(ExchangeError):
    """Raised when the creds file is missing or unreadable, or when the server does not accept it."""


class PermissionDenied(ExchangeError):
    """Raised when the server does not let this agent publish on, or subscribe to, ``subject``."""

    def __init__(self, subject: str, detail: str = "") -> None:
        super().__init__(detail or f"the server does not permit this agent to use the subject {subject}")
        self.subject = subject


class RequestTimeout(ExchangeError):
    """Raised when a query was not answered in time; it changed nothing and can be asked again."""


class UnreadableReply(ExchangeError):
    """Raised when a reply to a query cannot be read: update the SDK to the venue's version."""


class OutcomeUnknown(ExchangeError):
    """Raised when the time of a command passed without an answer: it may or may not have been executed.

    Settle it with ``await agent.outcome(error.id)``.
    """

    def __init__(self, id: str, valid_until_us: int) -> None:
        super().__init__(f"no answer to command {id}; settle it with `await agent.outcome({id!r})`")
        self.id = id
        self.valid_until_us = valid_until_us

    def __reduce__(self) -> tuple[type[OutcomeUnknown], tuple[str, int]]:
        """Pickle by what it was made from."""
        return type(self), (self.id, self.valid_until_us)


class Refused(ExchangeError):
    """Raised when the venue turned a message away before its journal: nothing was done.

    ``reason`` is a ``RefusalReason`` (or a newer word), ``detail`` is for people.
    """

    def __init__(self, reason: str, detail: str = "", id: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.id = id

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str, str | None]]:
        """Pickle by what it was made from."""
        return type(self), (self.reason, self.detail, self.id)


class NotFound(Refused):
    """Raised when a query asked for something that does not exist (any more)."""


class RateLimited(Refused):
    """Raised when the agent sent more than its rate allows, and went on until the time-out."""


class VenueUnavailable(Refused):
    """Raised when the venue could take no commands until the time-out: no leader, no journal, full queue."""


class Rejected(ExchangeError):
    """Raised when a rule of the venue said no: nothing was done, and asking the same again would not help.

    ``reason`` is a ``Reason`` (or a newer word), ``detail`` is for people, ``id`` names the command.
    """

    def __init__(self, reason: str, detail: str = "", id: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.id = id

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str, str]]:
        """Pickle by what it was made from."""
        return type(self), (self.reason, self.detail, self.id)


class DuplicateId(Rejected):
    """Raised when a command id was used before for another command."""


class OutcomeForgotten(Rejected):
    """Raised when the outcome of a command is no longer held, if there was one; see the events."""


class Expired(Rejected):
    """Raised when a command arrived after its time-out and was certainly not executed."""


class UnknownAgent(Rejected):
    """Raised when the named agent, or the sender, is not registered."""


class NotPermitted(Rejected):
    """Raised when the sender's role does not allow the command."""


class AgentSuspended(Rejected):
    """Raised when the agent is suspended and may take on no new obligations."""


class AgentHalted(Rejected):
    """Raised when somebody pulled the kill switch on the agent."""


class AgentRevoked(Rejected):
    """Raised when the agent was revoked for good."""


class VenueHalted(Rejected):
    """Raised when the whole venue is halted."""


class VenueCancelOnly(Rejected):
    """Raised when the whole venue takes only cancels."""


class AgentExists(Rejected):
    """Raised when an agent with this id is registered already."""


class AssetExists(Rejected):
    """Raised when an asset with this name is registered already."""


class UnknownAsset(Rejected):
    """Raised when there is no asset with this name."""


class EndowmentCap(Rejected):
    """Raised when an owner's agents have been endowed with all that one owner may get."""


class NoChange(Rejected):
    """Raised when the command would change nothing."""


class MarketExists(Rejected):
    """Raised when a market with this name exists already."""


class UnknownMarket(Rejected):
    """Raised when there is no market with this name."""


class MarketHalted(Rejected):
    """Raised when the market is halted."""


class MarketCancelOnly(Rejected):
    """Raised when the market takes only cancels."""


class MarketInAuction(Rejected):
    """Raised when the market is in a call auction, which does not take this kind of order."""


class UnknownOrder(Rejected):
    """Raised when the agent has no live order with this id (any more)."""


class DuplicateClientOrderId(Rejected):
    """Raised when a live order of the agent has this ``client_order_id`` already."""


class InvalidPrice(Rejected):
    """Raised when a price is off the tick or outside what the market allows."""


class InvalidQuantity(Rejected):
    """Raised when a quantity is off the lot or outside what the market allows."""


class TooManyOpenOrders(Rejected):
    """Raised when the agent has as many live orders as it may have."""


class PostOnlyWouldTrade(Rejected):
    """Raised when a ``post_only`` order would have traded at once."""


class Unfillable(Rejected):
    """Raised when a ``fok`` order cannot be filled whole at once."""


class SpendLimit(Rejected):
    """Raised when a spend limit of the agent or its owner would be passed."""


class InsufficientCredits(Rejected):
    """Raised when the available credits do not cover the worst case of the command."""


class InsufficientAsset(Rejected):
    """Raised when the available units of an asset do not cover the command."""


def _class_name(reason: str) -> str:
    return "".join(word.capitalize() for word in reason.split("_"))


def _rejection_classes() -> dict[str, type[Rejected]]:
    """Map every reason to its class; those nobody is likely to handle alone get one made here."""
    own: dict[str, type[Rejected]] = {kind.__name__: kind for kind in Rejected.__subclasses__()}
    classes: dict[str, type[Rejected]] = {}
    for reason in Reason:
        name = _class_name(reason)
        if name not in own:
            own[name] = type(
                name,
                (Rejected,),
                {"__doc__": f"Raised when a command is rejected as ``{reason}``.", "__module__": __name__},
            )
            globals()[name] = own[name]  # so that it can be pickled
        classes[reason] = own[name]
    return classes


REJECTIONS: Final[dict[str, type[Rejected]]] = _rejection_classes()
"""The class of every reason; ``REJECTIONS["insufficient_credits"]`` is ``InsufficientCredits``."""

_REFUSALS: Final[dict[str, type[Refused]]] = {
    RefusalReason.NOT_FOUND: NotFound,
    RefusalReason.RATE_LIMITED: RateLimited,
    RefusalReason.QUEUE_FULL: VenueUnavailable,
    RefusalReason.NOT_LEADING: VenueUnavailable,
    RefusalReason.JOURNAL_UNAVAILABLE: VenueUnavailable,
}


def rejected(reason: str, detail: str = "", id: str = "") -> Rejected:
    """Make the exception for a rejection, of the class its reason has."""
    return REJECTIONS.get(reason, Rejected)(reason, detail, id)


def refused(reason: str, detail: str = "", id: str | None = None) -> Refused:
    """Make the exception for a refusal, of the class its reason has."""
    return _REFUSALS.get(reason, Refused)(reason, detail, id)
