"""Prediction markets on the command line of a real venue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import Call
from tests.cli.program import Serving, run_json


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with a creator, two traders and an attester."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "min_auction_seconds=1")
    with Serving(data) as serving:
        for name in ("poster", "ann", "ben"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        run_json("agent", "add", "ci", "--owner", "ci", "--role", "attester", "--endowment", 0, "--data", data)
        yield serving


def acting(venue: Serving, name: str) -> tuple[object, ...]:
    """Return the flags to act as an agent."""
    return ("--data", venue.data, "--creds", venue.data / "creds" / f"{name}.creds")


def told(call: Call, *arguments: object) -> Any:
    """Return what a command prints as JSON."""
    done = call(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_market_goes_from_opening_to_payout(call: Call, venue: Serving) -> None:
    """Every step is a command, and tells what there is to tell, in words and as JSON."""
    poster, ann, ben, ci = (acting(venue, name) for name in ("poster", "ann", "ben", "ci"))
    times = ("--closes-in", "1h", "--resolve-in", "1d", "--resolver", "ci")
    market = told(call, "prediction", "open", "rain on Friday", *times, *poster)
    number = market["id"]
    assert (market["state"], market["subsidy"]) == ("open", "6.931472")
    assert "5 of yes cost 2.809299" in call("prediction", "quote", number, "yes", 5, *ann).stdout
    assert told(call, "prediction", "buy", number, "yes", 5, "--max-cost", 3, *ann)["amount"] == "2.809299"
    assert "bought 2.5 of no" in call("prediction", "buy", number, "no", "2.5", "--max-cost", 3, *ben).stdout
    assert told(call, "prediction", "sell", number, "yes", 1, *ann)["shares"] == "4.000000"
    assert "4.000000 yes" in call("prediction", "shares", *ann).stdout
    assert told(call, "prediction", "shares", *ben)[0]["shares"] == {"yes": "0.000000", "no": "2.500000"}
    shown = call("prediction", "show", number, *ben).stdout
    assert "rain on Friday" in shown
    assert "4.000000 shares" in shown
    assert "yes 53.7%" in call("prediction", "list", *ben).stdout
    assert number in [found["id"] for found in told(call, "prediction", "list", *ben)]
    assert told(call, "prediction", "resolve", number, "void", *ci)["state"] == "reported"
    assert "void" in call("prediction", "show", number, *ben).stdout


def test_orders_in_a_market_of_complete_sets(call: Call, venue: Serving) -> None:
    poster, ann, ben = (acting(venue, name) for name in ("poster", "ann", "ben"))
    times = ("--closes-in", "1h", "--resolve-in", "1d", "--resolver", "ci")
    outcomes = ("--outcome", "red", "--outcome", "blue")
    number = told(call, "prediction", "open", "which", *times, *outcomes, "--kind", "book", *poster)["id"]
    placed = told(call, "prediction", "place", number, "red", "buy", 5, "0.60", *ann)
    assert placed["remaining"] == "5.000000"
    assert (
        "2.000000 filled for 0.800000"
        in call("prediction", "place", number, "blue", "buy", 2, "0.45", "--immediate", *ben).stdout
    )
    assert "bid 0.600000 for 3.000000" in call("prediction", "show", number, *ben).stdout
    listed = call("prediction", "orders", number, *ann).stdout.split()
    assert listed[-5:] == [str(placed["id"]), "buy", "red", "0.600000", "3.000000"]
    assert "canceled" in call("prediction", "cancel", number, placed["id"], *ann).stdout
    assert "no open orders" in call("prediction", "orders", number, *ann).stdout
    assert told(call, "prediction", "orders", number, *ann) == []
    assert told(call, "prediction", "mint", number, 2, *ben) == {"amount": "2.000000", "shares": "2.000000"}
    assert "got 1.000000 for 1 of every outcome; 1.000000 sets are yours" in (
        call("prediction", "merge", number, 1, *ben).stdout
    )


def test_who_loses_claims_something_else_or_accepts(call: Call, venue: Serving) -> None:
    poster, ann, ben, ci = (acting(venue, name) for name in ("poster", "ann", "ben", "ci"))
    times = ("--closes-in", "1h", "--resolve-in", "1d", "--resolver", "ci")
    number = told(call, "prediction", "open", "snow on Friday", *times, *poster)["id"]
    assert told(call, "prediction", "buy", number, "no", 5, "--max-cost", 5, *ann)["shares"] == "5.000000"
    assert told(call, "prediction", "resolve", number, "yes", *ci)["state"] == "reported"
    assert "if upheld, comes to void" in call("prediction", "claim", number, "void", *ann).stdout
    refused = call("prediction", "accept", number, *ben)
    assert refused.returncode == 1
    assert "does not go against ben" in refused.stderr
    assert f"market {number} is resolved" in call("prediction", "accept", number, *ann).stdout


def test_a_market_about_a_task(call: Call, venue: Serving) -> None:
    poster = acting(venue, "poster")
    terms = ("--effort", "90m", "--reserve", 20, "--due-in", "1d", "--closes-in", "1h")
    task = told(call, "task", "post", "mend it", *terms, *poster)["id"]
    market = told(call, "prediction", "open", "done by Friday?", "--task", task, "--liquidity", 5, *poster)
    assert (market["state"], market["task"], market["subsidy"]) == ("pending", task, "3.465736")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("open", "rain"), "--resolver"),
        (("open", "rain", "--task", 1, "--resolver", "ci"), "leave out --resolver"),
        (("open", "rain", "--task", 999), "no task 999"),
        (("show", 999), "there is no prediction market 999"),
        (("resolve", 999, "yes"), "there is no prediction market 999"),
        (("buy", 999, "yes", 1, "--max-cost", 1), "no prediction market 999"),
        (("buy", 1, "yes", "much", "--max-cost", 1), "no number"),
        (("buy", 1, "yes", "0.0000001", "--max-cost", 1), "more than the 6 decimals"),
        (("cancel", 999, 1), "no prediction market 999"),
        (("orders", 999), "no prediction market 999"),
        (("claim", 999, "void"), "there is no prediction market 999"),
        (("accept", 999), "no prediction market 999"),
        (("mint", 1, 0), "sets"),
    ],
)
def test_mistakes_are_explained(call: Call, venue: Serving, arguments: tuple[object, ...], words: str) -> None:
    done = call("prediction", *arguments, *acting(venue, "poster"))
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
