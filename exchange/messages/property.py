"""Speak about modules and who owns them: family ``property``.

A module is anything that one agent at a time should answer for: a package, a service, a document. Amounts are in the
credit's smallest unit, times in microseconds of venue time. The ``fencing_token`` of a module rises whenever somebody
loses write access to it, so that whoever guards it can tell the present writer from one whose time is over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Amount, Command, Event, Outcome, PositiveAmount
from exchange.messages.base import TimestampUs as Timestamp

__all__ = [
    "AbandonClaim",
    "AcceptCheck",
    "AllocateModule",
    "AttestCheck",
    "AttestWork",
    "AttestationEnded",
    "AttestationKind",
    "AttestationOutcome",
    "AuctionModule",
    "BidOnModule",
    "BuyModule",
    "CancelModuleAuction",
    "ClaimEnded",
    "ClaimModule",
    "ClaimOutcome",
    "CollectModuleRent",
    "DepositOutcome",
    "EndRental",
    "GrantAccess",
    "ModuleAttested",
    "ModuleAuctionClosed",
    "ModuleAuctionOpened",
    "ModuleDepositLow",
    "ModuleForeclosed",
    "ModuleOutcome",
    "ModuleRentPaid",
    "ModuleTaxCollected",
    "ModuleValueStated",
    "OfferModule",
    "OfferOutcome",
    "OfferRental",
    "OwnershipMoved",
    "RegisterModule",
    "ReleaseModule",
    "RentModule",
    "RentalBegun",
    "RentalEnded",
    "RentalOffered",
    "RentalOutcome",
    "RevokeGrant",
    "SaleOffered",
    "SetDependencies",
    "SetRegime",
    "StateValue",
    "TopUpDeposit",
    "WithdrawDeposit",
    "WithdrawModuleBid",
    "WithdrawModuleOffer",
    "WithdrawRentalOffer",
    "WriteAccessMoved",
]

NewModuleId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_./-]{1,64}$")]
# Where a module is only named, an unknown name is a rejection, so its length is enough.
ModuleId = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Reference = Annotated[str, Meta(max_length=1_024)]
TermSeconds = Annotated[int, Meta(ge=1, le=31_536_000)]

Regime = Literal["private", "harberger"]
Title = Literal["allocated", "bought", "won", "homesteaded"]
HowMoved = Literal["allocated", "bought", "won", "homesteaded", "released", "lapsed", "foreclosed"]
WhyForeclosed = Literal["deposit_exhausted", "no_value_stated", "revoked"]
AttestationKind = Literal["work", "use", "check"]
AttestationEnd = Literal["final", "overturned", "dropped"]
ClaimEnd = Literal["homesteaded", "lapsed", "abandoned", "overturned", "taken", "revoked"]
RentalEnd = Literal["ended", "released", "bought", "foreclosed", "lapsed", "given_up", "revoked"]


# ── modules, owners, access ─────────────────────────────────────────────────────────────────────


class RegisterModule(Command, tag="property.register", kw_only=True):
    """Register a module with what it depends on.

    It belongs to nobody and can be homesteaded, unless an operator allocates it to an ``owner`` at once. Only an
    operator puts it under the ``harberger`` regime.
    """

    module: NewModuleId
    dependencies: Annotated[list[ModuleId], Meta(max_length=256)] = msgspec.field(default_factory=list)
    owner: AgentId | None = None
    regime: Regime = "private"


class SetDependencies(Command, tag="property.set_dependencies", kw_only=True):
    """Replace what a module depends on; what stays keeps since when it is registered.

    Its owner may, of a module without one whoever registered it, and operators.
    """

    module: ModuleId
    dependencies: Annotated[list[ModuleId], Meta(max_length=256)]


class AllocateModule(Command, tag="property.allocate", kw_only=True):
    """Give a module that belongs to nobody to an agent (operators)."""

    module: ModuleId
    agent: AgentId


class SetRegime(Command, tag="property.set_regime", kw_only=True):
    """Choose the regime of a module that belongs to nobody (operators)."""

    module: ModuleId
    regime: Regime


class ReleaseModule(Command, tag="property.release", kw_only=True):
    """Give a module up: it belongs to nobody and can be homesteaded; what is left of a deposit goes back (the owner).

    Not while others rent it.
    """

    module: ModuleId


class GrantAccess(Command, tag="property.grant", kw_only=True):
    """Let another agent write, too, until it is revoked or the module has another owner (the owner)."""

    module: ModuleId
    agent: AgentId


class RevokeGrant(Command, tag="property.revoke_grant", kw_only=True):
    """Take a grant back (the owner)."""

    module: ModuleId
    agent: AgentId


class ModuleOutcome(Outcome, tag="outcome"):
    """Answer what changed a module: the number of its present fencing token."""

    module: str = ""
    fencing_token: int = 0


class OwnershipMoved(Event, tag="property.ownership_moved", kw_only=True):
    """Tell the owners before and after that a module changed hands; without ``owner`` it belongs to nobody.

    ``price`` is what was paid for it. Under the harberger regime the owner must state a value before ``value_due_us``.
    """

    module: str
    how: HowMoved
    owner: str | None = None
    previous: str | None = None
    price: int = 0
    value_due_us: int | None = None


class WriteAccessMoved(Event, tag="property.write_access_moved", kw_only=True):
    """Tell whoever may write to a module, or could until now, whether it may from now on, and with which token."""

    module: str
    may_write: bool
    fencing_token: int


# ── selling ─────────────────────────────────────────────────────────────────────────────────────


class OfferModule(Command, tag="property.offer", kw_only=True):
    """Offer a module for sale, to one agent or to anybody, in the place of an earlier offer (the owner)."""

    module: ModuleId
    price: Amount
    buyer: AgentId | None = None
    until_us: Timestamp | None = None


class WithdrawModuleOffer(Command, tag="property.withdraw_offer", kw_only=True):
    """Take the offer of a module back (the owner)."""

    module: ModuleId


class BuyModule(Command, tag="property.buy", kw_only=True):
    """Buy a module if it costs at most ``max_price``: at what it is offered for, or at the value that is stated.

    Under the harberger regime anybody may at any time, and states a ``new_value`` with a ``deposit`` of its own.
    """

    module: ModuleId
    max_price: Amount
    new_value: Amount | None = None
    deposit: Amount = 0


class OfferOutcome(Outcome, tag="outcome"):
    """Answer an offer: its number."""

    offer: int = 0


class SaleOffered(Event, tag="property.sale_offered", kw_only=True):
    """Tell the owner that a module is offered, and the agent to which, if it is not to anybody."""

    module: str
    offer: int
    seller: str
    price: int
    buyer: str | None = None
    until_us: int | None = None


# ── auctions ────────────────────────────────────────────────────────────────────────────────────


class AuctionModule(Command, tag="property.auction", kw_only=True):
    """Auction a module: the highest sealed bid gets it at the second, or at the ``reserve`` (the owner).

    Only under the ``private`` regime; without a bid nothing changes.
    """

    module: ModuleId
    reserve: Amount
    closes_at_us: Timestamp


class CancelModuleAuction(Command, tag="property.cancel_auction", kw_only=True):
    """Take an auction back before it closes (the owner)."""

    module: ModuleId


class BidOnModule(Command, tag="property.bid", kw_only=True):
    """Bid, sealed, in the auction of a module, in the place of the owner's earlier bid; the price is held."""

    module: ModuleId
    price: Amount


class WithdrawModuleBid(Command, tag="property.withdraw_bid", kw_only=True):
    """Take a bid back before the close."""

    module: ModuleId


class ModuleAuctionOpened(Event, tag="property.auction_opened", kw_only=True):
    """Tell the owner, and who lost a module by foreclosure, that it is auctioned."""

    module: str
    auction: int
    reserve: int
    closes_at_us: int
    is_foreclosure: bool


class ModuleAuctionClosed(Event, tag="property.auction_closed", kw_only=True):
    """Tell seller and bidders how an auction ended; of one that nobody won, nothing else is known."""

    module: str
    auction: int
    awarded: bool
    winner: str | None = None
    price: int = 0
    bids: int = 0


# ── homesteads, and what is attested ────────────────────────────────────────────────────────────


class ClaimModule(Command, tag="property.claim", kw_only=True):
    """Open a claim to a module that belongs to nobody: whoever has one may write, and be the first to have worked."""

    module: ModuleId


class AbandonClaim(Command, tag="property.abandon_claim", kw_only=True):
    """Give a claim up."""

    module: ModuleId


class AttestWork(Command, tag="property.attest_work", kw_only=True):
    """Attest, as an attester of another owner, that an agent has worked on a module.

    The first attested work of a claimant makes it the owner once that is final. Of a homesteaded module it is the use
    that keeps it from lapsing.
    """

    module: ModuleId
    agent: AgentId
    reference: Reference = ""


class AttestCheck(Command, tag="property.attest_check", kw_only=True):
    """Attest, as an attester of another owner, how good a module is, from 0 to 100: it rates the owner once final."""

    module: ModuleId
    score: Annotated[int, Meta(ge=0, le=100)]
    reference: Reference = ""


class AcceptCheck(Command, tag="property.accept_check", kw_only=True):
    """Make a check final that goes against the owner, as the owner."""

    attestation: Number


class ClaimOutcome(Outcome, tag="outcome"):
    """Answer a claim: its number, and until when it lives without attested work."""

    claim: int = 0
    lapses_at_us: int = 0
    fencing_token: int = 0


class AttestationOutcome(Outcome, tag="outcome"):
    """Answer an attestation: the number to dispute it by until ``final_at_us``; that of use is final at once."""

    attestation: int = 0
    final_at_us: int = 0


class ModuleAttested(Event, tag="property.attested", kw_only=True):
    """Tell of an attestation: the attester, the agent it is about, and of work the others with a claim."""

    module: str
    attestation: int
    kind: AttestationKind
    agent: str
    attester: str
    final_at_us: int
    score: int | None = None
    reference: str = ""


class AttestationEnded(Event, tag="property.attestation_ended", kw_only=True):
    """Tell attester and agent what became of an attestation."""

    module: str
    attestation: int
    kind: AttestationKind
    outcome: AttestationEnd


class ClaimEnded(Event, tag="property.claim_ended", kw_only=True):
    """Tell a claimant how its claim ended."""

    module: str
    claim: int
    how: ClaimEnd


# ── rentals ─────────────────────────────────────────────────────────────────────────────────────


class OfferRental(Command, tag="property.offer_rental", kw_only=True):
    """Offer write access for a term, ``exclusive`` or beside the owner's, to one agent or to anybody (the owner)."""

    module: ModuleId
    price: PositiveAmount
    term_seconds: TermSeconds
    exclusive: bool = False
    renter: AgentId | None = None


class WithdrawRentalOffer(Command, tag="property.withdraw_rental_offer", kw_only=True):
    """Take an offer of a rental back; rentals that run go on (the owner)."""

    offer: Number


class RentModule(Command, tag="property.rent", kw_only=True):
    """Take an offer of a rental: the rent for the whole term goes into escrow."""

    offer: Number


class EndRental(Command, tag="property.end_rental", kw_only=True):
    """End a rental early; the unused rent goes back (the renter)."""

    rental: Number


class CollectModuleRent(Command, tag="property.collect_rent", kw_only=True):
    """Pay out the rent that has accrued so far (the owner)."""

    rental: Number


class RentalOutcome(Outcome, tag="outcome"):
    """Answer what began or changed a rental: what the owner was ``paid`` now, and what went back to the renter."""

    rental: int = 0
    ends_us: int = 0
    fencing_token: int = 0
    paid: int = 0
    refunded: int = 0


class RentalOffered(Event, tag="property.rental_offered", kw_only=True):
    """Tell the owner that a rental is offered, and the agent to which, if it is not to anybody."""

    module: str
    offer: int
    owner: str
    price: int
    term_seconds: int
    exclusive: bool
    renter: str | None = None


class RentalBegun(Event, tag="property.rental_begun", kw_only=True):
    """Tell owner and renter that a rental runs."""

    module: str
    rental: int
    owner: str
    renter: str
    rent: int
    ends_us: int
    exclusive: bool


class ModuleRentPaid(Event, tag="property.rent_paid", kw_only=True):
    """Tell owner and renter that accrued rent was paid; ``paid`` is all that was paid so far."""

    module: str
    rental: int
    amount: int
    paid: int


class RentalEnded(Event, tag="property.rental_ended", kw_only=True):
    """Tell owner and renter that a rental is over: all the rent that was paid, and what went back."""

    module: str
    rental: int
    how: RentalEnd
    paid: int
    refunded: int = 0


# ── the harberger regime ────────────────────────────────────────────────────────────────────────


class StateValue(Command, tag="property.state_value", kw_only=True):
    """State what a module is worth: it is taxed on that, and anybody may buy it for that (agents of the owner).

    ``deposit`` is added to what is left of the present one; together they cover the tax of the venue's
    ``harberger_deposit_seconds``.
    """

    module: ModuleId
    value: Amount
    deposit: Amount = 0


class TopUpDeposit(Command, tag="property.top_up", kw_only=True):
    """Add to the deposit from which the tax is taken (agents of the owner)."""

    module: ModuleId
    amount: PositiveAmount


class WithdrawDeposit(Command, tag="property.withdraw_deposit", kw_only=True):
    """Take back what the deposit has above the least one for its value (the owner)."""

    module: ModuleId
    amount: PositiveAmount


class DepositOutcome(Outcome, tag="outcome"):
    """Answer what changed value or deposit: what is left of it now, and when that is exhausted at the present rate."""

    module: str = ""
    value: int = 0
    deposit: int = 0
    exhausted_at_us: int | None = None
    fencing_token: int = 0


class ModuleValueStated(Event, tag="property.value_stated", kw_only=True):
    """Tell the owner the value of a module and what is left of its deposit."""

    module: str
    value: int
    deposit: int
    exhausted_at_us: int | None = None


class ModuleTaxCollected(Event, tag="property.tax_collected", kw_only=True):
    """Tell the owner that tax went to ``public_fund``, and what is left of the deposit."""

    module: str
    amount: int
    deposit: int
    exhausted_at_us: int | None = None


class ModuleDepositLow(Event, tag="property.deposit_low", kw_only=True):
    """Warn the owner, once, that what is left of a deposit is exhausted at ``exhausted_at_us`` at the present rate.

    It comes the venue's ``harberger_warning_seconds`` before, at once if less is left; once more after value or deposit
    have changed.
    """

    module: str
    value: int
    deposit: int
    exhausted_at_us: int


class ModuleForeclosed(Event, tag="property.foreclosed", kw_only=True):
    """Tell an owner that it has lost a module, as of ``at_us``, and what went back of its deposit."""

    module: str
    why: WhyForeclosed
    at_us: int
    refunded: int = 0
