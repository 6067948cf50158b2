"""``exchange task show`` says why who won has won, and ``exchange liens`` who owes whom: in words and as JSON."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from agent_sdk import Agent, TaskAwarded, TaskEnded, connect
from tests.cli.conftest import Call
from tests.cli.program import Serving, run_json
from tests.cli.test_work import act, acting, told


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with auctions of a second, a poster, and bidders of whom one has nothing."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "min_auction_seconds=1")
    with Serving(data) as serving:
        for name, endowment in (("poster", 1_000), ("ann", 100), ("ben", 100), ("cid", 100), ("poor", 0)):
            run_json("agent", "add", name, "--owner", name, "--endowment", endowment, "--data", data)
        yield serving


class Auction:
    """Hold an auction that has closed, as everybody may see it."""

    def __init__(self, call: Call, venue: Serving, number: int) -> None:
        viewer = acting(venue, "cid")
        self.words = " ".join(call("task", "show", number, *viewer).stdout.split())
        self.facts = told(call, "task", "show", number, *viewer)

    def fact(self, *names: str) -> tuple[Any, ...]:
        return tuple(self.facts[name] for name in names)


def auction(call: Call, venue: Serving, *bids: tuple[str, object], **terms: object) -> Auction:
    """Post a task with a reserve of 20, let agents bid at once, and wait until it has closed."""
    return Auction(call, venue, asyncio.run(_auction(venue, bids, terms)))


async def _auction(venue: Serving, bids: tuple[tuple[str, object], ...], terms: dict[str, object]) -> int:
    async with contextlib.AsyncExitStack() as stack:
        agents: dict[str, Agent] = {}
        for name in ("poster", *(name for name, _ in bids)):
            creds = venue.data / "creds" / f"{name}.creds"
            agents[name] = await stack.enter_async_context(connect(venue.facts["url"], creds))
        # All are connected, so that they bid within the second or two that there is.
        events = aiter(agents["poster"].events())
        fields = {"effort_minutes": 60, "reserve": 20, "deadline_in": 86_400.0, "closes_in": 2.0, **terms}
        number = (await agents["poster"].tasks.post("mend it", **fields)).id  # type: ignore[arg-type]
        for name, price in bids:
            await agents[name].tasks.bid(number, price)  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while not isinstance(await anext(events), TaskAwarded | TaskEnded):
                pass
        return number


def test_before_the_close_nothing_is_told(call: Call, venue: Serving) -> None:
    terms = ("--effort", "1h", "--reserve", 20, "--due-in", "1d")
    number = told(call, "task", "post", "mend it", *terms, *acting(venue, "poster"))["id"]
    told(call, "task", "bid", number, "12.3456", *acting(venue, "ann"))
    assert "bid_above_reserve" in call("task", "bid", number, "20.01", *acting(venue, "ben")).stderr
    shown = Auction(call, venue, number)
    why = "bids are sealed until the auction closes"
    assert shown.fact("state", "why", "winner", "price", "bids") == ("open", why, None, None, None)
    assert f"why {why}" in shown.words
    assert "12.3456" not in shown.words


def test_of_several_bids_the_second_price_is_paid(call: Call, venue: Serving) -> None:
    """The lowest of 3 bids is 12; it is paid 15.5, the best that lost."""
    shown = auction(call, venue, ("ann", "15.5"), ("ben", 12), ("cid", 18))
    assert shown.fact("state", "winner", "price", "bids") == ("awarded", "ben", "15.500000", 3)
    why = "the lowest of 3 bids won, and is paid the best losing bid, which the reserve bounds"
    assert shown.facts["why"] == why
    assert f"why {why}" in shown.words
    assert "winner ben price 15.500000 bids 3" in shown.words


def test_the_only_bid_is_paid_the_reserve(call: Call, venue: Serving) -> None:
    shown = auction(call, venue, ("ann", 12))
    assert shown.fact("winner", "price", "reserve", "bids") == ("ann", "20.000000", "20.000000", 1)
    why = "the only bid won, and is paid the reserve"
    assert shown.facts["why"] == why
    assert f"why {why}" in shown.words


def test_by_first_price_the_winner_is_paid_its_bid(call: Call, venue: Serving) -> None:
    """Of two bids of 12 the earlier has won."""
    shown = auction(call, venue, ("ann", 15), ("ben", 12), ("cid", 12), pricing="first_price")
    assert shown.fact("pricing", "winner", "price", "bids") == ("first_price", "ben", "12.000000", 3)
    why = "the lowest bid won, and is paid what it bid; of equal bids the earlier one"
    assert shown.facts["why"] == why
    assert f"why {why}" in shown.words
    assert "procurement, first_price" in shown.words


def test_in_a_sale_the_highest_bid_pays_the_second_price(call: Call, venue: Serving) -> None:
    shown = auction(call, venue, ("ann", 25), ("ben", 40), direction="sale", reward=5)
    assert shown.fact("direction", "winner", "price") == ("sale", "ben", "25.000000")
    why = "the highest of 2 bids won, and pays the best losing bid, which the reserve bounds"
    assert shown.facts["why"] == why
    assert f"why {why}" in shown.words


def test_the_only_bid_of_a_sale_pays_the_reserve(call: Call, venue: Serving) -> None:
    shown = auction(call, venue, ("ann", 25), direction="sale", reward=5)
    assert shown.fact("winner", "price") == ("ann", "20.000000")
    assert shown.facts["why"] == "the only bid won, and pays the reserve"


@pytest.mark.parametrize(
    ("pricing", "why"),
    [
        ("second_price", "the lowest of 2 bids won, and is paid the best losing bid, which the reserve bounds"),
        ("first_price", "the lowest bid won, and is paid what it bid; of equal bids the earlier one"),
    ],
)
def test_a_critical_task_is_paid_its_floor(call: Call, venue: Serving, pricing: str, why: str) -> None:
    """The bids are 4 and 6, but the venue lets nobody do critical work for less than 10."""
    shown = auction(call, venue, ("ann", 4), ("ben", 6), critical=True, min_reputation=50, pricing=pricing)
    assert shown.fact("winner", "price") == ("ann", "10.000000")
    floor = f"{why}; critical work is paid no less than the venue's floor"
    assert shown.facts["why"] == floor
    assert f"why {floor}" in shown.words


def test_an_auction_without_bids_awards_nothing(call: Call, venue: Serving) -> None:
    shown = auction(call, venue)
    assert shown.fact("state", "winner", "price", "bids", "outcome") == ("unawarded", None, None, None, "no_bids")
    why = "no bid could win; nothing is shown of an auction without an award"
    assert shown.facts["why"] == why
    assert f"why {why}" in shown.words
    assert "winner" not in shown.words


def test_nobody_wins_what_was_canceled(call: Call, venue: Serving) -> None:
    """Who bid is not told, nor that anybody did."""
    terms = ("--effort", "1h", "--reserve", 20, "--due-in", "1d")
    number = told(call, "task", "post", "never mind", *terms, *acting(venue, "poster"))["id"]
    told(call, "task", "bid", number, 12, *acting(venue, "ann"))
    told(call, "task", "cancel", number, *acting(venue, "poster"))
    shown = Auction(call, venue, number)
    assert shown.fact("state", "winner", "bids", "outcome") == ("canceled", None, None, "canceled")
    assert shown.facts["why"] == "it was taken back before an award"
    assert "why it was taken back before an award" in shown.words


def test_a_debt_is_listed(call: Call, venue: Serving) -> None:
    """Who has nothing may win once without putting its bond into escrow; giving up, it owes it."""
    number = auction(call, venue, ("poor", 12), bond=3).facts["settlement"]
    told(call, "settlement", "give-up", number, *acting(venue, "poor"))
    cause = f"settlements:{number}"
    for flags in (acting(venue, "poor"), acting(venue, "poster"), ("--data", venue.data)):
        (lien,) = told(call, "liens", *flags)
        assert (lien["debtor"], lien["creditor"], lien["amount"], lien["cause"]) == (
            "poor",
            "poster",
            "3.000000",
            cause,
        )
        (line,) = [line for line in call("liens", *flags).stdout.splitlines() if cause in line]
        assert line.split()[1:5] == ["poor", "poster", "3.000000", cause]
    assert told(call, "liens", *acting(venue, "ann")) == []
    # Of the 8 that it earns a quarter goes to the lien; the rest it pays itself.
    number = auction(call, venue, ("poor", 8), bond=0, reserve=8).facts["settlement"]
    told(call, "settlement", "deliver", number, "pr/8", *acting(venue, "poor"))
    told(call, "settlement", "confirm", number, *acting(venue, "poster"))
    (lien,) = told(call, "liens", *acting(venue, "poor"))
    assert lien["amount"] == "1.000000"
    act(venue, "poor", lambda agent: agent.payments.pay_liens(1))
    assert told(call, "liens", "--data", venue.data) == []
