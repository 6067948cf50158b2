"""Technical debt on the command line of a real venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import Serving, run_json
from tests.cli.test_work import acting, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Call


DUE = ("--matures-in", "9d")
ANN = ("--beneficiary", "ann")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with auctions of a second, and three agents."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "min_auction_seconds=1")
    with Serving(data) as serving:
        for name in ("issuer", "ann", "cid"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        yield serving


def issue(call: Call, venue: Serving, *more: object) -> int:
    terms = ("--principal-hours", 20, "--interest-hours", "2.5", "--matures-in", "180d", "--beneficiary", "ann=3")
    found = told(call, "debt", "issue", "the parser", *terms, *more, *acting(venue, "issuer"))
    assert (found["principal_hours"], found["interest_hours_per_month"]) == ("20.000", "2.500")
    assert (found["state"], found["beneficiaries"]) == ("proposed", {"ann": 3})
    return int(found["id"])


def test_a_debt_goes_from_issue_to_repaid(call: Call, venue: Serving) -> None:
    """Every step is a command, and tells what there is to tell as JSON; people read it in words."""
    as_issuer, as_ann, as_cid = (acting(venue, name) for name in ("issuer", "ann", "cid"))
    number = issue(call, venue)
    assert told(call, "debt", "sign", number, *as_ann)["state"] == "open"
    assert told(call, "debt", "choose-interest", number, "paid", *as_issuer)["is_interest_paid"] is True
    assert "added to the hours" in call("debt", "choose-interest", number, "added", *as_issuer).stdout
    offer = told(call, "debt", "offer", number, "15.5", "--taker", "cid", "--lasts", "1h", *as_issuer)["offer"]
    assert f"offer {offer} of 15.500000 to cid, until 20" in call("debt", "list", "--for-sale", *as_cid).stdout
    assert "is yours to repay" in call("debt", "take", number, offer, *as_cid).stdout
    claim = told(call, "debt", "repay", number, 20, "pr/8", *as_cid)["claim"]
    shown = call("debt", "show", number, *as_ann).stdout
    assert f"claim {claim} of 20.000 h by cid, claimed, pr/8" in shown
    assert "ann=3" in shown
    assert told(call, "debt", "confirm", claim, *as_ann) == {"claim": claim, "confirmed": True}
    assert told(call, "debt", "show", number, *as_cid)["outcome"] == "repaid"
    assert "no debts" in call("debt", "list", *as_cid).stdout


def test_a_debt_is_auctioned(call: Call, venue: Serving) -> None:
    as_issuer, as_ann, as_cid = (acting(venue, name) for name in ("issuer", "ann", "cid"))
    number = issue(call, venue)
    call("debt", "sign", number, *as_ann)
    assert told(call, "debt", "auction", number, 30, "--closes-in", "60s", *as_issuer)["sale"]["pay"] == "30.000000"
    assert "sealed" in call("debt", "bid", number, 12, *as_cid).stdout
    assert "own bid 12.000000" in call("debt", "show", number, *as_cid).stdout
    assert "own bid" not in call("debt", "show", number, *as_ann).stdout
    assert "withdrawn" in call("debt", "withdraw-bid", number, *as_cid).stdout
    assert told(call, "debt", "withdraw-sale", number, *as_issuer)["sale"] is None


def test_totals_say_how_far_a_crisis_is(call: Call, venue: Serving) -> None:
    as_ann = acting(venue, "ann")
    assert told(call, "debt", "totals", *as_ann)["is_crisis"] is False
    assert "40.000 h overdue, if that is more than 20 % of what is owed" in call("debt", "totals", *as_ann).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", 99), "there is no debt 99, or it ended long ago; see `exchange debt list`"),
        (("sign", 99), "no debt 99"),
        (("issue", "x", "--principal-hours", 1, *DUE, "--beneficiary", "ann=x"), "such as ann=3"),
        (("issue", "x", "--principal-hours", 1, *DUE, *ANN, *ANN), "name every agent once"),
        (("issue", "x", "--principal-hours", "0.0001", *DUE, *ANN), "decimals"),
    ],
)
def test_mistakes_are_explained(call: Call, venue: Serving, arguments: tuple[object, ...], message: str) -> None:
    done = call("debt", *arguments, *acting(venue, "issuer"))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_debt_is_declined(call: Call, venue: Serving) -> None:
    number = issue(call, venue)
    assert told(call, "debt", "decline", number, *acting(venue, "ann"))["outcome"] == "declined"
