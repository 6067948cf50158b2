"""What the market for work exports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exchange.adapters.metrics import Metrics
from exchange.daemon.host import Host
from exchange.messages.admin import Settings
from exchange.messages.disputes import OpenDispute
from exchange.messages.settlements import GiveUp
from tests.core.work import CREDIT, MINUTE_US, Work
from tests.metrics.work import OPEN_METRICS, WORK, scraped

if TYPE_CHECKING:
    from exchange.testing import Venue

TIME_TO_DELIVER = "settlements_time_to_deliver_seconds"


class Watched:
    """Read single samples of a venue."""

    def __init__(self, venue: Venue) -> None:
        self.metrics = Metrics(Host(send=lambda *_: None, now_s=lambda: 0.0, engine=venue.engine), lambda: 0.0)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"exchange_{name}", labels)


@pytest.fixture
def work() -> Work:
    """Return a venue with a poster, workers and an attester, where work leases last two hours."""
    return Work(settings=Settings(work_lease_seconds=7_200))


def award(work: Work, *prices: int, **terms: object) -> int:
    """Post a task and let it be awarded to the best of the workers' bids, in credits."""
    task = work.post(**terms)
    for worker, price in zip(("ann", "ben"), prices, strict=True):
        work.bid(worker, price, task)
    work.close(task)
    return task


def test_time_to_deliver_is_a_histogram(work: Work) -> None:
    """Deliveries after five minutes and after a hundred minutes are in the buckets of ten minutes and of six hours."""
    read = Watched(work)
    assert read(f"{TIME_TO_DELIVER}_count") == 0
    award(work, 10, 20)
    award(work, 10, 20)
    opened = work.settlement(2).opened_us
    work.advance_to(work.settlement(1).opened_us + 5 * MINUTE_US)
    work.deliver(1)
    work.advance_to(opened + 100 * MINUTE_US)
    work.deliver(2)
    counts = {le: read(f"{TIME_TO_DELIVER}_bucket", le=le) for le in ("60.0", "600.0", "3600.0", "21600.0", "+Inf")}
    assert counts == {"60.0": 0, "600.0": 1, "3600.0": 1, "21600.0": 2, "+Inf": 2}
    assert read(f"{TIME_TO_DELIVER}_sum") == 300 + 6_000
    assert read(f"{TIME_TO_DELIVER}_count") == 2


def test_a_delivery_at_a_bound_is_in_its_bucket(work: Work) -> None:
    """A bucket holds what took as long as its bound, and not a microsecond more."""
    read = Watched(work)
    award(work, 10, 20)
    award(work, 10, 20)
    for number, beyond in ((1, 0), (2, 1)):
        work.advance_to(work.settlement(number).opened_us + 10 * MINUTE_US + beyond)
        work.deliver(number)
    assert read(f"{TIME_TO_DELIVER}_bucket", le="600.0") == 1


def test_prices_and_reserves_are_told_by_direction(work: Work) -> None:
    """The second price of 20 for a reserve of 30; what is sold counts apart."""
    read = Watched(work)
    award(work, 10, 20)
    assert read("tasks_awarded_credits_total", direction="procurement") == 20
    assert read("tasks_reserve_credits_total", direction="procurement") == 30
    assert read("tasks_awarded_credits_total", direction="sale") == 0
    assert read("tasks_awards_total", direction="procurement", pricing="second_price") == 1


def test_what_has_not_happened_is_0(work: Work) -> None:
    """What Prometheus has not seen as 0 it does not see grow, so every outcome is there before it comes about."""
    read = Watched(work)
    assert read("settlements_final_total", outcome="failed") == 0
    assert read("tasks_ended_total", outcome="unfunded") == 0
    assert read("disputes_decided_total", verdict="no_majority") == 0
    assert read("packages_determined_total", by="greedy", pricing="pay_as_bid") == 0
    award(work, 10, 20)
    view = work.settlement()
    work.must(view.provider, GiveUp, settlement=1, fencing_token=view.fencing_token)
    assert read("settlements_final_total", outcome="failed") == 1


def test_the_oldest_dispute_tells_since_when(work: Work) -> None:
    """It is a time and not an age: while a panel is at work nothing of it changes."""
    read = Watched(work)
    assert read("disputes_oldest_timestamp_seconds") == 0
    award(work, 10, 20)
    award(work, 10, 20)
    for number in (1, 2):
        work.deliver(number)
        work.advance_to(work.time_us + MINUTE_US)
        work.must("poster", OpenDispute, family="settlements", number=number, statement="it is not there")
        if number == 1:
            opened = work.time_us / 1_000_000
        assert read("disputes_oldest_timestamp_seconds") == opened
    assert read("disputes_open") == 2


def test_forced_debits_are_counted_with_what_is_owed_since(work: Work) -> None:
    """Of 130 that are debited by force 100 are there: the rest is a lien."""
    read = Watched(work)
    cashier = work.engine.context.cashier
    assert cashier.charge("ann", "poster", 130 * CREDIT, "tasks:1") == 100 * CREDIT
    assert cashier.charge("ann", "ann", CREDIT, "tasks:1") == CREDIT
    assert cashier.charge("ann", "poster", 0, "tasks:1") == 0
    assert read("payments_forced_debits_total") == 1
    assert read("payments_forced_debit_credits_total") == 130
    assert read("payments_lien_credits") == 30


def test_every_mechanism_of_work_was_busy() -> None:
    """The venues that the tests of panels, alerts and documents look at have done some of everything."""
    total = scraped().total
    for name in (
        "payments_forced_debits_total",
        "settlements_final_total",
        "settlements_time_to_deliver_seconds_count",
        "disputes_decided_total",
        "leases_ended_total",
        "tasks_awards_total",
        "contracts_bound_total",
        "debts_issued_total",
        "expertise_ratings_total",
        "externalities_reported_total",
        "packages_determined_total",
        "property_moved_total",
        "assurance_reached_total",
        "governance_proposals_total",
        "predictions_forecasters_total",
    ):
        assert total(f"exchange_{name}") > 0, name


def test_no_two_metrics_share_a_name() -> None:
    """The strict parser of OpenMetrics, which Prometheus asks for, reads the page of a busy venue."""
    families = list(text_string_to_metric_families(scraped().page.decode()))
    names = {family.name for family in families}
    assert len(names) == len(families)
    for family in WORK:
        assert any(name.startswith(f"exchange_{family}_") for name in names)


def test_open_metrics_are_what_a_scrape_with_its_header_gets(work: Work) -> None:
    """The page above is in the format that it says it is."""
    page, kind = Watched(work).metrics.render(OPEN_METRICS)
    assert kind.startswith("application/openmetrics-text")
    assert re.search(rb"^# EOF$", page, re.MULTILINE)
