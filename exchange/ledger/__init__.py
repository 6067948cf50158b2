"""The credit ledger: double entry, holds, postings of many legs, spend meters, conservation."""

from __future__ import annotations

from exchange.ledger.accounts import Account, AccountKind, Asset, Balance, KindTotal
from exchange.ledger.ledger import Ledger, LedgerError, Leg
from exchange.ledger.meters import LienWatch, SpendMeter, Watch

__all__ = [
    "Account",
    "AccountKind",
    "Asset",
    "Balance",
    "KindTotal",
    "Ledger",
    "LedgerError",
    "Leg",
    "LienWatch",
    "SpendMeter",
    "Watch",
]
