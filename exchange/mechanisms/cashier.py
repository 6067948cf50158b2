"""Move money for mechanisms: holds and escrows with a cause, payments, forced debits and the liens they leave.

Orders have their own way to the ledger, because it is the way of every order; everybody else comes here. So for every
amount that is held or in escrow somebody can say why, and every movement of an agent's balance is told to it.

The order of payment: a forced debit takes what is available, then frees resting orders and sealed bids, then becomes a
lien. A lien takes a quarter of what is earned, and what else leaves more than 20 credits available.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from exchange.ledger import LienWatch
from exchange.mechanisms.tally import Figure, Tally
from exchange.messages.base import CREDIT, CREDIT_DECIMALS
from exchange.messages.payments import LienChanged, PaymentPosted
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exchange.ledger import Balance, Leg
    from exchange.mechanisms.base import AgentRecord, Context

__all__ = ["LIEN_KEEPS", "Cashier", "Lien", "Posting", "Releaser", "escrow_of", "whole_credits"]

LIEN_KEEPS: Final = 20 * 10**CREDIT_DECIMALS
"""What releases and trades leave available below this, a lien does not take: an agent must be able to work."""

LIEN_SHARE: Final = 4
"""A lien takes one part in so many of what is earned, rounded down."""

OWNER_BOUND_US: Final = 7 * 86_400_000_000
"""After so long a lien binds every agent of the owner."""

BIND_OWNER: Final = "payments.bind_owner"


def escrow_of(cause: str) -> str:
    """Return the name of the escrow account of a cause such as ``tasks:17``."""
    return f"escrow:{cause}"


def whole_credits(amount: int) -> str:
    """Write an amount of credits in whole credits, with at least two decimals."""
    whole, part = divmod(amount, 10**CREDIT_DECIMALS)
    digits = f"{part:0{CREDIT_DECIMALS}d}".rstrip("0")
    return f"{whole}.{digits:0<2}"


def _discard(index: dict[str, dict[int, None]], key: str, number: int) -> None:
    """Forget a number in an index, and its key with its last one."""
    numbers = index[key]
    numbers.pop(number, None)
    if not numbers:
        del index[key]


class Lien(NamedTuple):
    """Hold what an agent owes since it could not pay; ``creditor`` is an account of any kind.

    Who lets an escrow be owed to answers for it as long as it is.
    """

    number: int
    debtor: str
    creditor: str
    amount: int
    cause: str
    since_us: int


class Releaser(Protocol):
    """Say how a mechanism frees what it holds of a debtor: orders, sealed bids."""

    def release_for(self, agent_id: str, amount: int) -> None:
        """End the agent's newest orders or bids that hold credits, until ``amount`` is available or none is left."""


class Cashier:
    """Keep holds, escrows and liens; the mechanism ``payments`` dumps, loads and proves them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.holds: dict[str, dict[tuple[str, str], int]] = {}
        """What is held per agent, by cause and asset: all but what orders hold."""
        self.escrows: dict[str, None] = {}
        """The names of the open escrow accounts."""
        self.liens: dict[int, Lien] = {}
        self.last_lien = 0
        self.liens_of: dict[str, dict[int, None]] = {}
        """The liens that bind an agent, the oldest first: its own, after a while its owner's."""
        self.owed_by: dict[str, dict[int, None]] = {}
        """The liens that bind every agent of an owner."""
        self.owed_to: dict[str, dict[int, None]] = {}
        """The liens by their creditor."""
        self._watches: dict[str, LienWatch] = {}
        self._releasers: list[Releaser] = []
        self.tally = Tally(
            Figure("forced_debits_total", "Debits by force, paid or not."),
            Figure("forced_debit_credits_total", "What was debited by force, in whole credits, liens included."),
        )
        context.react(LienWatch, self._collect)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    def check(self, agent: AgentRecord, amount: int, asset: str = CREDIT) -> tuple[Reason, str] | None:
        """Return why an agent cannot hold or spend ``amount`` more; None if it can."""
        ledger = self._context.ledger
        balance = ledger.balance(agent.agent_id, asset)
        if amount > 0 and not ledger.may_spend(balance, amount):
            return Reason.SPEND_LIMIT, "a spend limit of the agent or its owner is reached"
        if amount > balance.available:
            if asset != CREDIT:
                return Reason.INSUFFICIENT_ASSET, f"needs {amount} {asset}, available {balance.available}"
            detail = f"needs {whole_credits(amount)}, available {whole_credits(balance.available)}"
            return Reason.INSUFFICIENT_CREDITS, detail
        return None

    def held(self, agent_id: str, asset: str = CREDIT) -> int:
        """Return what is held of an agent's asset for all but orders."""
        holds = self.holds.get(agent_id)
        if not holds:
            return 0
        return sum(amount for (_, name), amount in holds.items() if name == asset)

    def in_escrow(self, escrow: str, asset: str = CREDIT) -> int:
        """Return what an escrow account has; 0 when it is not open."""
        return self._context.ledger.balance(escrow, asset).available if escrow in self.escrows else 0

    def payee(self, agent_id: str) -> str:
        """Return the account that takes what is due to an agent: of a revoked one its owner's oldest, else treasury."""
        context = self._context
        agent = context.agents[agent_id]
        if agent.state != "revoked":
            return agent_id
        heirs = (name for name in context.fleets[agent.owner] if context.agents[name].state != "revoked")
        return next(heirs, "treasury")

    def takes(self, account: str) -> str:
        """Return the account that takes what is due to an account of an agent or of the venue."""
        return self.payee(account) if account in self._context.agents else account

    # ── moving ──────────────────────────────────────────────────────────────────────────────────

    def posting(self, cause: str) -> Posting:
        """Begin a posting for a cause such as ``tasks:17``; nothing moves before its ``post``."""
        return Posting(self._context, self, cause)

    def open_escrow(self, name: str) -> str:
        """Open an escrow account for somebody who posts its legs itself, as orders do; return its name."""
        self._context.ledger.open_account(name, "escrow")
        self.escrows[name] = None
        return name

    def on_debit(self, releaser: Releaser) -> None:
        """Register who frees what a debtor has on hold; who registers first is asked first."""
        self._releasers.append(releaser)

    def charge(self, agent_id: str, creditor: str, amount: int, cause: str) -> int:
        """Debit an agent by force in favour of an account; return what was paid, the rest is a lien now.

        Spend limits do not count. Orders and bids are freed only as far as need be.
        """
        if amount <= 0:
            return 0
        account = self.payee(agent_id)
        if account not in self._context.agents:
            # Nobody is left who could pay; the loss stays where it arose.
            return 0
        if self.takes(creditor) == account:
            return amount
        paid = self.collect(account, creditor, amount, cause)
        self.owe(account, creditor, amount - paid, cause)
        return paid

    def collect(self, agent_id: str, creditor: str, amount: int, cause: str) -> int:
        """Debit an agent by force as far as it can pay, without a lien for the rest; return what was paid."""
        account = self.payee(agent_id)
        if amount <= 0 or account not in self._context.agents:
            return 0
        self.tally.count("forced_debits_total")
        self.tally.count("forced_debit_credits_total", by=amount)
        balance = self._context.ledger.balance(account, CREDIT)
        for releaser in self._releasers:
            if balance.available < amount:
                releaser.release_for(account, amount)
        paid = min(balance.available, amount)
        if paid:
            posting = self.posting(cause)
            posting.transfer(account, creditor, paid)
            posting.post()
        return paid

    def owe(self, agent_id: str, creditor: str, amount: int, cause: str) -> int:
        """Let an agent owe an amount as a lien; return its number, 0 if nobody is left who could owe it to another."""
        debtor = self.payee(agent_id)
        if amount <= 0 or debtor not in self._context.agents or self.takes(creditor) == debtor:
            return 0
        self._add_lien(debtor, creditor, amount, cause)
        return self.last_lien

    def forgive(self, number: int, amount: int) -> int:
        """Let up to ``amount`` of a lien be owed no more; return how much that was, 0 of one that is paid."""
        lien = self.liens.get(number)
        if lien is None or amount <= 0:
            return 0
        forgiven = min(lien.amount, amount)
        self.reduce(number, forgiven)
        return forgiven

    def assign(self, creditor: str, heir: str) -> None:
        """Let everything that is owed to one account be owed to another from now on."""
        # Sorted: what a snapshot brings back is in the order of the liens, what was assigned before is not.
        for number in sorted(self.owed_to.get(creditor, ())):
            lien = self.liens[number]
            if self.takes(heir) == lien.debtor:
                # Nobody owes itself anything.
                self.reduce(number, lien.amount)
                continue
            _discard(self.owed_to, creditor, number)
            self.liens[number] = lien = lien._replace(creditor=heir)
            self.owed_to.setdefault(heir, {})[number] = None
            self._tell(lien, 0)

    def divide(self, number: int, parts: Sequence[tuple[str, int]]) -> None:
        """Let a lien be owed to several accounts from now on, by positive parts that add up to it.

        The first keeps its number; the others are as old, and bind whom it binds.
        """
        lien = self.liens[number]
        _discard(self.owed_to, lien.creditor, number)
        for place, (creditor, amount) in enumerate(parts):
            self.last_lien += place > 0
            each = number if place == 0 else self.last_lien
            self.liens[each] = part = lien._replace(number=each, creditor=creditor, amount=amount)
            self.owed_to.setdefault(creditor, {})[each] = None
            if place:
                self._bind_like(lien, each)
            self._tell(part, amount if place else amount - lien.amount)

    def _bind_like(self, lien: Lien, number: int) -> None:
        """Let a new part of a lien bind whom that binds: its debtor, after a while every agent of the owner."""
        context = self._context
        owner = context.agents[lien.debtor].owner
        for agent_id in context.fleets[owner]:
            if lien.number in self.liens_of.get(agent_id, ()):
                self.bind(agent_id, number)
        if lien.number in self.owed_by.get(owner, ()):
            self.owed_by[owner][number] = None
        else:
            context.deadlines.schedule(lien.since_us + OWNER_BOUND_US, BIND_OWNER, number)

    # ── liens ───────────────────────────────────────────────────────────────────────────────────

    def owed(self, agent_id: str) -> int:
        """Return the sum of the liens that bind an agent."""
        return sum(self.liens[number].amount for number in self.liens_of.get(agent_id, ()))

    def _add_lien(self, debtor: str, creditor: str, amount: int, cause: str) -> None:
        context = self._context
        self.last_lien = number = self.last_lien + 1
        lien = self.liens[number] = Lien(number, debtor, creditor, amount, cause, context.time_us)
        self.owed_to.setdefault(creditor, {})[number] = None
        self.bind(debtor, number)
        context.deadlines.schedule(context.time_us + OWNER_BOUND_US, BIND_OWNER, number)
        self._tell(lien, amount)

    def bind(self, agent_id: str, number: int) -> None:
        """Let a lien bind an agent from now on."""
        bound = self.liens_of.setdefault(agent_id, {})
        is_newest = not bound or next(reversed(bound)) < number
        bound[number] = None
        if not is_newest:
            self.liens_of[agent_id] = dict.fromkeys(sorted(bound))
        if agent_id not in self._watches:
            ledger = self._context.ledger
            watch = self._watches[agent_id] = LienWatch(agent_id)
            ledger.watch(ledger.balance(agent_id, CREDIT), watch)
            ledger.metered[watch] = None

    def bind_owner(self, number: int) -> None:
        """Let a lien bind every agent of its debtor's owner."""
        lien = self.liens.get(number)
        if lien is None:
            return
        owner = self._context.agents[lien.debtor].owner
        self.owed_by.setdefault(owner, {})[number] = None
        for agent_id in self._context.fleets[owner]:
            if self._context.agents[agent_id].state != "revoked":
                self.bind(agent_id, number)

    def bind_newcomer(self, agent_id: str) -> None:
        """Let the liens that bind its owner bind a new agent, too."""
        for number in self.owed_by.get(self._context.agents[agent_id].owner, ()):
            self.bind(agent_id, number)

    def reduce(self, number: int, amount: int) -> None:
        """Count ``amount`` of a lien as paid; one that is paid whole binds nobody any more."""
        lien = self.liens[number]
        left = lien.amount - amount
        lien = self.liens[number] = lien._replace(amount=left)
        self._tell(lien, -amount)
        if left:
            return
        del self.liens[number]
        _discard(self.owed_to, lien.creditor, number)
        owner = self._context.agents[lien.debtor].owner
        if number in self.owed_by.get(owner, ()):
            _discard(self.owed_by, owner, number)
            for agent_id in self._context.fleets[owner]:
                self._unbind(agent_id, number)
        else:
            self._unbind(lien.debtor, number)

    def _unbind(self, agent_id: str, number: int) -> None:
        if agent_id not in self.liens_of:
            return
        _discard(self.liens_of, agent_id, number)
        if agent_id not in self.liens_of:
            ledger = self._context.ledger
            ledger.unwatch(ledger.balance(agent_id, CREDIT), self._watches.pop(agent_id))

    def pay_liens(self, agent_id: str, amount: int) -> int:
        """Pay up to ``amount`` of the liens that bind an agent from what it has available; return what was paid."""
        paid = 0
        for number in list(self.liens_of.get(agent_id, ())):
            part = min(self.liens[number].amount, amount - paid)
            if part <= 0:
                break
            lien = self.liens[number]
            posting = self.posting(f"lien:{number}")
            posting.transfer(agent_id, lien.creditor, part)
            posting.post()
            self.reduce(number, part)
            paid += part
        return paid

    def _collect(self, watch: LienWatch) -> None:
        """Take for liens what a movement left available above the floor."""
        if watch.agent not in self.liens_of:
            return
        available = self._context.ledger.balance(watch.agent, CREDIT).available
        if available > LIEN_KEEPS:
            self.pay_liens(watch.agent, available - LIEN_KEEPS)

    def _tell(self, lien: Lien, change: int) -> None:
        context = self._context
        for agent_id in dict.fromkeys((lien.debtor, lien.creditor)):
            agent = context.agents.get(agent_id)
            if agent is not None:
                context.emit(
                    agent,
                    LienChanged(
                        lien=lien.number,
                        debtor=lien.debtor,
                        creditor=lien.creditor,
                        change=change,
                        amount=lien.amount,
                        cause=lien.cause,
                    ),
                )

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            [[agent, [[*key, amount] for key, amount in holds.items()]] for agent, holds in self.holds.items()],
            list(self.escrows),
            [list(lien) for lien in self.liens.values()],
            self.last_lien,
            [[agent, list(numbers)] for agent, numbers in self.liens_of.items()],
            [[owner, list(numbers)] for owner, numbers in self.owed_by.items()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; ledger and agents are loaded already."""
        holds, escrows, liens, self.last_lien, bound, owed_by = state
        self.holds = {agent: {(cause, asset): amount for cause, asset, amount in rows} for agent, rows in holds}
        self.escrows = dict.fromkeys(escrows)
        self.liens = {fields[0]: Lien(*fields) for fields in liens}
        self.owed_by = {owner: dict.fromkeys(numbers) for owner, numbers in owed_by}
        for lien in self.liens.values():
            self.owed_to.setdefault(lien.creditor, {})[lien.number] = None
        ledger = self._context.ledger
        for agent_id, numbers in bound:
            self.liens_of[agent_id] = dict.fromkeys(numbers)
            watch = self._watches[agent_id] = LienWatch(agent_id)
            ledger.watch(ledger.balance(agent_id, CREDIT), watch)

    def problems(self) -> Iterable[str]:
        """Yield the broken invariants of holds, escrows and liens."""
        yield from self._hold_problems()
        yield from self._escrow_problems()
        for lien in self.liens.values():
            if lien.amount <= 0 or lien.number not in self.liens_of.get(lien.debtor, ()):
                yield f"liens_bind_their_debtor: {lien.number}"
        for agent, numbers in self.liens_of.items():
            if not numbers or any(number not in self.liens for number in numbers):
                yield f"who_is_bound_owes: {agent}"
            if list(numbers) != sorted(numbers):
                yield f"older_liens_come_first: {agent}"
        if sorted(self.liens_of) != sorted(self._watches):
            yield "who_is_bound_is_watched"
        if sum(len(numbers) for numbers in self.owed_to.values()) != len(self.liens):
            yield "liens_are_found_by_their_creditor"

    def _hold_problems(self) -> Iterable[str]:
        for agent, holds in self.holds.items():
            if any(amount <= 0 for amount in holds.values()):
                yield f"holds_are_positive: {agent}"
            for asset in dict.fromkeys(name for _, name in holds):
                if self._context.ledger.balance(agent, asset).held < self.held(agent, asset):
                    yield f"holds_are_held: {agent}/{asset}"

    def _escrow_problems(self) -> Iterable[str]:
        ledger = self._context.ledger
        opened = [account.name for account in ledger.accounts.values() if account.kind == "escrow"]
        if sorted(opened) != sorted(self.escrows):
            yield "escrows_are_known"
        for name in self.escrows:
            if not any(balance.available for balance in ledger.accounts[name].balances.values()):
                yield f"open_escrows_are_not_empty: {name}"
            if any(balance.held for balance in ledger.accounts[name].balances.values()):
                yield f"escrows_hold_nothing: {name}"


class Posting:
    """Collect the legs of one posting; ``post`` applies them all, opens and closes escrows, and tells the agents.

    Zero amounts are ignored. Agents are named by id; what a revoked agent is due goes to its payee.
    """

    def __init__(self, context: Context, cashier: Cashier, cause: str) -> None:
        self._context = context
        self._cashier = cashier
        self._cause = cause
        self._legs: list[Leg] = []
        self._told: dict[tuple[str, str], list[int]] = {}
        self._escrows: dict[str, None] = {}
        self._liens: dict[int, int] = {}
        """How much of which lien it pays."""

    # ── of an agent's own balance ───────────────────────────────────────────────────────────────

    def hold(self, agent_id: str, amount: int, asset: str = CREDIT) -> None:
        """Put available units on hold for the cause."""
        self._add(agent_id, asset, -amount, amount)
        self._count_hold(agent_id, asset, amount)

    def release(self, agent_id: str, amount: int, asset: str = CREDIT) -> None:
        """Make held units of the cause available again."""
        self.hold(agent_id, -amount, asset)

    def fund(self, agent_id: str, escrow: str, amount: int, asset: str = CREDIT) -> None:
        """Move available units into an escrow."""
        self._add(agent_id, asset, -amount, 0)
        self._add_escrow(escrow, asset, amount)

    def fund_held(self, agent_id: str, escrow: str, amount: int, asset: str = CREDIT) -> None:
        """Move units that the cause holds into an escrow."""
        self._add(agent_id, asset, 0, -amount)
        self._count_hold(agent_id, asset, -amount)
        self._add_escrow(escrow, asset, amount)

    def transfer(self, source: str, target: str, amount: int, asset: str = CREDIT) -> None:
        """Move available units of an agent's or the venue's to another account, which may be an escrow."""
        self._add(source, asset, -amount, 0)
        self._credit(target, asset, amount)

    # ── out of escrows ──────────────────────────────────────────────────────────────────────────

    def pay(self, escrow: str, agent_id: str, amount: int) -> None:
        """Pay what an agent has earned, in credits: liens take their share of it. Other accounts simply get it."""
        if agent_id not in self._context.agents:
            self.move(escrow, agent_id, amount)
            return
        account = self._cashier.payee(agent_id)
        left = amount - self._settle_debts(agent_id, account, amount)
        left -= self._pay_liens(account, left // LIEN_SHARE)
        self._add_escrow(escrow, CREDIT, -amount)
        self._add(account, CREDIT, left, 0)

    def give_back(self, escrow: str, agent_id: str, amount: int, asset: str = CREDIT) -> None:
        """Give back out of an escrow what was the agent's own, or another account's: a refund, a bond, units."""
        if agent_id not in self._context.agents:
            self.move(escrow, agent_id, amount, asset)
            return
        account = self._cashier.payee(agent_id)
        left = amount - self._settle_debts(agent_id, account, amount) if asset == CREDIT else amount
        self._add_escrow(escrow, asset, -amount)
        self._add(account, asset, left, 0)

    def _settle_debts(self, agent_id: str, heir: str, amount: int) -> int:
        """Pay a revoked agent's liens before anything goes to its heir; return what that took."""
        return self._pay_liens(agent_id, amount) if heir != agent_id else 0

    def _pay_liens(self, debtor: str, share: int) -> int:
        """Let the liens that bind an agent take up to ``share``; return what they took."""
        cashier, taken = self._cashier, 0
        for number in cashier.liens_of.get(debtor, ()):
            if taken >= share:
                break
            lien, counted = cashier.liens[number], self._liens.get(number, 0)
            part = min(share - taken, lien.amount - counted)
            if part > 0:
                self._liens[number] = counted + part
                self._credit(lien.creditor, CREDIT, part)
                taken += part
        return taken

    def move(self, source: str, target: str, amount: int, asset: str = CREDIT) -> None:
        """Move units from one escrow to another, or to ``fees``, ``public_fund`` or ``treasury``."""
        self._add_escrow(source, asset, -amount)
        self._credit(target, asset, amount)

    # ── posting ─────────────────────────────────────────────────────────────────────────────────

    def post(self) -> None:
        """Apply all legs in one step.

        Raises:
            LedgerError: they overdraw something; guards of the caller let it pass.
        """
        context, cashier = self._context, self._cashier
        context.ledger.post(self._legs)
        for number, part in self._liens.items():
            cashier.reduce(number, part)
        for name in self._escrows:
            account = context.ledger.accounts[name]
            if all(not balance.available for balance in account.balances.values()):
                context.ledger.close_account(name)
                del cashier.escrows[name]
        for (agent_id, asset), (available, held) in self._told.items():
            agent = context.agents.get(agent_id)
            if agent is not None and (available or held):
                event = PaymentPosted(cause=self._cause, asset=asset, available=available, held=held)
                context.emit(agent, event)

    def _balance(self, account: str, asset: str) -> Balance:
        return self._context.ledger.balance(account, asset)

    def _add(self, account: str, asset: str, available: int, held: int) -> None:
        if not available and not held:
            return
        self._legs.append((self._balance(account, asset), available, held))
        told = self._told.setdefault((account, asset), [0, 0])
        told[0] += available
        told[1] += held

    def _credit(self, account: str, asset: str, amount: int) -> None:
        """Add to an account of any kind; what is due to a revoked agent, to its payee's."""
        if account.startswith("escrow:"):
            self._add_escrow(account, asset, amount)
        else:
            self._add(self._cashier.takes(account), asset, amount, 0)

    def _add_escrow(self, escrow: str, asset: str, amount: int) -> None:
        if not amount:
            return
        if escrow not in self._cashier.escrows:
            self._context.ledger.open_account(escrow, "escrow")
            self._cashier.escrows[escrow] = None
        self._escrows[escrow] = None
        self._legs.append((self._balance(escrow, asset), amount, 0))

    def _count_hold(self, agent_id: str, asset: str, amount: int) -> None:
        if not amount:
            return
        holds = self._cashier.holds.setdefault(agent_id, {})
        key = (self._cause, asset)
        left = holds.get(key, 0) + amount
        if left:
            holds[key] = left
            return
        del holds[key]
        if not holds:
            del self._cashier.holds[agent_id]
