"""Speak about technical debt: family ``debts``.

Amounts are in the credit's smallest unit, hours in thousandths, times in microseconds of venue time.
A month has 30 days.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    MAX_AMOUNT,
    AgentId,
    Amount,
    Command,
    Event,
    Outcome,
    Query,
    Result,
    TimestampUs,
)

__all__ = [
    "AuctionDebt",
    "BidOnDebt",
    "ChooseInterest",
    "ConfirmRepayment",
    "DebtAuctionClosed",
    "DebtAuctioned",
    "DebtEnded",
    "DebtInterestDue",
    "DebtIssued",
    "DebtMatured",
    "DebtOffered",
    "DebtOutcome",
    "DebtPaydownBegun",
    "DebtPaydownEnded",
    "DebtPaydownOrdered",
    "DebtProposed",
    "DebtResult",
    "DebtSaleEnded",
    "DebtSigned",
    "DebtState",
    "DebtTotalsResult",
    "DebtTransferred",
    "DebtView",
    "DebtsResult",
    "DeclineDebt",
    "EndReason",
    "GetDebt",
    "GetDebtTotals",
    "IssueDebt",
    "ListDebts",
    "OfferDebt",
    "OfferOutcome",
    "PaydownOutcome",
    "RepayDebt",
    "RepaymentAttested",
    "RepaymentClaimed",
    "RepaymentFinal",
    "RepaymentOutcome",
    "RepaymentRefused",
    "SignDebt",
    "TakeDebt",
    "TransferReason",
    "WithdrawDebtBid",
    "WithdrawSale",
]

DebtId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
ClaimId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
HoursMilli = Annotated[int, Meta(ge=1, le=10_000_000_000)]
Weight = Annotated[int, Meta(ge=1, le=1_000_000)]
Skill = Annotated[str, Meta(min_length=1, max_length=64)]
DebtState = Literal["proposed", "open", "overdue", "paydown", "repaid", "paid_down", "written_off", "lapsed"]
EndReason = Literal["repaid", "paid_down", "written_off", "unsigned", "declined", "revoked", "dead_man"]
TransferReason = Literal["offer", "auction", "revoked"]
SaleEnd = Literal["withdrawn", "expired", "no_bids", "dead_man", "revoked", "paydown"]
PaydownOutcome = Literal["paid_down", "repaid", "failed", "written_off"]
ClaimState = Literal["claimed", "attested", "refused", "disputed"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class IssueDebt(Command, tag="debts.issue", kw_only=True):
    """Take on an obligation to clean up a feature, towards those who suffer from how it is.

    It exists when all ``beneficiaries``, by weight, have signed, or the ``attester`` in their place; it lapses at
    ``sign_by_us``. Until ``maturity_us`` interest is simple, then it is twice as much and compounds. ``skills`` are
    what a paydown would ask of who does the work; ``confirm_seconds`` is how long a repayment waits to be confirmed.
    """

    feature: Annotated[str, Meta(min_length=1, max_length=200)]
    principal_hours_milli: HoursMilli
    interest_hours_milli_per_month: Annotated[int, Meta(ge=0, le=10_000_000_000)]
    maturity_us: TimestampUs
    beneficiaries: Annotated[dict[AgentId, Weight], Meta(min_length=1, max_length=32)]
    sign_by_us: TimestampUs
    detail: Annotated[str, Meta(max_length=8_192)] = ""
    attester: AgentId | None = None
    skills: Annotated[list[Skill], Meta(max_length=16)] = msgspec.field(default_factory=list)
    confirm_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None


class SignDebt(Command, tag="debts.sign", kw_only=True):
    """Agree to a debt, as a beneficiary, or as its attester for all of them."""

    token: DebtId


class DeclineDebt(Command, tag="debts.decline", kw_only=True):
    """Let a debt lapse that does not exist yet: its issuer, attester and any beneficiary may."""

    token: DebtId


class ChooseInterest(Command, tag="debts.choose_interest", kw_only=True):
    """Say, as the holder, whether interest ``is_paid`` in credits when it falls due, from now on.

    Otherwise, and whenever the holder cannot pay all of a month, it is added to the hours owed.
    """

    token: DebtId
    is_paid: bool


class OfferDebt(Command, tag="debts.offer", kw_only=True):
    """Pay whoever takes a debt over, or only the ``taker``: for each hour that is repaid its part of ``pay``.

    It stands until ``until_us``, by default as long as it may: until the debt matures, or for 366 days if that has
    been.
    """

    token: DebtId
    pay: Amount
    taker: AgentId | None = None
    until_us: TimestampUs | None = None


class AuctionDebt(Command, tag="debts.auction", kw_only=True):
    """Let sealed bids decide who takes a debt over: the lowest wins and is paid the next one, or ``max_pay``."""

    token: DebtId
    max_pay: Amount
    closes_at_us: TimestampUs


class WithdrawSale(Command, tag="debts.withdraw_sale", kw_only=True):
    """Take back an offer, or an auction before its close."""

    token: DebtId


class TakeDebt(Command, tag="debts.take", kw_only=True):
    """Take a debt over on an ``offer``, known by its number, so that its terms cannot change meanwhile."""

    token: DebtId
    offer: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class BidOnDebt(Command, tag="debts.bid", kw_only=True):
    """Bid, sealed, to take a debt over for ``pay``: the owner's latest bid counts."""

    token: DebtId
    pay: Amount


class WithdrawDebtBid(Command, tag="debts.withdraw_bid", kw_only=True):
    """Withdraw the owner's bid before the close."""

    token: DebtId


class RepayDebt(Command, tag="debts.repay", kw_only=True):
    """Say, as the holder, that so much of the work is done; ``reference`` says where. It counts once confirmed."""

    token: DebtId
    hours_milli: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    reference: Annotated[str, Meta(max_length=1_024)] = ""


class ConfirmRepayment(Command, tag="debts.confirm", kw_only=True):
    """Confirm a repayment, as a beneficiary or as the debt's attester."""

    claim: ClaimId


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class DebtOutcome(Outcome, tag="outcome"):
    """Answer ``IssueDebt``: the number of the token."""

    token: int = 0


class OfferOutcome(Outcome, tag="outcome"):
    """Answer ``OfferDebt``: the number of the offer."""

    offer: int = 0


class RepaymentOutcome(Outcome, tag="outcome"):
    """Answer ``RepayDebt``: the number of the claim, by which it is confirmed and disputed."""

    claim: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class DebtProposed(Event, tag="debts.proposed", kw_only=True):
    """Tell issuer, beneficiaries and attester of a debt that waits for signatures."""

    token: int
    feature: str
    issuer: str
    principal_hours_milli: int
    interest_hours_milli_per_month: int
    maturity_us: int
    sign_by_us: int


class DebtSigned(Event, tag="debts.signed", kw_only=True):
    """Tell who has signed."""

    token: int
    agent: str


class DebtIssued(Event, tag="debts.issued", kw_only=True):
    """Tell that a debt exists from now on, and when its interest falls due first."""

    token: int
    holder: str
    hours_milli: int
    interest_due_us: int


class DebtInterestDue(Event, tag="debts.interest_due", kw_only=True):
    """Tell of a month's interest: it was paid in credits, or it was added to the hours owed."""

    token: int
    hours_milli: int
    paid: int = 0
    owed_hours_milli: int = 0


class DebtMatured(Event, tag="debts.matured", kw_only=True):
    """Tell that what is owed is overdue from now on."""

    token: int
    owed_hours_milli: int


class DebtOffered(Event, tag="debts.offered", kw_only=True):
    """Tell the holder, and who is named, of an offer to take a debt over, and until when it stands."""

    token: int
    offer: int
    pay: int
    owed_hours_milli: int
    until_us: int


class DebtAuctioned(Event, tag="debts.auctioned", kw_only=True):
    """Tell all who have to do with a debt that bids for it are taken."""

    token: int
    max_pay: int
    closes_at_us: int
    owed_hours_milli: int


class DebtSaleEnded(Event, tag="debts.sale_ended", kw_only=True):
    """Tell the holder and bidders that nobody takes the debt over, and why; what was offered is back."""

    token: int
    reason: SaleEnd


class DebtAuctionClosed(Event, tag="debts.auction_closed", kw_only=True):
    """Tell holder and bidders who takes a debt over, for how much, among how many bids."""

    token: int
    winner: str
    pay: int
    bids: int


class DebtTransferred(Event, tag="debts.transferred", kw_only=True):
    """Tell all who have to do with a debt that another holds it; ``pay`` is in its escrow now."""

    token: int
    holder: str
    by: str
    reason: TransferReason
    pay: int = 0


class RepaymentClaimed(Event, tag="debts.repayment_claimed", kw_only=True):
    """Tell that hours are said to be repaid; without a confirmation by ``confirm_by_us`` they are not."""

    token: int
    claim: int
    by: str
    hours_milli: int
    confirm_by_us: int
    reference: str = ""


class RepaymentAttested(Event, tag="debts.repayment_attested", kw_only=True):
    """Tell that the attester has confirmed a repayment; a beneficiary may dispute it until ``final_at_us``."""

    token: int
    claim: int
    final_at_us: int


class RepaymentRefused(Event, tag="debts.repayment_refused", kw_only=True):
    """Tell that nobody confirmed a repayment; who claims it may dispute that until ``final_at_us``."""

    token: int
    claim: int
    final_at_us: int


class RepaymentFinal(Event, tag="debts.repayment_final", kw_only=True):
    """Tell what became of a claim: the hours repaid (0: none), what they got out of the escrow, what is still owed."""

    token: int
    claim: int
    hours_milli: int
    paid: int
    owed_hours_milli: int


class DebtPaydownBegun(Event, tag="debts.paydown_begun", kw_only=True):
    """Tell that a debt is paid down by force: what that costs, what was collected, and until when more is."""

    token: int
    hours_milli: int
    amount: int
    collected: int
    collect_until_us: int


class DebtPaydownOrdered(Event, tag="debts.paydown_ordered", kw_only=True):
    """Tell that the work of a paydown is auctioned as a task."""

    token: int
    task: int
    hours_milli: int
    reserve: int


class DebtPaydownEnded(Event, tag="debts.paydown_ended", kw_only=True):
    """Tell how a paydown ended."""

    token: int
    outcome: PaydownOutcome


class DebtEnded(Event, tag="debts.ended", kw_only=True):
    """Tell that a debt is no more, and why."""

    token: int
    outcome: EndReason


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetDebt(Query, tag="debts.get"):
    """Ask for one debt. Of ended ones the last 1,000 are known."""

    token: DebtId


class ListDebts(Query, tag="debts.list"):
    """Ask for debts that have not ended, by number, paged: those the agent has to do with, or those ``for_sale``."""

    for_sale: bool = False
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class GetDebtTotals(Query, tag="debts.totals"):
    """Ask what all debts come to, and how far that is from a crisis."""


class SaleView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe how a debt can be taken over. Of an auction nothing tells of bids before its close, but one's own."""

    kind: Literal["offer", "auction"]
    pay: int
    """What is offered, or the most that the auction pays."""
    offer: int | None = None
    taker: str | None = None
    until_us: int | None = None
    """Until when an offer stands."""
    closes_at_us: int | None = None
    own_bid: int | None = None


class ClaimView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a repayment that is not final; ``until_us`` is when silence ends its state."""

    claim: int
    by: str
    hours_milli: int
    state: ClaimState
    reference: str = ""
    confirmed_by: list[str] = msgspec.field(default_factory=list)
    until_us: int | None = None
    dispute: int | None = None


class PaydownView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a paydown."""

    hours_milli: int
    amount: int
    """What the hours come to in credits."""
    collect_until_us: int | None = None
    task: int | None = None
    advances: dict[str, int] = msgspec.field(default_factory=dict)
    """What beneficiaries have paid in the debtors' place."""


class DebtView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a debt; everybody may know it."""

    token: int
    feature: str
    issuer: str
    holder: str
    state: DebtState
    principal_hours_milli: int
    interest_hours_milli_per_month: int
    maturity_us: int
    hour_rate: int
    """What an hour comes to in credits."""
    beneficiaries: dict[str, int]
    detail: str = ""
    attester: str | None = None
    skills: list[str] = msgspec.field(default_factory=list)
    signed: list[str] = msgspec.field(default_factory=list)
    sign_by_us: int | None = None
    issued_us: int | None = None
    owed_hours_milli: int = 0
    accrued_hours_milli: int = 0
    """How much of what is owed is interest."""
    interest_due_us: int | None = None
    is_interest_paid: bool = False
    in_escrow: int = 0
    """What is paid for repaying it."""
    sale: SaleView | None = None
    claim: ClaimView | None = None
    paydown: PaydownView | None = None
    outcome: EndReason | None = None


class DebtResult(Result, tag="debt", kw_only=True):
    """Answer ``GetDebt``."""

    debt: DebtView


class DebtsResult(Result, tag="debts", kw_only=True):
    """Answer ``ListDebts``; ``next`` is the ``after`` of the next page, if there is one."""

    debts: list[DebtView]
    next: int | None = None


class DebtTotalsResult(Result, tag="debt_totals", kw_only=True):
    """Answer ``GetDebtTotals``: there is a crisis when both limits are reached; what is paid down is not overdue."""

    debts: int
    outstanding_hours_milli: int
    overdue_hours_milli: int
    crisis_overdue_hours_milli: int
    crisis_overdue_bp: int
    is_crisis: bool
    checked_at_us: int | None = None
    """When it is looked at next, if anything is overdue."""
