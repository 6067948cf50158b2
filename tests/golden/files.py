"""Find the golden files, and say of a host what must never change for them."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from exchange.daemon.host import Host
from exchange.messages.orders import ListOrders, OrdersResult

__all__ = ["GOLDEN", "Expected", "describe", "journal_directory", "new_host", "snapshot_directory"]

GOLDEN: Final = Path(__file__).parent


class Expected(msgspec.Struct, kw_only=True, frozen=True):
    """Say what a golden journal must come to, in words that later versions have, too.

    The hash of the state is not among them: it covers whatever else a later version keeps.
    """

    records: int
    epoch: int
    chain_hash: str
    balances: str
    """The hash of every balance of every account."""
    open_orders: str
    """The hash of every agent's open orders."""


def new_host() -> Host:
    """Return a host that has seen nothing."""
    return Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)


def describe(host: Host) -> Expected:
    """Return what must be the same in every version."""
    engine = host.engine
    balances = [
        (account.name, asset, balance.available, balance.held)
        for account in engine.ledger.accounts.values()
        for asset, balance in account.balances.items()
    ]
    orders = []
    for agent in engine.agents:
        found = engine.query(agent, ListOrders())
        assert isinstance(found, OrdersResult)
        orders.append((agent, [(order.order_id, order.side, order.price, order.remaining) for order in found.orders]))
    return Expected(
        records=engine.index,
        epoch=engine.epoch,
        chain_hash=host.hash.hex(),
        balances=_hash(sorted(balances)),
        open_orders=_hash(orders),
    )


def _hash(value: object) -> str:
    return blake2b(msgspec.json.encode(value), digest_size=16).hexdigest()


def journal_directory(number: int) -> Path:
    """Return where the golden journal of a record format is."""
    return GOLDEN / f"journal-{number}"


def snapshot_directory(number: int) -> Path:
    """Return where the golden snapshot of a format is."""
    return GOLDEN / f"snapshot-{number}"
