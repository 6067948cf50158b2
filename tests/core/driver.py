"""Make random but repeatable commands for long runs: what each agent might do next."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any, Final

from exchange.messages.admin import (
    HaltAgent,
    HaltMarket,
    HaltVenue,
    RegisterAgent,
    ResumeAgent,
    SetSpendLimit,
    Settings,
    SuspendAgent,
)
from exchange.messages.orders import AmendOrder, CancelAllAfter, CancelOrder, MassCancel, PlaceOrder
from exchange.testing import OPERATOR, SECOND_US, Venue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.base import Mechanism
    from exchange.messages.orders import OrderResult

__all__ = ["MARKETS", "TRADERS", "Driver", "trading_venue"]

TRADERS: Final = ("ann", "ben", "cid", "dot", "eve", "fay")
_OWNERS: Final = ("x", "x", "y", "y", "z", "w")
MARKETS: Final = ("plain", "fees", "band", "deliver", "lease")
_TYPES: Final = ("limit",) * 8 + ("iceberg",) * 2 + ("market", "budget", "stop", "stop_limit")
_MODES: Final = ("none", "expire_taker", "expire_maker", "expire_both", "decrement")
_CENTER: Final = 1_000


def trading_venue(mechanisms: Iterable[type[Mechanism]], *, check_every: int = 1) -> Venue:
    """Return a venue with five markets (two of them for delivery and leases) and six traders of four owners."""
    settings = Settings(max_fills_per_command=7, max_cancels_per_command=20, max_open_orders=40)
    venue = Venue(settings=settings, mechanisms=mechanisms, check_every=check_every)
    for name, owner in zip(TRADERS, _OWNERS, strict=True):
        venue.register(name, owner=owner, endowment=2_000_000)
    venue.market("plain", base="cpu", tick=1)
    venue.market("fees", base="gpu", decimals=2, tick=10, lot=10, maker_fee_bp=7, taker_fee_bp=23)
    venue.market(
        "band", base="cpu", tick=5, reference_price=_CENTER, price_band_bp=300, halt_seconds=3,
        maker_fee_bp=11, auction_seconds=2,
    )  # fmt: skip
    venue.market(
        "deliver", base="cpu", tick=1, reference_price=_CENTER, settlement="delivery", deliver_seconds=60, bond_bp=333,
        taker_fee_bp=23, late_hours=1,
    )  # fmt: skip
    venue.market("lease", base="cpu", tick=5, reference_price=_CENTER, settlement="lease", term_seconds=60)
    for name in TRADERS:
        venue.issue(name, 5_000, "cpu")
        venue.issue(name, 500_000, "gpu")
    return venue


class Driver:
    """Draw the next command from a random source; the same source draws the same commands.

    It never looks at a venue, so that two venues can be driven alike; ``learn`` tells it what lives.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._resting: deque[tuple[str, int]] = deque(maxlen=60)
        self._undo: tuple[type, dict[str, Any]] | None = None
        self._names = 0

    def learn(self, agent: str, order: OrderResult) -> None:
        """Hear of an order that stays, so that it may be amended or canceled."""
        if order.remaining:
            self._resting.append((agent, order.order_id))

    def next(self, time_us: int) -> tuple[str, type, dict[str, Any]] | int:
        """Return a sender with a command, or by how many microseconds to let time pass."""
        random = self._random
        dice = random.random()
        agent = random.choice(TRADERS)
        if self._undo is not None and dice < 0.15:
            undo, self._undo = self._undo, None
            return OPERATOR, *undo
        if dice < 0.62:
            return agent, PlaceOrder, self._order(time_us)
        if dice < 0.86:
            agent, order_id = random.choice(self._resting or ((agent, 1),))
            if dice < 0.77:
                return agent, AmendOrder, {"order_id": order_id, **self._amendment()}
            return agent, CancelOrder, {"order_id": order_id}
        if dice < 0.865:
            return agent, MassCancel, self._mass_cancel()
        if dice < 0.875:
            return agent, CancelAllAfter, {"seconds": random.choice((0, 0, 5, 30))}
        if dice < 0.89:
            return self._operator_command()
        return random.choice(
            (1, 1, 1_000, 1_000, SECOND_US // 2, SECOND_US, 4 * SECOND_US, 4 * SECOND_US, 70 * SECOND_US)
        )

    def _order(self, time_us: int) -> dict[str, Any]:
        random = self._random
        market = random.choice(MARKETS)
        tick, lot = {"fees": (10, 10), "band": (5, 1), "lease": (5, 1)}.get(market, (1, 1))
        kind = random.choice(_TYPES)
        quantity = lot * random.choice((1, 2, 3, 5, 8, 20))
        price = self._price(tick)
        order: dict[str, Any] = {
            "market": market,
            "side": random.choice(("buy", "sell")),
            "order_type": kind,
            "self_trade_prevention": random.choice(_MODES),
            "time_in_force": random.choice(("gtc",) * 6 + ("ioc", "fok", "gtd")),
        }
        if kind != "budget":
            order["quantity"] = quantity
        if kind not in ("market", "budget", "stop") or random.random() < 0.5:
            order["price"] = price
        if kind in ("stop", "stop_limit"):
            order["trigger_price"] = self._price(tick)
        if kind == "iceberg":
            order["display_quantity"] = lot * random.choice((1, 2, 3))
        if kind == "budget":
            order["budget"] = random.choice((1, 999, 5_000, 20_000))
        if order["time_in_force"] == "gtd":
            order["expires_at_us"] = time_us + random.choice((1, SECOND_US, 30 * SECOND_US))
        if random.random() < 0.1:
            order["post_only"] = True
        if random.random() < 0.2:
            order["client_order_id"] = f"c{random.randrange(30)}"
        return order

    def _price(self, tick: int) -> int:
        step = round(self._random.triangular(-20, 20, 0))
        return max(tick, (_CENTER + step * max(tick, 2)) // tick * tick)

    def _amendment(self) -> dict[str, Any]:
        random = self._random
        fields: dict[str, Any] = {}
        if random.random() < 0.6:
            fields["quantity"] = random.choice((1, 2, 4, 10, 20, 30, 80))
        if random.random() < 0.6:
            fields["price"] = self._price(10)
        if random.random() < 0.1:
            fields["trigger_price"] = self._price(10)
        return fields

    def _mass_cancel(self) -> dict[str, Any]:
        random = self._random
        return {
            "market": random.choice((None, *MARKETS)),
            "side": random.choice((None, "buy", "sell")),
            "owner": random.choice((None, None, *_OWNERS)),
        }

    def _operator_command(self) -> tuple[str, type, dict[str, Any]]:
        random = self._random
        target = random.choice(TRADERS)
        market = random.choice(MARKETS)
        state = random.choice(("cancel_only", "halted"))
        self._names += 1
        reopen = (
            HaltMarket,
            {"market": market, "state": "open", "auction_seconds": random.choice((0, 0, 2))},
        )
        resume = (ResumeAgent, {"agent": target})
        # What stops trading is undone soon, or a long run would come to a stand.
        choices: list[tuple[type, dict[str, Any], tuple[type, dict[str, Any]] | None]] = [
            (HaltMarket, {"market": market, "state": state}, reopen),
            (HaltMarket, {"market": market, "state": "open", "auction_seconds": 3}, None),
            (HaltVenue, {"state": state}, (HaltVenue, {"state": "open"})),
            (HaltAgent, {"agent": target}, resume),
            (SuspendAgent, {"agent": target}, resume),
            (SetSpendLimit, {"agent": target, "per_period": 60_000, "period_seconds": 60}, None),
            (SetSpendLimit, {"owner": random.choice(_OWNERS), "total": 200_000}, None),
            (SetSpendLimit, {"owner": random.choice(_OWNERS), "per_period": 500_000}, None),
            (
                RegisterAgent,
                {"agent": f"new{self._names}", "owner": random.choice(_OWNERS), "endowment": 10},
                None,
            ),
        ]
        if self._undo is not None:
            undo, self._undo = self._undo, None
            return OPERATOR, *undo
        kind, fields, self._undo = random.choice(choices)
        return OPERATOR, kind, fields
