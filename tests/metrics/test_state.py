"""What a scrape reads of the venue's state."""

from __future__ import annotations

import platform
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from exchange.adapters.metrics import _state
from exchange.adapters.metrics._numbers import read
from exchange.adapters.metrics._state import LABELLED_MAX
from exchange.build_info import CORE
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import Mechanism
from exchange.messages.admin import QuarantineCommand, RegisterAsset, SuspendMechanism
from exchange.messages.base import VENUE_AGENT
from exchange.testing import OPERATOR
from tests.metrics.scene import CREDIT, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def scene() -> Scene:
    """Return a venue on which nothing was traded yet."""
    return Scene()


def test_a_market_shows_its_orders_prices_and_trades(scene: Scene) -> None:
    """Prices are in credits, volume in whole units; what there is not has no sample."""
    assert scene.series("best_bid") == {}
    assert scene.series("best_ask") == {}
    assert scene.series("last_price") == {}
    venue = scene.venue
    venue.sell("alice", 10, 2_500_000)
    venue.buy("bob", 4, 2_500_000)
    venue.buy("bob", 3, 1_250_000)
    assert scene.value("best_bid", market="cpu") == 1.25
    assert scene.value("best_ask", market="cpu") == 2.5
    assert scene.value("last_price", market="cpu") == 2.5
    assert scene.value("open_orders", market="cpu") == 2
    assert scene.value("trades_total", market="cpu") == 1
    assert scene.value("volume_total", market="cpu") == 4


def test_volume_is_in_whole_units(scene: Scene) -> None:
    """An asset with decimals is counted in whole units."""
    scene.venue.market("gpu", base="gpu", decimals=2, lot=1, tick=100)
    scene.venue.issue("alice", 1_000, "gpu")
    scene.venue.sell("alice", 150, CREDIT, market="gpu")
    scene.venue.buy("bob", 150, CREDIT, market="gpu")
    assert scene.value("volume_total", market="gpu") == 1.5
    assert scene.value("ledger_balance", asset="gpu", kind="agent") == 10


def test_the_ledger_shows_who_has_what(scene: Scene) -> None:
    """The balances of an asset over all kinds of accounts add up to what was issued."""
    supply = scene.venue.engine.ledger.assets["credit"].issued / CREDIT
    assert scene.value("ledger_balance", asset="credit", kind="agent") == 2_000
    assert scene.value("ledger_balance", asset="credit", kind="treasury") == supply - 2_000
    assert scene.value("ledger_balance", asset="cpu", kind="agent") == 100
    assert scene.series("conservation_difference") == {("credit",): 0, ("cpu",): 0}
    assert scene.value("agents") == 3


def test_a_broken_ledger_shows(scene: Scene) -> None:
    """Credits out of nowhere are a difference, and stay one."""
    scene.venue.engine.ledger.assets["credit"].issued += 3 * CREDIT
    assert scene.series("conservation_difference") == {("credit",): 3, ("cpu",): 0}


def test_a_look_into_the_midst_of_a_posting_is_no_alarm(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference that the next look does not find was a posting under way."""
    credit = scene.venue.engine.ledger.assets["credit"]
    credit.issued += CREDIT

    def finish(_: float) -> None:
        credit.issued -= CREDIT

    monkeypatch.setattr(_state, "sleep", finish)
    assert scene.series("conservation_difference") == {("credit",): 0, ("cpu",): 0}


def test_markets_beyond_the_limit_are_summed_up(scene: Scene) -> None:
    """The 200 oldest markets have labels; the others add up where a sum means something."""
    for number in range(LABELLED_MAX + 4):
        scene.venue.market(f"m{number}", base="cpu")
    for number in (0, LABELLED_MAX, LABELLED_MAX + 3):
        scene.venue.sell("alice", 5, CREDIT, market=f"m{number}")
        scene.venue.buy("bob", 2, CREDIT, market=f"m{number}")
    open_orders = scene.series("open_orders")
    assert len(open_orders) == LABELLED_MAX + 1
    assert open_orders["m0",] == 1
    assert open_orders["_other",] == 2
    assert scene.value("trades_total", market="_other") == 2
    for name in ("volume_total", "best_bid", "best_ask", "last_price"):
        assert ("_other",) not in scene.series(name)


def test_assets_beyond_the_limit_are_summed_up(scene: Scene) -> None:
    """The 200 oldest assets have labels; a difference in any other shows all the same."""
    for number in range(LABELLED_MAX):
        scene.venue.must("operator", RegisterAsset, asset=f"a{number}", decimals=0, issuer="operator")
    assert len(scene.series("conservation_difference")) == LABELLED_MAX + 1
    assert scene.value("conservation_difference", asset="_other") == 0
    scene.venue.engine.ledger.assets["a198"].issued += 2
    scene.venue.engine.ledger.assets["a199"].issued -= 2
    assert scene.value("conservation_difference", asset="_other") == 4
    assert len(scene.series("ledger_balance")) == LABELLED_MAX * 5


def test_a_market_called_other_is_one_of_the_others(scene: Scene) -> None:
    """No market can double the label of the rest, which would spoil the whole scrape."""
    scene.venue.market("_other", base="cpu")
    for number in range(LABELLED_MAX):
        scene.venue.market(f"m{number}", base="cpu")
    scene.venue.sell("alice", 1, CREDIT, market="_other")
    samples = [
        sample.labels["market"]
        for family in scene.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "exchange_open_orders"
    ]
    assert len(samples) == len(set(samples)) == LABELLED_MAX
    assert scene.value("open_orders", market="_other") == 1


def test_the_build_is_named(scene: Scene) -> None:
    """One sample says which version runs, on which Python, compiled or not, with which protocol."""
    ((labels, value),) = scene.series("build_info").items()
    assert value == 1
    assert labels[1:] == (platform.python_version(), CORE, "1")
    assert scene.metrics.registry.get_sample_value("process_virtual_memory_bytes")


# ── what mechanisms add ─────────────────────────────────────────────────────────────────────────


class Grower(Mechanism):
    """A mechanism with figures of its own."""

    family: ClassVar[str] = "grower"
    summary: ClassVar[str] = "grows"
    rows: ClassVar[list[tuple[str, str, dict[str, str], float]]] = []

    def commands(self) -> dict[Any, Any]:
        return {}

    def metrics(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        yield from self.rows

    def dump(self) -> object:
        return None

    def load(self, state: Any) -> None:
        assert state is None


def grower(*rows: tuple[str, str, dict[str, str], float]) -> Scene:
    """Return a venue whose further mechanism has these figures."""
    kind = type("Grower", (Grower,), {"rows": list(rows)})
    return Scene((*REGISTRY, kind))


def test_a_mechanism_adds_its_figures() -> None:
    """Rows of one name make one metric under the mechanism's family; ``_total`` makes a counter."""
    scene = grower(
        ("leases", "Leases.", {"tier": "gold"}, 2),
        ("leases", "Leases.", {"tier": "tin"}, 3),
        ("ended_total", "Ended leases.", {}, 7),
    )
    assert scene.series("grower_leases") == {("gold",): 2, ("tin",): 3}
    assert scene.value("grower_ended_total") == 7
    types = {family.name: family.type for family in scene.metrics.registry.collect()}
    assert (types["exchange_grower_leases"], types["exchange_grower_ended"]) == ("gauge", "counter")


def test_a_mechanism_adds_no_more_than_a_thousand_rows() -> None:
    """What one mechanism adds to a scrape is bounded."""
    scene = grower(*(("leases", "Leases.", {"lease": str(number)}, 1) for number in range(1_500)))
    assert len(scene.series("grower_leases")) == 1_000


def test_a_mechanism_that_fails_spoils_only_its_own() -> None:
    """A name that is none leaves out that mechanism's metrics, and the scrape goes on."""
    scene = grower(("no name", "Broken.", {}, 1))
    assert scene.value("agents") == 3
    assert b"no name" not in scene.metrics.render()[0]


# ── reading while another thread writes ─────────────────────────────────────────────────────────


def test_reading_gives_up_on_what_never_stands_still() -> None:
    """Whatever changes under every look is given up after a bounded number of looks."""
    looks = []

    def look() -> None:
        looks.append(1)
        message = "deque mutated during iteration"
        raise RuntimeError(message)

    assert read(look) is None
    assert len(looks) == 50


def test_a_scrape_survives_a_venue_that_changes_under_it(scene: Scene) -> None:
    """While another thread opens markets and trades, every scrape succeeds and conserves credits."""
    done = threading.Event()
    failures: list[object] = []
    scrapes = 0

    def scrape() -> None:
        nonlocal scrapes
        while not done.is_set():
            try:
                lines = scene.metrics.render()[0].decode().splitlines()
                failures.extend(
                    line
                    for line in lines
                    if line.startswith("exchange_conservation_difference{") and not line.endswith(" 0.0")
                )
                scrapes += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is to say so
                failures.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        for number in range(100):
            scene.venue.market(f"m{number}", base="cpu")
            scene.venue.sell("alice", 1, CREDIT, market=f"m{number}")
            scene.venue.buy("bob", 1, CREDIT, market=f"m{number}")
            scene.venue.issue("alice", 1)
    finally:
        done.set()
        thread.join(30)
    assert not thread.is_alive()
    assert failures == []
    assert scrapes


def test_suspended_mechanisms_and_quarantined_commands_are_counted() -> None:
    """A mechanism that takes nothing new shows 1, one that takes nothing at all 2."""
    scene = Scene()
    assert scene.series("mechanism_suspended") == {
        (family,): 0 for family in (*scene.venue.engine.mechanisms, "engine")
    }
    assert scene.value("quarantined_commands") == 0
    for state, shown in (("cancel_only", 1), ("halted", 2)):
        scene.venue.must(OPERATOR, SuspendMechanism, family="orders", state=state)
        assert scene.value("mechanism_suspended", mechanism="orders") == shown
    command = QuarantineCommand(id="venue.1", valid_until_us=0, digest="d", agent="alice", command="s.1", tag="t.t")
    scene.venue.send(VENUE_AGENT, command)
    assert scene.value("quarantined_commands") == 1
