"""Hold what users see of public goods. Amounts are whole credits, work is in minutes, times are of the venue."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent_sdk.reading import Credits
from exchange.messages.assurance import GoodState, GoodUnit

__all__ = ["Good", "GoodPledge", "ProposedGood"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedGood:
    """Tell the number of a new good, and what is in escrow for the bonus."""

    id: int
    escrow: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """Describe a good; ``threshold``, ``cap`` and ``raised`` count owners, credits or minutes, as ``unit`` says.

    ``refund_bonus`` is in percent. ``confirmed`` of ``voting`` credits have accepted what was delivered. ``paid`` is
    what the provider has got, ``bonus`` what was added to the refunds.
    """

    id: int
    title: str
    detail: str
    proposer: str
    provider: str | None
    attester: str | None
    state: GoodState
    unit: GoodUnit
    threshold: Decimal
    cap: Decimal
    raised: Decimal
    deadline_us: int
    deliver_by_us: int
    credits: Credits
    minutes: int
    owners: int
    pledges: int
    min_credits: Credits
    min_minutes: int
    refund_bonus: Decimal
    hour_bond: Credits
    subsidy: Credits
    settlement: int | None
    delivered_minutes: int
    confirmed: Credits
    voting: Credits
    paid: Credits
    bonus: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPledge:
    """Describe a pledge; ``share`` and ``share_minutes`` are what is given of it, once that is known.

    ``refunded`` is what of credits and bond has come back by now, ``bonus`` what was paid on top, ``earned`` what it
    got of forfeited bonds.
    """

    pledge: int
    agent: str
    owner: str
    credits: Credits
    minutes: int
    bond: Credits
    counts: bool
    share: Credits | None
    share_minutes: int | None
    settlement: int | None
    delivered: bool | None
    refunded: Credits
    bonus: Credits
    earned: Credits
