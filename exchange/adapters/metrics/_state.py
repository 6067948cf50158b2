"""Read the state of a venue when it is scraped. Reads attributes only, and of a bounded number.

What is read may be one batch ahead of the journal: it is for those who operate the venue, and never
leaves by the bus.
"""

from __future__ import annotations

from itertools import islice
from operator import attrgetter
from time import sleep
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from exchange.adapters.metrics._numbers import read
from exchange.ledger.accounts import ACCOUNT_KINDS
from exchange.mechanisms.orders import Orders
from exchange.messages.base import CREDIT_DECIMALS
from exchange.messages.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from exchange.adapters.gateway import Gateway
    from exchange.engine import Engine
    from exchange.ledger import Asset
    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.tally import Row

__all__ = ["LABELLED_MAX", "OTHER", "StateCollector", "Venue"]

LABELLED_MAX: Final = 200
"""So many markets, and so many assets, get labels of their own: the oldest."""

OTHER: Final = "_other"
"""The label of all the rest."""

_READINGS_MAX: Final = 1_000
"""So many rows may one mechanism add to a scrape."""

KICK_REASONS: Final = ("flood", "revoked", "connections")
"""Why the daemon's guard cuts a connection off."""

_LOOKS_MAX: Final = 20
_LOOK_AGAIN_S: Final = 0.001
_CREDIT_SCALE: Final = 10**CREDIT_DECIMALS

_SUSPENDED: Final = {None: 0, "cancel_only": 1, "halted": 2}

_T = TypeVar("_T")

log = structlog.get_logger(__name__)


class Venue(Protocol):
    """Say what is read of a host."""

    engine: Engine
    gateway: Gateway


class _Labelled(NamedTuple):
    """Hold what gets a label of its own, by name, and what is summed up."""

    own: list[tuple[str, Any]]
    rest: list[Any]


class StateCollector:
    """Export the state of a venue's engine and gateway."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._failed: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """Read everything anew."""
        yield from self._gateway()
        yield from self._markets()
        yield from self._ledger()
        agents = len(self._venue.engine.agents)
        yield GaugeMetricFamily("exchange_agents", "Registered agents.", agents)
        yield from self._poison()
        for family, mechanism in self._venue.engine.mechanisms.items():
            yield from self._mechanism(family, mechanism.metrics)

    def _gateway(self) -> Iterator[Metric]:
        gateway = self._venue.gateway
        for name, text, counts in (
            ("refusals", "Messages that the gateway refused with an answer.", gateway.refusals),
            ("dropped", "Messages that the gateway dropped without an answer.", gateway.dropped),
        ):
            family = CounterMetricFamily(f"exchange_gateway_{name}", text, labels=["reason"])
            for reason in RefusalReason:
                family.add_metric([reason.value], counts.get(reason.value, 0))
            yield family
        kicks = CounterMetricFamily("exchange_gateway_kicks", "Connections of agents cut off.", labels=["reason"])
        for why in KICK_REASONS:
            kicks.add_metric([why], gateway.kicks.get(why, 0))
        yield kicks
        yield GaugeMetricFamily(
            "exchange_gateway_queued_messages", "Messages of commands that wait.", read(gateway.queued) or 0
        )

    def _poison(self) -> Iterator[Metric]:
        context = self._venue.engine.context
        yield GaugeMetricFamily(
            "exchange_quarantined_commands",
            "Commands that broke the engine and are refused.",
            len(context.quarantine.entries),
        )
        suspended = GaugeMetricFamily(
            "exchange_mechanism_suspended",
            "1 while a mechanism's deadlines rest and it takes nothing new, 2 while it takes nothing.",
            labels=["mechanism"],
        )
        for family in (*self._venue.engine.mechanisms, "engine"):
            suspended.add_metric([family], _SUSPENDED[context.suspended.get(family)])
        yield suspended

    # ── markets ─────────────────────────────────────────────────────────────────────────────────

    def _markets(self) -> Iterator[Metric]:
        orders = self._venue.engine.mechanisms.get("orders")
        if not isinstance(orders, Orders):
            return
        markets = _label(orders.markets)
        for name, text, attribute, family_type in (
            ("open_orders", "Orders that rest or wait for their trigger.", "open_orders", GaugeMetricFamily),
            ("trades", "Trades since the venue was created.", "trades", CounterMetricFamily),
        ):
            count = attrgetter(attribute)
            family = family_type(f"exchange_{name}", text, labels=["market"])
            for market_id, market in markets.own:
                family.add_metric([market_id], count(market))
            if markets.rest:
                family.add_metric([OTHER], sum(map(count, markets.rest)))
            yield family
        # Volumes are in units of the market's asset and prices are its own: neither adds up over markets.
        volume = CounterMetricFamily(
            "exchange_volume",
            "Whole units of the base asset traded since the venue was created.",
            labels=["market"],
        )
        for market_id, market in markets.own:
            volume.add_metric([market_id], market.volume / market.scale)
        yield volume
        for name, text, price_of in _PRICES:
            prices = GaugeMetricFamily(name, text, labels=["market"])
            for market_id, market in markets.own:
                price = price_of(market)
                if price is not None:
                    prices.add_metric([market_id], price / _CREDIT_SCALE)
            yield prices

    # ── ledger ──────────────────────────────────────────────────────────────────────────────────

    def _ledger(self) -> Iterator[Metric]:
        assets = _label(self._venue.engine.ledger.assets)
        balance = GaugeMetricFamily(
            "exchange_ledger_balance",
            "What all accounts of one kind have of an asset, holds included, in whole units.",
            labels=["asset", "kind"],
        )
        for name, asset in assets.own:
            for kind in ACCOUNT_KINDS:
                balance.add_metric([name, kind], asset.totals[kind].amount / asset.scale)
        yield balance
        difference = GaugeMetricFamily(
            "exchange_conservation_difference",
            "What was issued of an asset less what the accounts add up to, in whole units: always 0.",
            labels=["asset"],
        )
        broken = _unconserved([*(asset for _, asset in assets.own), *assets.rest])
        for name, asset in assets.own:
            difference.add_metric([name], broken.get(asset, 0) / asset.scale)
        if assets.rest:
            # As absolute values, so that no difference hides another.
            rest = sum(abs(broken.get(asset, 0)) / asset.scale for asset in assets.rest)
            difference.add_metric([OTHER], rest)
        yield difference

    # ── mechanisms ──────────────────────────────────────────────────────────────────────────────

    def _mechanism(self, family: str, hook: Callable[[], Iterable[Row]]) -> Iterator[Metric]:
        """Export what a mechanism says of itself: rows of name, help, labels, value.

        A name that ends in ``_total`` is a counter's, rows with the label ``le`` begin a histogram, any other name is
        a gauge's; all are prefixed with ``exchange_`` and the mechanism's family. `Mechanism.metrics` says what is
        scaled.
        """
        found: dict[str, Metric] = {}
        try:
            for row in (read(lambda: list(hook())) or [])[:_READINGS_MAX]:
                _add(found, f"exchange_{family}_", row)
        except Exception:
            # The others' figures are worth more than this one's, and this is no place to fail.
            if family not in self._failed:
                self._failed.add(family)
                log.exception("a mechanism's metrics cannot be read", mechanism=family)
            return
        yield from found.values()


def _add(found: dict[str, Metric], prefix: str, row: Row) -> None:
    """Add a row of a mechanism to the metrics found so far."""
    name, text, labels, value = row
    base, _, part = name.rpartition("_")
    histogram = found.get(base)
    if "le" in labels:
        if histogram is None:
            histogram = found[base] = HistogramMetricFamily(prefix + base, text)
        bound = labels["le"]
        le = bound if bound == "+Inf" else str(float(int(bound) / _unit(base)))
        histogram.add_sample(prefix + name, {"le": le}, value)
    elif isinstance(histogram, HistogramMetricFamily):
        histogram.add_sample(prefix + name, {}, value / _unit(base) if part == "sum" else value)
    else:
        metric = found.get(name)
        if metric is None:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            metric = found[name] = kind(prefix + name, text, labels=list(labels))
        metric.add_sample(prefix + name, dict(labels), value / _unit(name))


def _unit(name: str) -> int:
    """Return how many of what a mechanism counts make one of what its metric is in."""
    bare = name.removesuffix("_total")
    return _CREDIT_SCALE if bare.endswith("_credits") else 1_000_000 if bare.endswith("_seconds") else 1


def _best_bid(market: Market) -> int | None:
    return market.bids.best_price


def _best_ask(market: Market) -> int | None:
    return market.asks.best_price


def _last_price(market: Market) -> int | None:
    return market.last_price


_PRICES: Final[tuple[tuple[str, str, Callable[[Market], int | None]], ...]] = (
    ("exchange_best_bid", "Best price bid, in credits; absent while nobody bids.", _best_bid),
    ("exchange_best_ask", "Best price asked, in credits; absent while nobody asks.", _best_ask),
    ("exchange_last_price", "Price of the last trade, in credits; absent before the first.", _last_price),
)


def _label(named: Mapping[str, _T]) -> _Labelled:
    """Give labels of their own to the oldest; who is really called ``_other`` belongs to the others."""
    oldest = read(lambda: list(islice(named.items(), LABELLED_MAX))) or []
    rest = read(lambda: list(islice(named.values(), LABELLED_MAX, None))) or []
    own = [(name, item) for name, item in oldest if name != OTHER]
    rest += [item for name, item in oldest if name == OTHER]
    return _Labelled(own, rest)


def _unconserved(assets: list[Asset]) -> dict[Asset, int]:
    """Return the assets that do not add up, each with its difference in its smallest unit.

    A look may fall into the midst of a posting of the engine's thread, when nothing adds up for a few
    microseconds. What is really broken stays broken, so only what every look finds counts.
    """
    suspects = assets
    for attempt in range(_LOOKS_MAX):
        if attempt:
            sleep(_LOOK_AGAIN_S)
        found = {asset: difference for asset in suspects if (difference := asset.difference())}
        if not found:
            break
        suspects = list(found)
    return found
