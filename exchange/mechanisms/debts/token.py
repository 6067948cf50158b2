"""Hold debts, how they are sold, claims of repayment, and paydowns; and their arithmetic, in integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exchange.mechanisms.cashier import escrow_of

if TYPE_CHECKING:
    from exchange.mechanisms.cashier import Cashier
    from exchange.messages.debts import ClaimState, DebtState, EndReason

__all__ = ["DAY_US", "GROWTH_MAX", "MONTH_US", "Claim", "Claimed", "DebtBid", "Paydown", "Sale", "Token", "credits_for"]

DAY_US: Final = 86_400_000_000
MONTH_US: Final = 30 * DAY_US

GROWTH_MAX: Final = 10
"""What is owed never exceeds so many times the principal: interest ends there."""

_LATE: Final = 2
"""After maturity, interest is so many times as much."""


def credits_for(hours_milli: int, hour_rate: int) -> int:
    """Return what hours come to in credits, rounded up to the smallest unit."""
    return -(-hours_milli * hour_rate // 1_000)


class DebtBid(NamedTuple):
    """Hold one sealed bid of an auction; ``number`` says which came first."""

    number: int
    agent: str
    owner: str
    pay: int


class Sale:
    """Be an offer, or an auction where there is a time at which it closes; ``pay`` is the most that it costs."""

    __slots__ = ("bids", "closes_at_us", "deadline_id", "offer", "pay", "seller", "taker")

    def __init__(self, offer: int, seller: str, pay: int, taker: str | None, closes_at_us: int | None) -> None:
        self.offer = offer
        self.seller = seller
        self.pay = pay
        self.taker = taker
        self.closes_at_us = closes_at_us
        self.deadline_id = 0
        self.bids: dict[str, DebtBid] = {}
        """The sealed bids by owner."""

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        bids = [list(bid) for bid in self.bids.values()]
        return [self.offer, self.seller, self.pay, self.taker, self.closes_at_us, self.deadline_id, bids]

    @staticmethod
    def load(fields: Any) -> Sale:
        """Return the sale of which ``dump`` gave the state."""
        sale = Sale(*fields[:5])
        sale.deadline_id = fields[5]
        for bid_fields in fields[6]:
            bid = DebtBid(*bid_fields)
            sale.bids[bid.owner] = bid
        return sale


class Claim:
    """Be hours that are said to be repaid, until that is final."""

    __slots__ = (
        "by", "confirmed", "deadline_id", "dispute", "frozen_state", "hours", "number", "reference", "state", "token",
    )  # fmt: skip

    def __init__(self, number: int, token: int, by: str, hours: int, reference: str) -> None:
        self.number = number
        self.token = token
        self.by = by
        self.hours = hours
        self.reference = reference
        self.state: ClaimState = "claimed"
        self.confirmed: dict[str, None] = {}
        """The beneficiaries that have confirmed it."""
        self.deadline_id = 0
        """That of what silence brings."""
        self.dispute: int | None = None
        self.frozen_state: ClaimState = "claimed"
        """What it was when it was disputed."""

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.token, self.by, self.hours, self.reference, self.state, list(self.confirmed),
            self.deadline_id, self.dispute, self.frozen_state,
        ]  # fmt: skip

    @staticmethod
    def load(fields: Any) -> Claim:
        """Return the claim of which ``dump`` gave the state."""
        claim = Claim(*fields[:5])
        claim.state, confirmed, claim.deadline_id, claim.dispute, claim.frozen_state = fields[5:]
        claim.confirmed = dict.fromkeys(confirmed)
        return claim


class Claimed:
    """Be a lien of a paydown: ``amount`` is what it was for, less what was forgiven of it."""

    __slots__ = ("amount", "number")

    def __init__(self, number: int, amount: int) -> None:
        self.number = number
        self.amount = amount

    def left(self, cashier: Cashier) -> int:
        """Return what is still owed by it."""
        lien = cashier.liens.get(self.number)
        return 0 if lien is None else lien.amount

    def brought(self, cashier: Cashier) -> int:
        """Return what was paid by it."""
        return self.amount - self.left(cashier)

    def forgive(self, cashier: Cashier, amount: int) -> int:
        """Let up to ``amount`` be owed no more; return how much that was."""
        forgiven = cashier.forgive(self.number, amount)
        self.amount -= forgiven
        return forgiven

    def dump(self) -> list[int]:
        """Return the state as plain data."""
        return [self.number, self.amount]


class Paydown:
    """Be a paydown: who has paid how much of it, and which liens say who owes that to whom."""

    __slots__ = (
        "advances", "bounty", "by_holder", "by_issuer", "deadline_id", "holder", "is_due", "lien", "liens",
        "recourse", "task",
    )  # fmt: skip

    def __init__(self, holder: str, bounty: int) -> None:
        self.holder = holder
        """Who held the debt when it began."""
        self.bounty = bounty
        """What was in the debt's escrow for whoever repays it."""
        self.by_holder = 0
        self.by_issuer = 0
        self.recourse = Claimed(0, 0)
        """The lien by which the holder owes the issuer what that answers for; 0 is no lien."""
        self.lien = Claimed(0, 0)
        """That by which the issuer owes the escrow the rest, while it is collected."""
        self.liens: dict[str, Claimed] = {}
        """Those by which the issuer owes the beneficiaries what was not collected in time."""
        self.advances: dict[str, int] = {}
        """What beneficiaries have paid."""
        self.deadline_id = 0
        """That of the end of collecting; 0 after it."""
        self.is_due = False
        """Whether collecting has ended, and only a claim is waited for."""
        self.task = 0

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.holder, self.bounty, self.by_holder, self.by_issuer, self.recourse.dump(), self.lien.dump(),
            [[name, *lien.dump()] for name, lien in self.liens.items()], list(self.advances.items()), self.deadline_id,
            self.is_due, self.task,
        ]  # fmt: skip

    @staticmethod
    def load(fields: Any) -> Paydown:
        """Return the paydown of which ``dump`` gave the state."""
        paydown = Paydown(*fields[:2])
        paydown.by_holder, paydown.by_issuer, recourse, lien, liens, advances = fields[2:8]
        paydown.recourse, paydown.lien = Claimed(*recourse), Claimed(*lien)
        paydown.liens = {name: Claimed(number, amount) for name, number, amount in liens}
        paydown.advances = dict(advances)
        paydown.deadline_id, paydown.is_due, paydown.task = fields[8:]
        return paydown


class Token:
    """Be one debt, from its proposal until it ended, and for a while after. Hours are in thousandths."""

    __slots__ = (
        "accrued", "attester", "beneficiaries", "claim", "confirm_seconds", "deadline_id", "detail", "feature",
        "holder", "hour_rate", "interest", "is_paid", "issued_us", "issuer", "maturity_id", "maturity_us", "months",
        "number", "original", "outcome", "paydown", "principal", "sale", "sign_by_us", "signed", "skills", "state",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        issuer: str,
        feature: str,
        detail: str,
        original: int,
        interest: int,
        maturity_us: int,
        beneficiaries: dict[str, int],
        attester: str | None,
        skills: tuple[str, ...],
        hour_rate: int,
        confirm_seconds: int,
        sign_by_us: int,
    ) -> None:
        self.number = number
        self.issuer = issuer
        self.feature = feature
        self.detail = detail
        self.original = original
        """The principal at issue."""
        self.interest = interest
        """What a month of that costs before maturity."""
        self.maturity_us = maturity_us
        self.beneficiaries = beneficiaries
        self.attester = attester
        self.skills = skills
        self.hour_rate = hour_rate
        self.confirm_seconds = confirm_seconds
        self.sign_by_us = sign_by_us
        self.state: DebtState = "proposed"
        self.holder = issuer
        self.principal = original
        """What is left of the principal."""
        self.accrued = 0
        """Interest that was added to what is owed."""
        self.issued_us = 0
        """When the debt began to exist."""
        self.months = 0
        """How many months have passed since."""
        self.is_paid = False
        """Whether the holder pays its interest in credits."""
        self.signed: dict[str, None] = {}
        self.deadline_id = 0
        """That of the signatures, then that of the month."""
        self.maturity_id = 0
        self.sale: Sale | None = None
        self.claim: Claim | None = None
        self.paydown: Paydown | None = None
        self.outcome: EndReason | None = None

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"debts:{self.number}"

    @property
    def escrow(self) -> str:
        """Return the escrow that pays whoever repays it."""
        return escrow_of(self.cause)

    @property
    def sale_escrow(self) -> str:
        """Return the escrow of what is offered to whoever takes it over."""
        return f"{escrow_of(self.cause)}:sale"

    @property
    def owed(self) -> int:
        """Return the hours owed."""
        return self.principal + self.accrued

    @property
    def month_ends_us(self) -> int:
        """Return when the present month ends."""
        return self.issued_us + (self.months + 1) * MONTH_US

    def interest_of_month(self) -> int:
        """Return the interest of the present month, rounded down; nothing beyond what may be owed at most.

        Until maturity it is simple: the agreed part of the principal that is left. A month that begins at maturity or
        later costs twice that part of all that is owed.
        """
        if self.issued_us + self.months * MONTH_US >= self.maturity_us:
            hours = _LATE * self.interest * self.owed // self.original
        else:
            hours = self.interest * self.principal // self.original
        return min(hours, max(GROWTH_MAX * self.original - self.owed, 0))

    def repay(self, hours: int) -> None:
        """Count hours as repaid: first what has accrued, then the principal."""
        accrued = min(self.accrued, hours)
        self.accrued -= accrued
        self.principal -= hours - accrued

    def listeners(self) -> list[str]:
        """Return who hears of it, each once: issuer, holder, beneficiaries, attester."""
        names = [self.issuer, self.holder, *self.beneficiaries]
        if self.attester is not None:
            names.append(self.attester)
        return list(dict.fromkeys(names))

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.issuer, self.feature, self.detail, self.original, self.interest, self.maturity_us,
            list(self.beneficiaries.items()), self.attester, list(self.skills), self.hour_rate, self.confirm_seconds,
            self.sign_by_us, self.state, self.holder, self.principal, self.accrued, self.issued_us, self.months,
            self.is_paid, list(self.signed), self.deadline_id, self.maturity_id,
            None if self.sale is None else self.sale.dump(), None if self.claim is None else self.claim.dump(),
            None if self.paydown is None else self.paydown.dump(), self.outcome,
        ]  # fmt: skip

    @staticmethod
    def load(fields: Any) -> Token:
        """Return the debt of which ``dump`` gave the state."""
        number, issuer, feature, detail, original, interest, maturity_us, beneficiaries, attester, skills = fields[:10]
        token = Token(
            number, issuer, feature, detail, original, interest, maturity_us, dict(beneficiaries), attester,
            tuple(skills), *fields[10:13],
        )  # fmt: skip
        token.state, token.holder, token.principal, token.accrued, token.issued_us, token.months = fields[13:19]
        token.is_paid, signed, token.deadline_id, token.maturity_id, sale, claim, paydown, token.outcome = fields[19:]
        token.signed = dict.fromkeys(signed)
        token.sale = None if sale is None else Sale.load(sale)
        token.claim = None if claim is None else Claim.load(claim)
        token.paydown = None if paydown is None else Paydown.load(paydown)
        return token
