"""Keep the ledger: every movement of money is one of the few methods here, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from exchange.ledger.accounts import Account, AccountKind, Asset, Balance
from exchange.ledger.meters import SpendMeter, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Ledger", "LedgerError", "Leg"]

Leg = tuple[Balance, int, int]
"""A balance, the change of what is available, the change of what is held."""

CREDIT: Final = "credit"


class LedgerError(Exception):
    """Raised when a posting would break the ledger: a bug of the caller, whose guards let it pass."""


class Ledger:
    """Keep accounts and assets; conserve every asset between issue and retirement.

    A posting that does not balance, or would make a balance negative, raises ``LedgerError`` and
    changes nothing.
    """

    def __init__(self) -> None:
        self.time_us = 0
        self.assets: dict[str, Asset] = {}
        self.accounts: dict[str, Account] = {}
        self.meters: dict[tuple[str, str], SpendMeter] = {}
        self.moved: dict[Asset, None] = {}
        """Assets that moved between accounts or were issued since the last look."""
        self._is_watched = False
        """Whether any balance ever had a meter."""
        self.metered: dict[Watch, None] = {}
        """Meters that moved since the last look, in the order in which they did."""

    # ── accounts and assets ─────────────────────────────────────────────────────────────────────

    def register_asset(self, name: str, decimals: int, issuer: str | None) -> Asset:
        """Add an asset of which nothing exists yet.

        Raises:
            LedgerError: the asset exists.
        """
        if name in self.assets:
            message = f"asset {name!r} exists"
            raise LedgerError(message)
        asset = self.assets[name] = Asset(name, decimals, issuer)
        return asset

    def open_account(self, name: str, kind: AccountKind) -> Account:
        """Add an account with no balances.

        Raises:
            LedgerError: the account exists.
        """
        if name in self.accounts:
            message = f"account {name!r} exists"
            raise LedgerError(message)
        account = self.accounts[name] = Account(name, kind)
        return account

    def close_account(self, name: str) -> None:
        """Forget an account that has nothing.

        Raises:
            LedgerError: it has something.
        """
        if any(balance.available or balance.held for balance in self.accounts[name].balances.values()):
            message = f"account {name!r} is not empty"
            raise LedgerError(message)
        del self.accounts[name]

    def balance(self, account: str, asset: str) -> Balance:
        """Return the balance of an account in an asset, opened at zero when it is the first time."""
        owner = self.accounts[account]
        found = owner.balances.get(asset)
        if found is None:
            found = owner.balances[asset] = Balance(owner, self.assets[asset])
        return found

    # ── movements ───────────────────────────────────────────────────────────────────────────────

    def issue(self, balance: Balance, quantity: int) -> None:
        """Create units of an asset; a negative quantity destroys available ones.

        Raises:
            LedgerError: more would be destroyed than is available.
        """
        if balance.available + quantity < 0:
            message = f"cannot retire {-quantity} of {balance.asset.name}: {balance.available} available"
            raise LedgerError(message)
        balance.available += quantity
        balance.total.amount += quantity
        balance.asset.issued += quantity
        self.moved[balance.asset] = None

    def hold(self, balance: Balance, amount: int) -> None:
        """Move ``amount`` from available to held; a negative amount releases.

        Raises:
            LedgerError: that much is not there.
        """
        available = balance.available - amount
        held = balance.held + amount
        if available < 0 or held < 0:
            message = f"hold of {amount} on {balance.account.name}/{balance.asset.name} breaks its balance"
            raise LedgerError(message)
        balance.available = available
        balance.held = held
        if balance.meters is not None:
            for meter in balance.meters:
                meter.move(amount, 0, self.time_us)
                self.metered[meter] = None

    def post(self, legs: list[Leg]) -> None:
        """Apply all legs or none. Per asset they must sum to zero; one balance may stand in several.

        Raises:
            LedgerError: the legs do not balance or a balance would become negative.
        """
        dipped = False
        for balance, available, held in legs:
            if available:
                balance.available = left = balance.available + available
                if left < 0:
                    # A later leg of the same balance may lift it again; what counts is the end.
                    dipped = True
            if held:
                balance.held = left = balance.held + held
                if left < 0:
                    dipped = True
            delta = available + held
            if delta:
                balance.total.amount += delta
                balance.asset.unbalanced += delta
        self._close(legs, dipped=dipped)
        if self._is_watched:
            self._meter(legs)

    def _close(self, legs: list[Leg], *, dipped: bool) -> None:
        """Prove that a posting balances and overdraws nothing, or take it back; note what it moved."""
        moved = self.moved
        last: Asset | None = None
        for balance, available, held in legs:
            asset = balance.asset
            if asset.unbalanced or (dipped and (balance.available < 0 or balance.held < 0)):
                self._undo(legs)
            # Legs of one asset mostly follow each other.
            if asset is not last and available + held:
                moved[asset] = None
                last = asset

    def _undo(self, legs: list[Leg]) -> NoReturn:
        """Take a posting back and say what was wrong with it."""
        for balance, available, held in legs:
            balance.available -= available
            balance.held -= held
            balance.total.amount -= available + held
            balance.asset.unbalanced = 0
        rows = ", ".join(f"{b.account.name}/{b.asset.name} {a:+}/{h:+}" for b, a, h in legs[:8])
        message = f"posting does not balance or overdraws: {rows}"
        raise LedgerError(message)

    def transfer(self, source: Balance, target: Balance, amount: int) -> None:
        """Move ``amount`` of what is available from one balance to another of the same asset.

        Raises:
            LedgerError: that much is not available.
        """
        self.post([(source, -amount, 0), (target, amount, 0)])

    # ── spend limits ────────────────────────────────────────────────────────────────────────────

    def _meter(self, legs: list[Leg]) -> None:
        for balance, available, held in legs:
            if balance.meters is not None:
                for meter in balance.meters:
                    meter.move(held, -available - held, self.time_us)
                    self.metered[meter] = None

    def may_spend(self, balance: Balance, amount: int) -> bool:
        """Return whether the spend limits on a balance let ``amount`` more be held or spent."""
        return balance.meters is None or all(meter.allows(amount, self.time_us) for meter in balance.meters)

    def attach_meter(self, meter: SpendMeter, balances: Iterable[Balance]) -> None:
        """Let a meter count the movements of these balances."""
        self.meters[meter.scope, meter.subject] = meter
        for balance in balances:
            self.watch(balance, meter)

    def watch(self, balance: Balance, watch: Watch) -> None:
        """Let something be told of every movement of a balance: first the meters, in whatever order they came."""
        self._is_watched = True
        present = balance.meters or ()
        if watch in present:
            return
        meters: list[Watch] = [each for each in present if isinstance(each, SpendMeter)]
        others = [each for each in present if not isinstance(each, SpendMeter)]
        (meters if isinstance(watch, SpendMeter) else others).append(watch)
        balance.meters = (*meters, *others)

    def unwatch(self, balance: Balance, watch: Watch) -> None:
        """Tell it no more."""
        balance.meters = tuple(each for each in balance.meters or () if each is not watch) or None

    # ── proof ───────────────────────────────────────────────────────────────────────────────────

    def take_difference(self) -> int:
        """Return the sum of the absolute differences of all assets that moved since the last look.

        What did not move cannot have changed, so this costs nothing per asset that only exists.
        """
        difference = sum(abs(asset.difference()) for asset in self.moved)
        self.moved.clear()
        return difference

    def conservation(self) -> dict[str, int]:
        """Return per asset what was issued less the running sum over all accounts; all must be 0."""
        return {name: asset.difference() for name, asset in self.assets.items()}

    def check(self) -> list[str]:
        """Return the broken invariants, found by counting every account anew (slow)."""
        broken: list[str] = []
        sums: dict[tuple[str, AccountKind], int] = {}
        held: dict[Watch, int] = {}
        for account in self.accounts.values():
            for balance in account.balances.values():
                if balance.available < 0 or balance.held < 0:
                    broken.append(f"balances_not_negative: {account.name}/{balance.asset.name}")
                key = (balance.asset.name, account.kind)
                sums[key] = sums.get(key, 0) + balance.available + balance.held
                for meter in balance.meters or ():
                    held[meter] = held.get(meter, 0) + balance.held
        for name, asset in self.assets.items():
            if sum(sums.get((name, kind), 0) for kind in asset.totals) != asset.issued:
                broken.append(f"asset_is_conserved: {name}")
            broken.extend(
                f"running_totals_match: {name}/{kind}"
                for kind, total in asset.totals.items()
                if total.amount != sums.get((name, kind), 0)
            )
        broken.extend(
            f"meter_holds_match: {meter.subject}" for meter in self.meters.values() if meter.held != held.get(meter, 0)
        )
        return broken

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, into a new ledger; whose meters they are, their mechanism says."""
        assets, accounts, meters = state
        for name, decimals, issuer, issued in assets:
            self.register_asset(name, decimals, issuer).issued = issued
        for name, kind, balances in accounts:
            self.open_account(name, kind)
            for asset, available, held in balances:
                balance = self.balance(name, asset)
                balance.available = available
                balance.held = held
                balance.total.amount += available + held
        for meter_state in meters:
            scope, subject = meter_state[:2]
            meter = self.meters[scope, subject] = SpendMeter(scope, subject)
            meter.load(meter_state)

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [
            [[a.name, a.decimals, a.issuer, a.issued] for a in self.assets.values()],
            [
                [
                    account.name,
                    account.kind,
                    # An empty balance says nothing, and when it was opened must not matter.
                    sorted(
                        [b.asset.name, b.available, b.held] for b in account.balances.values() if b.available or b.held
                    ),
                ]
                for account in self.accounts.values()
            ],
            [meter.dump() for meter in self.meters.values()],
        ]
