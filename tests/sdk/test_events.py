"""Private events are delivered once, in order, without holes that nobody mentions."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sdk import (
    AgentStateChanged,
    Gap,
    OrderFilled,
    OrderPlaced,
    PermissionDenied,
    UnknownEvent,
)
from agent_sdk.events import EventCursor
from exchange.messages import admin, orders
from exchange.messages.base import Event
from exchange.messages.venue import GetAccount, GetEvents
from tests.sdk.doubles import ScriptedVenue, connected, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import AnyEvent


def state_changed(number: int) -> Event:
    """Return an event that can be told from others."""
    return admin.AgentStateChanged(agent=f"agent{number}", state="active")


async def take(events: AsyncIterator[AnyEvent], count: int) -> list[AnyEvent]:
    """Return the next ``count`` items."""
    return [await anext(events) for _ in range(count)]


def seqs(events: list[AnyEvent]) -> list[int]:
    """Return the numbers of events, none of which is a gap."""
    assert not any(isinstance(event, Gap) for event in events)
    return [event.seq for event in events if not isinstance(event, Gap)]


raws = [msgspec.Raw(str(n).encode()) for n in range(31)]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)), max_size=30), st.integers(1, 8))
def test_a_cursor_delivers_a_dense_prefix_whatever_is_offered(offers: list[tuple[int, int]], limit: int) -> None:
    """Duplicates, overlaps, holes and a full buffer never repeat, skip or disorder an event."""
    cursor = EventCursor(0, limit)
    taken: list[int] = []
    for first, count in offers:
        cursor.offer(first, raws[first : first + count])
        assert cursor.end - cursor.position <= limit
        if (found := cursor.take()) is not None:
            taken.append(found[0])
            assert found[1] == raws[found[0]]
    assert taken == list(range(1, len(taken) + 1))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(["ok", "lost", "twice", "late", "reconnect", "epoch"]), min_size=1, max_size=40),
    st.lists(st.integers(1, 4), min_size=1, max_size=10),
)
def test_a_feed_survives_loss_repetition_and_disorder(fates: list[str], sizes: list[int]) -> None:
    """Whatever happens to live messages, the reader gets every event once and in order."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            reader = asyncio.create_task(take(agent.events(), sum(sizes[i % len(sizes)] for i in range(len(fates)))))
            await asyncio.sleep(0)
            late: list[bytes] = []
            number = 0
            for i, fate in enumerate(fates):
                size = sizes[i % len(sizes)]
                if fate == "epoch":
                    venue.epoch += 1
                message = venue.tell(*[state_changed(number + k) for k in range(size)], publish=False)
                number += size
                if fate in ("ok", "twice", "epoch"):
                    venue.publish_events(message)
                if fate == "twice":
                    venue.publish_events(message)
                if fate == "late":
                    late.append(message)
                if fate == "reconnect":
                    venue.transports[0].tell("reconnected")
                if i % 3 == 0:
                    await asyncio.sleep(0.01)
                    for old in late:
                        venue.publish_events(old)
                    late.clear()
            events = await asyncio.wait_for(reader, 60)
        assert seqs(events) == list(range(1, number + 1))
        assert [event.agent for event in events if isinstance(event, AgentStateChanged)] == [
            f"agent{k}" for k in range(number)
        ]

    run(main())


def test_events_since_the_connection_was_opened_are_not_missed() -> None:
    """What happened between connecting and listening is delivered, what was before is not."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.tell(state_changed(0))
        async with connected(venue) as agent:
            venue.tell(state_changed(1))
            events = agent.events()
            assert seqs(await take(events, 1)) == [2]
            venue.tell(state_changed(2))
            assert seqs(await take(events, 1)) == [3]
            assert seqs(await take(agent.events(since=0), 3)) == [1, 2, 3]

    run(main())


def test_an_idle_feed_notices_a_lost_message_by_itself() -> None:
    """The last message before silence is found by the poll, within about ten seconds."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(state_changed(0))
            await take(events, 1)
            venue.tell(state_changed(1), publish=False)
            started = venue.loop.time()
            assert seqs(await take(events, 1)) == [2]
            assert venue.loop.time() - started < 13

    run(main())


def test_events_no_longer_held_become_a_gap_with_the_account() -> None:
    """A loss that cannot be made good is told, with the account, and the feed goes on after it."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.tell(*[state_changed(n) for n in range(10)], publish=False)
            venue.first_held = 8
            events = agent.events()
            gap = await anext(events)
            assert isinstance(gap, Gap)
            assert (gap.missed_from, gap.missed_to) == (1, 10)
            assert gap.account.balances[0].held == Decimal("2.5")
            assert any(isinstance(query, GetAccount) for query in venue.queries)
            venue.tell(state_changed(10))
            assert seqs(await take(events, 1)) == [11]

    run(main())


@pytest.mark.parametrize("noticed_by", ["heartbeat", "event", "poll"])
def test_a_restored_venue_starts_its_numbers_anew(noticed_by: str) -> None:
    """After a restore the feed reports a gap and goes on with the new numbers."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(*[state_changed(n) for n in range(5)])
            await take(events, 5)
            venue.restore()
            if noticed_by == "heartbeat":
                venue.beat()
            elif noticed_by == "event":
                venue.tell(state_changed(100))
            gap = await anext(events)
            assert isinstance(gap, Gap)
            known = gap.account.event_seq
            venue.tell(state_changed(101))
            assert seqs(await take(events, 1)) == [known + 1]

    run(main())


def test_a_feed_opened_after_a_restore_begins_with_the_account() -> None:
    """Where the connection was opened means nothing in another history, so the feed starts with a gap."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.tell(*[state_changed(n) for n in range(5)])
        async with connected(venue) as agent:
            venue.restore()
            venue.beat()
            events = agent.events()
            gap = await anext(events)
            assert isinstance(gap, Gap)
            venue.tell(state_changed(0))
            assert seqs(await take(events, 1)) == [1]

    run(main())


def test_another_history_is_not_taken_for_the_continuation() -> None:
    """After a restore, a message whose number would fit is not delivered as the next event."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(*[state_changed(n) for n in range(5)])
            await take(events, 5)
            venue.restore()
            venue.tell(*[state_changed(100 + n) for n in range(5)], publish=False)
            venue.tell(state_changed(105))
            assert isinstance(await anext(events), Gap)

    run(main())


def test_an_event_that_overtakes_the_answer_is_no_other_history() -> None:
    """An answer to ``venue.events`` that is older than a live message is just older."""

    async def main() -> None:
        venue = ScriptedVenue()
        told = False

        def answer(query: GetEvents) -> object:
            nonlocal told
            result = venue.answer("alice", query)
            if not told:
                told = True
                venue.tell(state_changed(0))
            return result

        venue.answers[GetEvents] = answer
        async with connected(venue) as agent:
            assert seqs(await take(agent.events(), 1)) == [1]

    run(main())


def test_received_messages_that_were_dropped_here_are_fetched() -> None:
    """When the transport reports a drop, the feed asks at once."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(state_changed(0))
            await take(events, 1)
            started = venue.loop.time()
            venue.tell(state_changed(1), publish=False)
            venue.transports[0].tell("dropped")
            assert seqs(await take(events, 1)) == [2]
            assert venue.loop.time() - started < 1

    run(main())


def test_a_reader_that_sleeps_costs_bounded_memory_and_misses_nothing() -> None:
    """Beyond the buffer only the position is kept, and the rest is fetched when it is read."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(state_changed(0))
            await take(events, 1)
            for start in range(1, 10_000, 100):
                venue.tell(*[state_changed(start + n) for n in range(100)])
            feed = agent._connection.listeners[-1]
            assert len(feed._cursor._ready) <= 4_096  # type: ignore[attr-defined]
            assert seqs(await take(events, 9_900)) == list(range(2, 9_902))
            assert sum(isinstance(query, GetEvents) for query in venue.queries) < 20

    run(main())


def test_a_venue_that_is_away_is_waited_for() -> None:
    """The feed goes on when the venue answers again."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            events = agent.events()
            venue.tell(state_changed(0))
            venue.is_silent = True
            reader = asyncio.create_task(take(events, 1))
            await asyncio.sleep(60)
            assert not reader.done()
            venue.is_silent = False
            assert seqs(await reader) == [1]

    run(main())


def test_amounts_of_events_are_whole_units() -> None:
    """Prices and quantities of a fill are Decimals in whole units of the market."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.tell(
                orders.OrderPlaced(
                    order_id=7, command_id="a.1", market="gpu", side="buy", quantity=1_500, price=2_000_000
                ),
                orders.OrderFilled(
                    order_id=7,
                    trade_id=3,
                    market="gpu",
                    side="buy",
                    price=2_000_000,
                    quantity=500,
                    value=1_000_000,
                    remaining=1_000,
                    liquidity="taker",
                    fee=1_000,
                ),
            )
            placed, filled = await take(agent.events(), 2)
            assert isinstance(placed, OrderPlaced)
            assert (str(placed.quantity), str(placed.price)) == ("1.500", "2.000000")
            assert isinstance(filled, OrderFilled)
            assert (str(filled.quantity), str(filled.value), str(filled.fee)) == (
                "0.500",
                "1.000000",
                "0.001000",
            )

    run(main())


class NewerEvent(Event, tag="newer_event_of_a_test"):
    """An event that the vocabulary does not hold: its tag has no family."""

    words: str


def test_an_event_newer_than_the_sdk_is_delivered_as_it_came() -> None:
    """An unknown tag is no error and no hole."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.tell(NewerEvent(words="hi"), state_changed(1))
            unknown, known = await take(agent.events(), 2)
            assert isinstance(unknown, UnknownEvent)
            assert (unknown.seq, unknown.type, unknown.data["words"]) == (1, "newer_event_of_a_test", "hi")
            assert isinstance(known, AgentStateChanged)

    run(main())


def test_an_event_waits_for_the_terms_that_it_is_read_by() -> None:
    """While the venue does not answer, an event whose market is not known yet is neither lost nor the end."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            silent = True
            venue.answers[orders.ListMarkets] = lambda query: None if silent else venue.answer("alice", query)
            reader = asyncio.create_task(take(agent.events(), 2))
            await asyncio.sleep(0.1)
            venue.tell(orders.OrderPlaced(order_id=1, command_id="s.1", market="cpu", side="buy", quantity=1, price=1))
            venue.tell(state_changed(1))
            await asyncio.sleep(25.0)  # longer than a query waits
            silent = False
            placed, changed = await asyncio.wait_for(reader, 60)
            assert isinstance(placed, OrderPlaced)
            assert seqs([placed, changed]) == [1, 2]

    run(main())


def test_a_feed_ends_with_its_connection() -> None:
    """Closing ends the iteration without an error."""

    async def main() -> list[AnyEvent]:
        venue = ScriptedVenue()
        async with connected(venue) as agent:

            async def read() -> list[AnyEvent]:
                return [event async for event in agent.events()]

            reader = asyncio.create_task(read())
            await asyncio.sleep(0.1)
            venue.tell(state_changed(0))
            await asyncio.sleep(0.1)
        return await reader

    assert len(run(main())) == 1


def test_a_feed_that_may_not_listen_says_so() -> None:
    """A permission violation on the agent's own subject ends the iteration with ``PermissionDenied``."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            reader = asyncio.create_task(take(agent.events(), 1))
            await asyncio.sleep(0.1)
            venue.transports[0].tell("permission_denied", "exchange.v1.evt.alice")
            with pytest.raises(PermissionDenied):
                await reader

    run(main())
