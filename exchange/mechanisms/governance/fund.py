"""Keep the public fund: what comes in, and how it is shared among owners, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.cashier import escrow_of
from exchange.messages.base import CREDIT

if TYPE_CHECKING:
    from exchange.mechanisms.base import Context
    from exchange.mechanisms.governance.electorate import Electorate
    from exchange.mechanisms.tally import Tally

__all__ = ["FUND", "Fund", "Share"]

FUND: Final = "public_fund"

_PAGE: Final = 500
"""So many owners are paid in one batch: orders come in between."""

_BP: Final = 10_000


class Share:
    """Be one share of the fund that is being paid; its money is in an escrow of its own.

    Everybody gets the same, and of what cannot be divided the owners that were registered first get a unit more each:
    by the largest remainder, where all remainders are alike.
    """

    __slots__ = ("amount", "deadline_id", "left", "number", "owners", "paid", "place", "registered")

    def __init__(self, number: int, amount: int, owners: int, registered: int) -> None:
        self.number = number
        self.amount = amount
        self.owners = owners
        """How many share it."""
        self.registered = registered
        """How many agents there were when it began: for later ones nobody gets anything."""
        self.place = 0
        """The place of the owner that is looked at next."""
        self.paid = 0
        """How many have been paid."""
        self.left = amount
        self.deadline_id = 0

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"governance:share:{self.number}"

    def part(self) -> int:
        """Return what the next owner gets; 0 when nobody gets anything any more."""
        if self.paid >= self.owners:
            return 0
        each, rest = divmod(self.amount, self.owners)
        return each + (self.paid < rest)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.amount, self.owners, self.registered, self.place, self.paid, self.left, self.deadline_id,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Share:
        """Return the share of which ``dump`` gave the state."""
        share = Share(*state[:4])
        share.place, share.paid, share.left, share.deadline_id = state[4:]
        return share


class Fund:
    """Sweep fees into the public fund, and share it."""

    def __init__(self, context: Context, electorate: Electorate, tally: Tally) -> None:
        self._context = context
        self._electorate = electorate
        self._tally = tally
        self.shares: dict[int, Share] = {}
        self.page = _PAGE
        """How many owners are looked at in one batch."""
        self._last_number = 0

    @property
    def available(self) -> int:
        """Return what the fund can spend."""
        return self._context.ledger.balance(FUND, CREDIT).available

    @property
    def cap(self) -> int:
        """Return what of the supply the fund keeps: the rest is shared each month, so that credits circulate."""
        supply = self._context.ledger.assets[CREDIT].issued
        return supply * self._context.settings.public_fund_cap_bp // _BP

    def sweep(self) -> None:
        """Take the fees in."""
        amount = self._context.ledger.balance("fees", CREDIT).available
        posting = self._context.cashier.posting("governance:fees")
        posting.transfer("fees", FUND, amount)
        posting.post()
        self._tally.count("fund_inflow_credits_total", "fees", by=amount)

    def recirculate(self) -> None:
        """Share what the fund has above its cap."""
        self.share(self.available - self.cap)

    def share(self, amount: int) -> int:
        """Share an amount that the fund has among all who may vote; return among how many."""
        owners = len(self._electorate.traders)
        if amount <= 0 or not owners:
            return 0
        self._last_number = number = self._last_number + 1
        share = self.shares[number] = Share(number, amount, owners, self._electorate.registered)
        self.take(escrow_of(share.cause), amount, share.cause, "share")
        self.pay_page(number)
        return owners

    def take(self, escrow: str, amount: int, cause: str, purpose: str) -> None:
        """Move money of the fund into an escrow."""
        posting = self._context.cashier.posting(cause)
        posting.fund(FUND, escrow, amount)
        posting.post()
        self._tally.count("fund_outflow_credits_total", purpose, by=amount)

    def pay_page(self, number: int) -> None:
        """Pay the next owners; also fires as a deadline, in a batch of its own each time."""
        share, electorate = self.shares[number], self._electorate
        escrow = escrow_of(share.cause)
        owners = electorate.owners
        until = min(share.place + self.page, len(owners))
        posting = self._context.cashier.posting(share.cause)
        while share.place < until and share.part():
            owner = owners[share.place]
            share.place += 1
            if electorate.weight(owner, share.registered):
                posting.pay(escrow, electorate.payee(owner), share.part())
                share.left -= share.part()
                share.paid += 1
        posting.post()
        if share.place < len(owners) and share.part():
            deadlines = self._context.deadlines
            share.deadline_id = deadlines.schedule(self._context.time_us + 1, "governance.pay_page", number)
        else:
            self._end(share)

    def _end(self, share: Share) -> None:
        """Give back what was for owners that have gone meanwhile."""
        posting = self._context.cashier.posting(share.cause)
        posting.move(escrow_of(share.cause), FUND, share.left)
        posting.post()
        self._tally.count("fund_inflow_credits_total", "returned", by=share.left)
        del self.shares[share.number]

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self._last_number, [share.dump() for share in self.shares.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._last_number, shares = state
        for fields in shares:
            share = Share.load(fields)
            self.shares[share.number] = share
