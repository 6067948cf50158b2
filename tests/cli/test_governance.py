"""Parameters, proposals and the public fund on the command line of a real venue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from exchange.mechanisms.governance.parameters import PARAMETERS
from tests.cli.conftest import Call
from tests.cli.program import Serving, run_json


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue where votes take seconds, and two owners."""
    data = tmp_path_factory.mktemp("venue") / "data"
    settings = ("voting=quadratic", "voting_seconds=4", "enactment_lock_seconds=1", "min_auction_seconds=1")
    run_json("init", "--data", data, *(flag for setting in settings for flag in ("--setting", setting)))
    with Serving(data) as serving:
        for name in ("ann", "ben"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        yield serving


def acting(venue: Serving, name: str) -> tuple[object, ...]:
    """Return the flags to act as an agent."""
    return ("--data", venue.data, "--creds", venue.data / "creds" / f"{name}.creds")


def told(call: Call, *arguments: object) -> Any:
    """Return what a command prints as JSON."""
    done = call(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def failed(call: Call, *arguments: object) -> str:
    """Return what a command that cannot be done says, which is no traceback."""
    done = call(*arguments)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def test_every_parameter_is_shown(call: Call, venue: Serving) -> None:
    """As JSON with every field, and as a table."""
    as_ann = acting(venue, "ann")
    listed = told(call, "parameter", "list", *as_ann)
    assert [found["name"] for found in listed] == list(PARAMETERS)
    premium = listed[0]
    assert (premium["value"], premium["unit"], premium["is_dynamic"], premium["target"]) == ("250000", "ppm", True, 5)
    table = call("parameter", "list", *as_ann).stdout
    assert all(name in table for name in PARAMETERS)
    shown = call("parameter", "show", "harberger_rate_bp", *as_ann).stdout
    assert "500" in shown
    assert "basis points" in shown
    assert told(call, "parameter", "show", "coupling_rate", *as_ann)["value"] == "10.000000"
    assert "see `exchange parameter list`" in failed(call, "parameter", "show", "supply", *as_ann)


def test_a_proposal_goes_from_open_to_enacted(call: Call, venue: Serving) -> None:
    """Every step is a command; what has ended is told by `follow`, which ends with it."""
    as_ann, as_ben = acting(venue, "ann"), acting(venue, "ben")
    opened = told(call, "proposal", "open", "endowment", "12.5", "--detail", "we are many", *as_ann)
    assert opened == {"id": opened["id"], "deposit": "10.000000"}
    number = opened["id"]
    assert told(call, "proposal", "vote", number, "--votes", 2, *as_ben) == {"weight": 2, "paid": "4.000000"}
    assert "against" in call("proposal", "vote", number, "--against", *as_ann).stdout
    (ann, ben) = sorted(told(call, "proposal", "show", number, "--ballots", *as_ann), key=lambda row: row["owner"])
    assert (ann["in_favour"], ben["weight"]) == (False, 2)
    assert "endowment = 12.5" in call("proposal", "list", *as_ben).stdout
    lines = call("proposal", "follow", number, "--seconds", 20, *as_ben).stdout.splitlines()
    assert "enacted; 2 for, 1 against" in lines[-1]
    assert told(call, "parameter", "show", "endowment", *as_ben)["value"] == "12.500000"
    shown = call("proposal", "show", number, *as_ben).stdout
    assert "enacted: it was done" in shown
    assert number in [found["id"] for found in told(call, "proposal", "list", "--ended", *as_ben)]


def test_what_the_fund_is_for_is_proposed(call: Call, venue: Serving) -> None:
    as_ann = acting(venue, "ann")
    work = told(
        call, "proposal", "open-work", "write docs", "--effort", "2h", "--reserve", 5, "--skill", "docs", *as_ann
    )
    shown = told(call, "proposal", "show", work["id"], *as_ann)
    assert (shown["kind"], shown["effort_minutes"], shown["work_seconds"], shown["skills"]) == (
        "work", 120, 604_800, ["docs"],
    )  # fmt: skip
    share = told(call, "proposal", "open-share", 3, *as_ann)
    assert "share 3" in call("proposal", "show", share["id"], *as_ann).stdout
    fund = told(call, "proposal", "fund", *as_ann)
    assert fund["supply"] == "1000000000.000000"
    assert fund["day_ends_us"] is not None
    assert "circulating" in call("proposal", "fund", *as_ann).stdout


def test_mistakes_are_explained(call: Call, venue: Serving) -> None:
    as_ben = acting(venue, "ben")
    assert "credits are conserved" in failed(call, "proposal", "open", "supply", 1, *as_ben)
    assert "from 0 to 10000000000" in failed(call, "proposal", "open", "endowment", 10_001, *as_ben)
    assert "decimals" in failed(call, "proposal", "open", "confirm_seconds", "0.5", *as_ben)
    assert "no public good 9" in failed(call, "proposal", "open-subsidy", 9, 1, *as_ben)
    assert "at least a minute" in failed(call, "proposal", "open-work", "x", "--effort", "1s", "--reserve", 1, *as_ben)
    assert "there is no proposal 99" in failed(call, "proposal", "show", 99, *as_ben)
    assert "no proposal 99" in failed(call, "proposal", "vote", 99, *as_ben)
