"""Market data is whole or asked for again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.messages.orders import BboMessage, BookMessage, BookResult, GetBook, Trade, TradesMessage
from tests.sdk.doubles import ScriptedVenue, connected, run

if TYPE_CHECKING:
    from agent_sdk import Book


class Feeder:
    """Change the book of a scripted venue and publish what changed."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self.venue = venue
        self.prev = 0
        self.levels: dict[int, int] = {}

    def bid(self, price: int, quantity: int, *, publish: bool = True) -> BookMessage:
        """Set one bid level."""
        venue = self.venue
        venue.index += 1
        if quantity:
            self.levels[price] = quantity
        else:
            self.levels.pop(price, None)
        venue.bids = sorted(self.levels.items(), reverse=True)
        message = BookMessage(
            epoch=venue.epoch,
            seq=venue.index,
            prev=self.prev,
            market="cpu",
            venue_time_us=venue.now_us,
            snapshot=not self.prev,
            bids=venue.bids if not self.prev else [(price, quantity)],
        )
        self.prev = venue.index
        if publish:
            venue.publish("cpu.book", message)
        return message

    def trade(self, trade_id: int, *, publish: bool = True) -> None:
        """Trade once."""
        venue = self.venue
        venue.index += 1
        trade = Trade(trade_id, "cpu", 5_000_000, 2, "buy", venue.now_us)
        venue.trades.append(trade)
        message = TradesMessage(
            epoch=venue.epoch,
            seq=venue.index,
            prev=self.prev,
            market="cpu",
            venue_time_us=venue.now_us,
            trades=[trade],
        )
        self.prev = venue.index
        if publish:
            venue.publish("cpu.trades", message)


def levels(book: Book) -> dict[int, int]:
    """Return the bids of a book in smallest units."""
    return {int(level.price * 1_000_000): int(level.quantity) for level in book.bids}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(0, 3),
            st.sampled_from(["ok", "ok", "lost", "twice", "epoch", "wait"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_a_followed_book_ends_as_the_venues(changes: list[tuple[int, int, str]]) -> None:
    """Whatever is lost or repeated, the reader's book becomes the venue's book."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.bid(10_000, 1)
        seen: list[Book] = []

        async with connected(venue) as agent:

            async def follow() -> None:
                async for book in agent.books("cpu"):
                    seen.append(book)

            follower = asyncio.create_task(follow())
            for price, quantity, fate in changes:
                if fate == "wait":
                    await asyncio.sleep(0.01)
                if fate == "epoch":
                    venue.epoch += 1
                    feeder.prev = 0
                message = feeder.bid(price * 10_000, quantity, publish=fate != "lost")
                if fate == "twice":
                    venue.publish("cpu.book", message)
            await asyncio.sleep(0.1)
            venue.beat(cpu__book=feeder.prev)
            venue.beat(cpu__book=feeder.prev)
            await asyncio.sleep(1)
            assert levels(seen[-1]) == feeder.levels
            assert [book.index for book in seen] == sorted(book.index for book in seen)
        await follower

    run(main())


def test_a_broken_chain_asks_for_the_book_once() -> None:
    """One lost delta is one query, and deltas that came meanwhile go on top."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.bid(10_000, 1)
        async with connected(venue) as agent:
            books = agent.books("cpu")
            assert levels(await anext(books)) == {10_000: 1}
            feeder.bid(20_000, 2, publish=False)
            feeder.bid(30_000, 3)
            feeder.bid(40_000, 4)
            assert levels(await anext(books)) == {10_000: 1, 20_000: 2, 30_000: 3, 40_000: 4}
            assert sum(isinstance(query, GetBook) for query in venue.queries) == 2

    run(main())


def test_a_change_that_overtakes_the_answer_goes_on_top() -> None:
    """A delta that comes while the book is being fetched needs no second query."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.bid(10_000, 1)
        async with connected(venue) as agent:
            books = agent.books("cpu")
            await anext(books)

            def answer(query: GetBook) -> object:
                result = BookResult(market="cpu", phase="open", bids=list(venue.bids), asks=[], index=venue.index)
                if len(feeder.levels) == 3:
                    feeder.bid(40_000, 4)
                return result if query.depth else None

            venue.answers[GetBook] = answer
            feeder.bid(20_000, 2, publish=False)
            feeder.bid(30_000, 3)
            while len((book := await anext(books)).bids) < 4:
                pass
            assert levels(book) == feeder.levels
            feeder.bid(50_000, 5)
            assert levels(await anext(books)) == feeder.levels
            assert sum(isinstance(query, GetBook) for query in venue.queries) == 2

    run(main())


def test_an_old_change_that_comes_again_changes_nothing() -> None:
    """A message from before what is known, or from a replaced leader, is left out."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.bid(10_000, 1)
        async with connected(venue) as agent:
            books = agent.books("cpu")
            await anext(books)
            old = feeder.bid(20_000, 1)
            feeder.bid(20_000, 2)
            venue.publish("cpu.book", old)
            assert levels(await anext(books)) == {10_000: 1, 20_000: 2}

    run(main())


def test_trades_are_delivered_once_from_now_on() -> None:
    """Old trades are not repeated; lost ones are fetched, in order."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.trade(1)
        async with connected(venue) as agent:
            got: list[int] = []

            async def follow() -> None:
                async for trade in agent.trades("cpu"):
                    assert not trade.gap_before
                    got.append(trade.id)

            follower = asyncio.create_task(follow())
            await asyncio.sleep(0.1)
            feeder.trade(2)
            feeder.trade(5, publish=False)
            feeder.trade(6)
            await asyncio.sleep(0.1)
            feeder.trade(9, publish=False)
            venue.transports[0].tell("reconnected")
            await asyncio.sleep(0.1)
            assert got == [2, 5, 6, 9]
        await follower

    run(main())


def test_trades_go_on_after_a_known_one() -> None:
    """Whoever names the newest trade that it knows misses none of those before the venue answers."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        async with connected(venue) as agent:
            assert await agent.recent_trades("cpu") == []
            feeder.trade(1)
            from_the_first = agent.trades("cpu", after=0)
            assert (await anext(from_the_first)).id == 1
            known = (await agent.recent_trades("cpu"))[-1].id
            feeder.trade(2)
            feeder.trade(3)
            trades = agent.trades("cpu", after=known)
            assert [(await anext(trades)).id for _ in range(2)] == [2, 3]
            feeder.trade(4)
            assert (await anext(trades)).id == 4

    run(main())


def test_trades_that_cannot_be_fetched_any_more_are_a_told_gap() -> None:
    """When more was missed than the venue can list, the next trade says so."""

    async def main() -> None:
        venue = ScriptedVenue()
        feeder = Feeder(venue)
        feeder.trade(1)
        async with connected(venue) as agent:
            trades = agent.trades("cpu")
            first = asyncio.ensure_future(anext(trades))
            await asyncio.sleep(0.1)
            for trade_id in range(2, 1_203):
                feeder.trade(trade_id, publish=trade_id == 1_202)
            trade = await first
            assert (trade.id, trade.gap_before) == (203, True)
            assert not (await anext(trades)).gap_before

    run(main())


def test_the_best_prices_are_present_then_latest() -> None:
    """First comes how things stand, phase included, then the latest message; heartbeats find a silent loss."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.bids, venue.phase = [(5_000_000, 3)], "auction"
        async with connected(venue) as agent:
            bbos = agent.bbo("cpu")
            first = await anext(bbos)
            assert first.bid is not None
            assert (str(first.bid.price), str(first.bid.quantity), first.ask, first.phase) == (
                "5.000000",
                "3",
                None,
                "auction",
            )

            def publish(seq: int, prev: int, ask: int) -> None:
                venue.index = seq
                message = BboMessage(
                    epoch=1,
                    seq=seq,
                    prev=prev,
                    market="cpu",
                    venue_time_us=venue.now_us,
                    phase="open",
                    ask=ask,
                    ask_quantity=1,
                )
                venue.publish("cpu.bbo", message)

            publish(20, 0, 6_000_000)
            publish(21, 20, 7_000_000)
            latest = await anext(bbos)
            assert latest.ask is not None
            assert (str(latest.ask.price), latest.phase, latest.index) == ("7.000000", "open", 21)
            venue.index, venue.asks = 30, [(8_000_000, 1)]
            following = asyncio.ensure_future(anext(bbos))
            await asyncio.sleep(0)
            venue.beat(cpu__bbo=30)
            venue.beat(cpu__bbo=30)
            assert (await following).ask is not None
            assert (await following).index == 30

    run(main())


@pytest.mark.parametrize("market", ["", "a.b", "*", ">", "cpu.book", "a b"])
def test_a_market_name_cannot_change_the_subject(market: str) -> None:
    """What is no market name is refused before anything is subscribed."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(ValueError, match="no market name"):
                agent.trades(market)

    run(main())


def test_an_ended_feed_unsubscribes() -> None:
    """Closing the iterator ends the subscription and the listening."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            before = len(agent._connection.listeners)
            books = agent.books("cpu")
            await anext(books)
            await books.aclose()  # type: ignore[attr-defined]
            assert len(agent._connection.listeners) == before
            assert venue.transports[0]._subscribers["exchange.v1.md.cpu.book"] == []

    run(main())
