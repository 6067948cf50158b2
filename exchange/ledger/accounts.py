"""Hold the records of the ledger: assets, accounts, balances, running totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from exchange.ledger.meters import Watch

__all__ = ["ACCOUNT_KINDS", "Account", "AccountKind", "Asset", "Balance", "KindTotal"]

AccountKind = Literal["agent", "escrow", "treasury", "public_fund", "fees"]

ACCOUNT_KINDS: Final[tuple[AccountKind, ...]] = ("agent", "escrow", "treasury", "public_fund", "fees")


class KindTotal:
    """Keep the running sum of one asset over all accounts of one kind."""

    __slots__ = ("amount",)

    def __init__(self) -> None:
        self.amount = 0


class Asset:
    """Describe an asset; ``issued`` is what exists, in its smallest unit."""

    __slots__ = ("decimals", "issued", "issuer", "name", "scale", "totals", "unbalanced")

    def __init__(self, name: str, decimals: int, issuer: str | None) -> None:
        self.name = name
        self.decimals = decimals
        self.scale: int = 10**decimals
        self.issuer = issuer
        self.issued = 0
        self.unbalanced = 0
        """The sum of the legs of the posting under way; 0 between postings."""
        self.totals: dict[AccountKind, KindTotal] = {kind: KindTotal() for kind in ACCOUNT_KINDS}

    def difference(self) -> int:
        """Return what was issued less the running sum over all accounts: 0 unless money (dis)appeared."""
        return self.issued - sum(total.amount for total in self.totals.values())


class Balance:
    """Hold what one account has of one asset: ``available`` and ``held``, neither ever negative."""

    __slots__ = ("account", "asset", "available", "held", "meters", "total")

    def __init__(self, account: Account, asset: Asset) -> None:
        self.account = account
        self.asset = asset
        self.available = 0
        self.held = 0
        self.total = asset.totals[account.kind]
        # Only credit balances of agents with a spend limit or a lien have any; None keeps the others fast.
        self.meters: tuple[Watch, ...] | None = None


class Account:
    """Own balances, at most one per asset."""

    __slots__ = ("balances", "kind", "name")

    def __init__(self, name: str, kind: AccountKind) -> None:
        self.name = name
        self.kind: AccountKind = kind
        self.balances: dict[str, Balance] = {}
