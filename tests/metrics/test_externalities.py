"""Metrics of externalities: counts, credits and rates of what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.neighbours import Neighbours
from tests.core.work import CREDIT

if TYPE_CHECKING:
    from exchange.mechanisms.tally import Row


def figure(venue: Neighbours, name: str, **labels: str) -> int:
    rows: list[Row] = list(venue.engine.mechanisms["externalities"].metrics())
    (value,) = [value for found, _, given, value in rows if found == name and given == labels]
    return value


def test_levies_are_counted_while_they_wait_and_when_they_end() -> None:
    venue = Neighbours()
    venue.break_(declared=20, bens=50, cids=20)
    venue.report(**venue.broken(bens=10), reference="another")
    assert figure(venue, "levies", state="open") == 2
    assert figure(venue, "waiting_credits") == 9 * CREDIT
    assert figure(venue, "stake_credits") == 100 * CREDIT
    assert figure(venue, "change_bond_credits") == 13 * CREDIT
    assert figure(venue, "declared_changes") == 1
    assert figure(venue, "doubled_total") == 1
    assert figure(venue, "levied_credits_total", kind="coupling") == 0
    venue.accept(1)
    venue.dispute(2)
    assert figure(venue, "levies", state="disputed") == 1
    venue.decide(2, upheld=True)
    assert figure(venue, "levied_credits_total", kind="coupling") == 7 * CREDIT
    assert figure(venue, "units_total", kind="coupling") == 70
    assert figure(venue, "forfeited_stake_credits_total") == 50 * CREDIT
    assert figure(venue, "ended_total", kind="coupling", outcome="accepted") == 1
    assert figure(venue, "ended_total", kind="coupling", outcome="overturned") == 1


def test_rates_are_shown_as_they_are_now() -> None:
    venue = Neighbours()
    assert figure(venue, "rate_credits", kind="coupling") == 10 * CREDIT
    assert figure(venue, "rate_credits", kind="blocking") == 2 * CREDIT
