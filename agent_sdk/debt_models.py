"""Hold what users see of technical debt. Hours are whole hours, amounts whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent_sdk.reading import Credits, Hours
from exchange.messages.debts import ClaimState, DebtState, EndReason

__all__ = ["Debt", "DebtClaim", "DebtPaydown", "DebtSale", "DebtTotals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtSale:
    """Describe how a debt can be taken over: ``pay`` is what is offered, or the most that an auction pays.

    An offer stands until ``until_us``, an auction closes at ``closes_at_us``.
    """

    kind: Literal["offer", "auction"]
    pay: Credits
    offer: int | None
    taker: str | None
    until_us: int | None
    closes_at_us: int | None
    own_bid: Credits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtClaim:
    """Describe a repayment that is not final; ``until_us`` is when silence ends its state."""

    claim: int
    by: str
    hours: Hours
    state: ClaimState
    reference: str
    confirmed_by: tuple[str, ...]
    until_us: int | None
    dispute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtPaydown:
    """Describe a paydown: what the hours come to, until when it is collected, then the task that has the work done."""

    hours: Hours
    amount: Credits
    collect_until_us: int | None
    task: int | None
    advances: dict[str, Credits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """Describe a debt; ``in_escrow`` is what is paid for repaying it."""

    id: int
    feature: str
    detail: str
    issuer: str
    holder: str
    state: DebtState
    principal_hours: Hours
    interest_hours_per_month: Hours
    owed_hours: Hours
    accrued_hours: Hours
    maturity_us: int
    hour_rate: Credits
    beneficiaries: dict[str, int]
    attester: str | None
    skills: tuple[str, ...]
    signed: tuple[str, ...]
    sign_by_us: int | None
    issued_us: int | None
    interest_due_us: int | None
    is_interest_paid: bool
    in_escrow: Credits
    sale: DebtSale | None
    claim: DebtClaim | None
    paydown: DebtPaydown | None
    outcome: EndReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtTotals:
    """Say what all debts come to; there is a crisis when both limits are reached."""

    debts: int
    outstanding_hours: Hours
    overdue_hours: Hours
    crisis_overdue_hours: Hours
    crisis_overdue_bp: int
    is_crisis: bool
    checked_at_us: int | None
