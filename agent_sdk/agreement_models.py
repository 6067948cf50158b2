"""Hold what users see of leases, help, contracts, disputes and payments. Amounts are whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from agent_sdk.reading import Credits

if TYPE_CHECKING:
    from agent_sdk.money import Number

from exchange.messages.contracts import Condition, ContractState
from exchange.messages.disputes import DisputeVerdict

__all__ = [
    "AcquiredLease",
    "AttestedStatement",
    "Contract",
    "ContractPart",
    "Dispute",
    "EngagedHelp",
    "HelpOffer",
    "HelpSession",
    "HelpTopic",
    "Hold",
    "Lease",
    "LeaseChange",
    "LeaseHolder",
    "LeaseUse",
    "LeaseWish",
    "Lien",
    "NewContractPart",
    "OpenedDispute",
    "PlacedOffer",
    "Ratable",
    "Reputation",
    "Ruling",
    "StakeInfo",
    "TurnBid",
]


# ── leases ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LeaseWish:
    """Ask for ``quantity`` whole units in a lease market, at no more than ``max_price`` per unit and term."""

    market: str
    quantity: Number
    max_price: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquiredLease:
    """Tell what one wish cost: the rent for the whole term, and the fee. ``quantity`` is in whole units."""

    market: str
    order_id: int
    quantity: Decimal
    rent: Credits
    fee: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChange:
    """Tell what a change of a lease paid the lessor and gave back to the lessee, and when the lease ends now."""

    lease: int
    paid: Credits
    refunded: Credits
    ends_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Describe a running lease; ``quantity`` is in whole units, ``price`` per whole unit and term."""

    id: int
    market: str
    asset: str
    quantity: Decimal
    lessee: str
    lessor: str
    state: Literal["running", "disputed"]
    price: Credits
    rent: Credits
    accrued: Credits
    paid: Credits
    compensation: Credits
    started_us: int
    ends_us: int
    fencing_token: int
    renewal_price: Credits | None
    dispute: int | None
    units_returned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """Say who may use ``quantity`` whole units of an asset until ``ends_us``, and no longer."""

    lease: int
    fencing_token: int
    market: str
    asset: str
    quantity: Decimal
    holder: str
    owner: str
    ends_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseUse:
    """Say how much of a lease market is leased, in whole units and, of what is offered, in basis points."""

    market: str
    leased: Decimal
    offered: Decimal
    utilisation_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnBid:
    """Describe an own sealed bid for the next turn of a resource."""

    resource: str
    amount: Credits


# ── help ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOffer:
    """Tell the number of an offer of help, and the bond that is held for it."""

    id: int
    bond: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagedHelp:
    """Tell who helps, for how much, and until when."""

    session: int
    helper: str
    price: Credits
    deliver_by_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpOffer:
    """Describe an open offer of help; ``score`` is the helper's reputation for the topic, from 0 to 100."""

    id: int
    topic: str
    helper: str
    price: Credits
    minutes: int
    until_us: int
    score: Decimal
    evidence: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpTopic:
    """Describe a topic of which there are offers."""

    topic: str
    offers: int
    lowest_price: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpSession:
    """Describe a session under way; ``settlement`` is what is to be delivered and confirmed."""

    session: int
    settlement: int
    topic: str
    helper: str
    requester: str
    price: Credits
    bond: Credits
    minutes: int
    deliver_by_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratable:
    """Describe a settlement of which ratings are sealed still; ``score`` is the own rating, once given."""

    settlement: int
    other: str
    domain: str
    until_us: int | None
    score: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """Describe a reputation: a ``score`` from 0 to 100 (50 says nothing), and the credits of ``evidence`` behind it."""

    domain: str
    score: Decimal
    evidence: Credits
    inherited: bool


# ── contracts ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContractPart:
    """Say what one assignee does for its ``share``, within ``deliver_in`` seconds of the proposal.

    ``bond`` defaults to 20 % of the share.
    """

    name: str
    assignee: str
    share: Number
    deliver_in: float
    bond: Number | None = None
    attester: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractPart:
    """Describe a part of a contract; ``delivered`` is None while that is not final."""

    name: str
    assignee: str
    share: Credits
    bond: Credits
    deliver_by_us: int
    signed: bool
    attester: str | None
    settlement: int | None
    delivered: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedStatement:
    """Describe an attestation; ``attestation`` is the number to dispute it by."""

    statement: str
    attestation: int
    holds: bool
    is_final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Describe a contract; ``holds`` is what its condition comes to by the facts so far, if that is certain."""

    id: int
    title: str
    detail: str
    payer: str
    total: Credits
    state: ContractState
    sign_by_us: int
    evaluate_by_us: int
    parts: tuple[ContractPart, ...]
    condition: Condition
    holds: bool | None
    statements: tuple[AttestedStatement, ...]


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDispute:
    """Tell the number of a new dispute, and what was deposited for it."""

    id: int
    deposit: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """Describe what one arbitrator did; ``upheld`` is None where it did not rule."""

    arbitrator: str
    upheld: bool | None
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """Describe a dispute; verdict and rulings are known once it is decided, ``rule_by_us`` to who has to rule."""

    id: int
    family: str
    number: int
    disputer: str
    respondent: str
    amount: Credits
    deposit: Credits
    opened_us: int
    statement: str
    rule_by_us: int | None
    verdict: DisputeVerdict | None
    decided_us: int | None
    rulings: tuple[Ruling, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeInfo:
    """Say what the agent has at stake, how much of it counts already, and the disputes that keep it there."""

    stake: Credits
    counts: Credits
    disputes: tuple[int, ...]


# ── payments ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Describe why an amount, in whole units of ``asset``, is on hold; ``cause`` is such as ``tasks:17``."""

    cause: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Lien:
    """Describe what ``debtor`` owes ``creditor``: it is paid from whatever the debtor is paid."""

    id: int
    debtor: str
    creditor: str
    amount: Credits
    cause: str
    since_us: int
