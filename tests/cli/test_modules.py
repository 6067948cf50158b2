"""Modules on the command line of a real venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import Serving, run_json
from tests.cli.test_work import acting, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Call


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with two traders of 300 each."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data)
    with Serving(data) as serving:
        for name in ("ann", "ben"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 300, "--data", data)
        yield serving


def test_modules_are_registered_granted_sold_and_let(call: Call, venue: Serving) -> None:
    operator, as_ann, as_ben = ("--data", venue.data), acting(venue, "ann"), acting(venue, "ben")
    found = told(call, "module", "register", "base", "--owner", "ann", *operator)
    assert found["module"] == "base"
    assert "app is registered" in call("module", "register", "app", "--depends-on", "base", *as_ben).stdout
    refused = call("module", "may-write", "base", *as_ben)
    assert (refused.returncode, "ben may not write to base" in refused.stdout) == (1, True)
    told(call, "module", "grant", "base", "ben", *as_ann)
    assert told(call, "module", "may-write", "base", *as_ben)["may_write"] is True
    assert "may not write to base any more" in call("module", "revoke-grant", "base", "ben", *as_ann).stdout
    offer = told(call, "module", "let", "base", "10", "--term", "7d", *as_ann)["offer"]
    rental = told(call, "module", "rent", offer, *as_ben)["rental"]
    assert "10.000000" in call("module", "rentals", *as_ben).stdout
    assert "came back" in call("module", "end-rental", rental, *as_ben).stdout
    assert "to ben" in call("module", "offer", "base", "12.5", "--buyer", "ben", *as_ann).stdout
    assert "for sale" in call("module", "show", "base", *as_ben).stdout
    assert "base is bought" in call("module", "buy", "base", "--max-price", "13", *as_ben).stdout
    assert [each["id"] for each in told(call, "module", "list", "--owner", "ben", *as_ann)] == ["base"]
    assert [each["id"] for each in told(call, "module", "list", "--unowned", *as_ann)] == ["app"]
    assert told(call, "module", "claim", "app", *as_ann)["claim"] == 1


def test_values_are_stated_and_modules_auctioned(call: Call, venue: Serving) -> None:
    operator, as_ann, as_ben = ("--data", venue.data), acting(venue, "ann"), acting(venue, "ben")
    told(call, "module", "register", "taxed", "--owner", "ann", "--regime", "harberger", *operator)
    stated = call("module", "state-value", "taxed", "100", "--deposit", "10", *as_ann).stdout
    assert "taxed is worth 100.000000; its deposit is 10.000000 and lasts until" in stated
    assert told(call, "module", "top-up", "taxed", "5", *as_ann)["value"] == "100.000000"
    assert "its deposit is" in call("module", "withdraw-deposit", "taxed", "2", *as_ann).stdout
    terms = ("--max-price", "100", "--new-value", "120", "--deposit", "8")
    bought = call("module", "buy", "taxed", *terms, *as_ben).stdout
    assert bought.startswith("taxed is bought, and its former owner still writes to it for a while (see may-write)")
    told(call, "module", "register", "plain", "--owner", "ann", *operator)
    assert "is auctioned" in call("module", "auction", "plain", "--closes-in", "2h", *as_ann).stdout
    assert [each["seller"] for each in told(call, "module", "auctions", *as_ben)] == ["ann"]
    assert "plain" in call("module", "auctions", *as_ben).stdout
    told(call, "module", "bid", "plain", "7", *as_ben)
    assert [each["module"] for each in told(call, "module", "bids", *as_ben)] == ["plain"]
    assert "taken back" in call("module", "withdraw-bid", "plain", *as_ben).stdout
    assert "closes" in call("module", "show", "plain", *as_ben).stdout


def test_an_operator_gives_modules_to_agents(call: Call, venue: Serving) -> None:
    operator, as_ben = ("--data", venue.data), acting(venue, "ben")
    told(call, "module", "register", "used", *operator)
    told(call, "module", "register", "free", "--depends-on", "used", *operator)
    assert "free belongs to ben" in call("module", "allocate", "free", "ben", *operator).stdout
    assert "depends on nothing" in call("module", "depend", "free", *as_ben).stdout
    owned = call("module", "regime", "free", "harberger", *operator)
    assert (owned.returncode, "free belongs to ben" in owned.stderr) == (1, True)
    assert "free belongs to nobody" in call("module", "release", "free", *as_ben).stdout
    assert "free is harberger" in call("module", "regime", "free", "harberger", *operator).stdout


def test_offers_auctions_and_rent_are_taken_back_or_in(call: Call, venue: Serving) -> None:
    operator, as_ann, as_ben = ("--data", venue.data), acting(venue, "ann"), acting(venue, "ben")
    told(call, "module", "register", "spare", "--owner", "ann", *operator)
    told(call, "module", "offer", "spare", "3", *as_ann)
    assert "spare is not for sale any more" in call("module", "withdraw-offer", "spare", *as_ann).stdout
    offer, withdrawn = [told(call, "module", "let", "spare", "90", "--term", "2h", *as_ann)["offer"] for _ in range(2)]
    assert f"offer {withdrawn} is taken back" in call("module", "withdraw-let", withdrawn, *as_ann).stdout
    assert call("module", "rent", withdrawn, *as_ben).returncode == 1
    rental = told(call, "module", "rent", offer, *as_ben)["rental"]
    assert "was paid" in call("module", "collect-rent", rental, *as_ann).stdout
    told(call, "module", "auction", "spare", "--closes-in", "2h", *as_ann)
    assert "spare is not auctioned any more" in call("module", "cancel-auction", "spare", *as_ann).stdout


def test_work_is_claimed_and_attested(call: Call, venue: Serving) -> None:
    operator, as_ann, as_ben = ("--data", venue.data), acting(venue, "ann"), acting(venue, "ben")
    run_json("agent", "add", "ci", "--owner", "ci", "--role", "attester", "--endowment", 1, *operator)
    as_ci = acting(venue, "ci")
    told(call, "module", "register", "wild", *as_ann)
    assert "wild is claimed until" in call("module", "claim", "wild", *as_ben).stdout
    assert "the claim to wild is given up" in call("module", "abandon-claim", "wild", *as_ben).stdout
    told(call, "module", "claim", "wild", *as_ben)
    assert "ben works on wild; final" in call("module", "attest-work", "wild", "ben", *as_ci).stdout
    told(call, "module", "register", "checked", "--owner", "ann", *operator)
    check = told(call, "module", "attest-check", "checked", "80", "--reference", "run/7", *as_ci)["attestation"]
    assert f"attestation {check} is final" in call("module", "accept-check", check, *as_ann).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nowhere"), "there is no module nowhere"),
        (("may-write", "nowhere"), "there is no module nowhere"),
        (("buy", "nowhere", "--max-price", "1"), "nowhere"),
        (("state-value", "nowhere", "much"), "much"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    call: Call, venue: Serving, arguments: tuple[str, ...], message: str
) -> None:
    done = call("module", *arguments, *acting(venue, "ben"))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
