"""Speak about what is held, in escrow and owed, and why: family ``payments``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from exchange.messages.base import AgentId, Command, Event, Outcome, PositiveAmount, Query, Result

__all__ = [
    "GetHolds",
    "GetLiens",
    "HoldView",
    "HoldsResult",
    "LienChanged",
    "LienView",
    "LiensResult",
    "PayLiens",
    "PayLiensOutcome",
    "PaymentPosted",
]


class PayLiens(Command, tag="payments.pay_liens", kw_only=True):
    """Pay up to ``amount`` of what the agent owes, the oldest lien first."""

    amount: PositiveAmount


class PayLiensOutcome(Outcome, tag="outcome"):
    """Answer ``PayLiens``: what was ``paid``, and what is still ``owed``."""

    paid: int = 0
    owed: int = 0


class PaymentPosted(Event, tag="payments.posted", kw_only=True):
    """Tell by how much a mechanism other than ``orders`` changed a balance, and for which ``cause``.

    ``cause`` is a family and a number, such as ``tasks:17``; amounts are in the asset's smallest unit.
    """

    cause: str
    asset: str
    available: int = 0
    held: int = 0


class LienChanged(Event, tag="payments.lien_changed", kw_only=True):
    """Tell debtor and creditor that a lien arose or was paid by ``change``; ``amount`` is what is left of it."""

    lien: int
    debtor: str
    creditor: str
    change: int
    amount: int
    cause: str


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetHolds(Query, tag="payments.holds"):
    """Ask why each amount of the agent, or of another of the same owner, is on hold (but for orders)."""

    agent: AgentId | None = None


class GetLiens(Query, tag="payments.liens"):
    """Ask for the liens that bind the agent or are due to it, by number, a page at a time (operators: all)."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


class HoldView(msgspec.Struct):
    """Describe one hold in the asset's smallest unit."""

    cause: str
    asset: str
    amount: int


class HoldsResult(Result, tag="holds", kw_only=True):
    """Answer ``GetHolds``."""

    agent: str
    holds: list[HoldView]


class LienView(msgspec.Struct, kw_only=True):
    """Describe a lien, in the credit's smallest unit."""

    lien: int
    debtor: str
    creditor: str
    amount: int
    cause: str
    since_us: int


class LiensResult(Result, tag="liens", kw_only=True):
    """Answer ``GetLiens``; ``next`` is the ``after`` of the next page, if there is one."""

    liens: list[LienView]
    next: int | None = None
