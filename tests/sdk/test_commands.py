"""Commands are executed exactly once, whatever gets lost."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sdk import (
    ConnectionFailed,
    InsufficientCredits,
    MarketHalted,
    NewOrder,
    NotSent,
    Order,
    OutcomeForgotten,
    OutcomeUnknown,
    PermissionDenied,
    Refused,
    Rejected,
    RequestTimeout,
    UnknownMarket,
    UnknownOrder,
    VenueUnavailable,
)
from agent_sdk._ids import Window
from exchange.messages.admin import HaltVenue
from exchange.messages.externalities import ReportExternality
from exchange.messages.venue import GetOutcome, Hello
from tests.sdk.doubles import MemoryTransport, ScriptedVenue, connected, run


@pytest.mark.parametrize(
    ("faults", "copies"),
    [
        (["ok"], 1),
        (["lose_request"], 2),
        (["lose_reply"], 2),
        (["lose_reply", "lose_request", "lose_reply"], 4),
        (["away", "away"], 3),
        (["nobody", "nobody"], 3),
        (["not_leading", "journal_unavailable", "rate_limited", "queue_full"], 5),
    ],
)
def test_a_place_is_repeated_with_the_same_bytes_and_executed_once(faults: list[str], copies: int) -> None:
    """Whatever is lost on the way, every copy is the same and one is executed."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(faults)
            order = await agent.buy("cpu", 2, "5.00")
            assert order.status == "new"
        assert len(venue.received) == copies
        assert len(set(venue.received)) == 1
        assert len(venue.executed) == 1

    run(main())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["ok", "lose_request", "lose_reply", "nobody", "away", "late", "not_leading"]),
            max_size=4,
        ),
        max_size=12,
    )
)
def test_concurrent_commands_are_executed_once_under_any_faults(faults: list[list[str]]) -> None:
    """Each of twelve orders is executed exactly once when each message may be lost, late or refused."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(fault for group in faults for fault in group)
            orders = await asyncio.gather(*[agent.buy("cpu", 1, 5, timeout=60) for _ in range(12)])
        assert len({order.command_id for order in orders}) == 12
        assert sorted(venue.executed) == sorted(str(order.command_id) for order in orders)

    run(main())


def test_a_command_carries_a_dense_id_and_a_limit_of_venue_time() -> None:
    """Ids are ``<session>.1``, ``.2``, …, and are valid for the time-out in venue time."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            for _ in range(3):
                await agent.buy("cpu", 1, 1, timeout=30)
        commands = [msgspec.json.decode(payload) for payload in venue.received]
        session = commands[0]["id"].partition(".")[0]
        assert len(session) >= 10
        assert [command["id"] for command in commands] == [f"{session}.{n}" for n in (1, 2, 3)]
        assert 0 <= venue.now_us + 30_000_000 - commands[0]["valid_until_us"] < 1_000

    run(main())


def test_no_answer_in_time_is_outcome_unknown_and_outcome_settles_it() -> None:
    """A lost reply ends as ``OutcomeUnknown``; asking for the outcome tells that it was executed."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(["lose_reply"] * 100)
            started = venue.loop.time()
            with pytest.raises(OutcomeUnknown) as caught:
                await agent.buy("cpu", 1, 5, timeout=10)
            assert 10 <= venue.loop.time() - started < 10.2
            venue.faults.clear()
            settled = await agent.outcome(caught.value.id)
            assert settled.state == "accepted"
            assert len(venue.executed) == 1

    run(main())


def test_outcome_says_never_executed_only_when_that_is_certain() -> None:
    """A command that never arrived is settled as never executed, after its time."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(["lose_request"] * 100)
            with pytest.raises(OutcomeUnknown) as caught:
                await agent.buy("cpu", 1, 5)
            settled = await agent.outcome(caught.value.id)
            assert (settled.state, venue.executed) == ("never_executed", [])
            assert venue.now_us > caught.value.valid_until_us

    run(main())


def test_a_forgotten_outcome_is_an_error_of_its_own() -> None:
    """What the venue no longer holds cannot be settled, and says so."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.forgotten.add("abc.1")
        async with connected(venue) as agent:
            with pytest.raises(OutcomeForgotten):
                await agent.outcome("abc.1")

    run(main())


@pytest.mark.parametrize(
    ("fault", "error"), [("away", NotSent), ("nobody", NotSent), ("not_leading", VenueUnavailable)]
)
def test_what_was_certainly_not_executed_is_not_unknown(fault: str, error: type[Exception]) -> None:
    """When no copy can have been executed, the error says that nothing was done."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend([fault] * 1_000)
            with pytest.raises(error):
                await agent.buy("cpu", 1, 5, timeout=5)
        assert venue.executed == []

    run(main())


@pytest.mark.parametrize("runs", [True, False])
def test_that_one_daemon_has_no_journal_does_not_say_that_no_other_runs_the_command(runs: bool) -> None:
    """A leader that was replaced refuses the copy that its successor has, too: only asking settles it."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(["journal_unavailable"] * 1_000)
            if runs:
                venue.loop.call_later(1.0, lambda: venue.execute(venue.received[0]))
            with pytest.raises(OutcomeUnknown) as unknown:
                await agent.buy("cpu", 1, 5, timeout=5)
            settled = await agent.outcome(unknown.value.id)
        assert settled.state == ("accepted" if runs else "never_executed")

    run(main())


def test_a_definite_refusal_of_the_only_copy_is_raised_at_once() -> None:
    """A refusal that retrying cannot help ends the command."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.append("malformed")
            with pytest.raises(Refused, match="malformed: scripted"):
                await agent.buy("cpu", 1, 5)
        assert len(venue.received) == 1

    run(main())


@pytest.mark.parametrize(("first", "state"), [("lose_reply", "accepted"), ("lose_request", "expired")])
def test_a_refused_copy_is_settled_when_another_may_have_been_executed(first: str, state: str) -> None:
    """``expired`` of the second copy says nothing about the first, so the venue is asked."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend([first, "expired"])
            if state == "accepted":
                assert (await agent.buy("cpu", 1, 5)).status == "new"
            else:
                with pytest.raises(Rejected, match="expired"):
                    await agent.buy("cpu", 1, 5)
        assert any(isinstance(query, GetOutcome) for query in venue.queries)

    run(main())


def test_an_expired_outcome_of_a_late_copy_does_not_hide_the_first() -> None:
    """An ``expired`` outcome after an unanswered copy is settled too; here nothing was executed."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.extend(["lose_request", "late"])
            with pytest.raises((Rejected, OutcomeUnknown)):
                await agent.buy("cpu", 1, 5, timeout=1.5)
        assert venue.executed == []

    run(main())


@pytest.mark.parametrize(
    ("reason", "error"), [("insufficient_credits", InsufficientCredits), ("market_halted", MarketHalted)]
)
def test_each_reason_has_its_class(reason: str, error: type[Rejected]) -> None:
    """A rejection is raised as the class of its reason, with reason, detail and id."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.rejections["cpu"] = reason
        async with connected(venue) as agent:
            with pytest.raises(error, match="scripted") as caught:
                await agent.buy("cpu", 1, 5)
            assert (caught.value.reason, caught.value.id) == (reason, venue.executed[0])

    run(main())


def test_a_reason_newer_than_the_sdk_is_a_plain_rejection() -> None:
    """An unknown reason does not make the reply unreadable."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.rejections["cpu"] = "moon_in_the_wrong_phase"
        async with connected(venue) as agent:
            with pytest.raises(Rejected, match="moon_in_the_wrong_phase"):
                await agent.buy("cpu", 1, 5)

    run(main())


def test_at_most_1024_commands_are_in_flight() -> None:
    """No command runs a window ahead of the oldest unsettled one."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.buy("cpu", 1, 5)
            venue.hold = asyncio.Event()
            tasks = [asyncio.create_task(agent.buy("cpu", 1, 5, timeout=60)) for _ in range(1_500)]
            await asyncio.sleep(0.2)
            assert len(venue.executed) == 1 + 1_024
            venue.hold.set()
            await asyncio.gather(*tasks)
            assert len(venue.executed) == 1_501

    run(main())


def test_an_unanswered_command_holds_back_what_is_a_window_ahead() -> None:
    """While the first command is unsettled, number 1,025 waits, although all between are settled."""

    async def main() -> None:
        window = Window(4)
        first = await window.take()
        others = [await window.take() for _ in range(3)]
        waiting = asyncio.create_task(window.take())
        for n in others:
            window.release(n)
        await asyncio.sleep(0)
        assert not waiting.done()
        window.release(first)
        assert await waiting == 5

    run(main())


def test_a_cancelled_wait_for_the_window_leaks_no_number() -> None:
    """Whoever stops waiting for a number makes room for the next, also when it was granted already."""

    async def main() -> None:
        window = Window(1)
        held = await window.take()
        gone, granted, last = (asyncio.create_task(window.take()) for _ in range(3))
        await asyncio.sleep(0)
        gone.cancel()
        window.release(held)
        granted.cancel()
        assert await last in (3, 4)
        window.release(last.result())
        assert (window.unsettled, window.waiting) == (0, 0)

    run(main())


def test_cancelling_a_caller_breaks_nothing_and_frees_its_slot() -> None:
    """After a thousand cancelled placements, all slots are free again and commands work."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.buy("cpu", 1, 5)
            venue.hold = asyncio.Event()
            tasks = [asyncio.create_task(agent.buy("cpu", 1, 5)) for _ in range(1_300)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            venue.hold.set()
            await asyncio.sleep(11)
            connection = agent._connection
            assert connection.session.window.unsettled == 0
            assert connection.requests.in_flight == 0
            assert (await agent.buy("cpu", 1, 5)).status == "new"

    run(main())


def test_everything_unanswered_is_repeated_on_a_new_connection() -> None:
    """A reconnect repeats at once what was not answered."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.append("lose_request")
            started = venue.loop.time()
            task = asyncio.create_task(agent.buy("cpu", 1, 5))
            await asyncio.sleep(0.01)
            venue.transports[0].tell("reconnected")
            await task
            assert venue.loop.time() - started < 0.3

    run(main())


def test_a_refused_subject_is_permission_denied() -> None:
    """A permission violation reaches the caller whose subject it names."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.markets()
            venue.faults.append("lose_request")
            task = asyncio.create_task(agent.buy("cpu", 1, 5))
            await asyncio.sleep(0.01)
            venue.transports[0].tell("permission_denied", "exchange.v1.cmd.alice.orders")
            with pytest.raises(PermissionDenied):
                await task

    run(main())


def test_a_batch_has_one_result_per_command_in_order() -> None:
    """An array is independent commands: a rejection among them concerns only itself."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.rejections["gpu"] = "insufficient_credits"
        async with connected(venue) as agent:
            new = [NewOrder(market=market, side="buy", quantity=1, price=2) for market in ("cpu", "gpu", "cpu")]
            first, second, third = await agent.place_many(new)
            assert isinstance(first, Order)
            assert isinstance(second, InsufficientCredits)
            assert isinstance(third, Order)
            assert len(venue.received) == 1
            unknown = await agent.place_many([NewOrder(market="tpu", side="buy", quantity=1, price=2)])
            assert isinstance(unknown[0], UnknownMarket)

    run(main())


def test_a_large_batch_goes_in_arrays_of_a_thousand() -> None:
    """2,500 orders are three messages, and an answer that was lost repeats the whole message."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.faults.append("lose_reply")
            new = [NewOrder(market="cpu", side="buy", quantity=1, price=2)] * 2_500
            results = await agent.place_many(new)
            assert all(isinstance(result, Order) for result in results)
            assert (len(venue.received), len(venue.executed)) == (4, 2_500)

    run(main())


def test_the_order_of_an_unknown_id_is_unknown_before_anything_is_sent() -> None:
    """Cancelling what is not live is ``UnknownOrder``."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(UnknownOrder):
                await agent.cancel(77)
            with pytest.raises(ValueError, match="exactly one"):
                await agent.cancel()

    run(main())


def test_submit_checks_fields_before_it_sends() -> None:
    """A wrong field of a raw command is a ``ValueError`` and costs no number."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(ValueError, match="HaltVenue"):
                await agent.submit(HaltVenue, state="sleepy")
            assert (await agent.submit(HaltVenue, state="open")).status == "accepted"
            with pytest.raises(ValueError, match="timeout"):
                await agent.buy("cpu", 1, 5, timeout=61)
            assert len(venue.received) == 1
            # A field may be called as what comes first is.
            told = {"kind": "blocking", "source": "bob", "target": "ann", "units": 1, "reference": "x"}
            assert (await agent.submit(ReportExternality, **told)).status == "accepted"
            assert b"blocking" in venue.received[1]

    run(main())


def test_keep_alive_renews_the_switch_and_disarms_it() -> None:
    """The switch is renewed three times per period and disarmed at a clean end, not after an exception."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            async with agent.keep_alive(30):
                await asyncio.sleep(60)
            seconds = [msgspec.json.decode(payload)["seconds"] for payload in venue.received]
            assert seconds[-1] == 0
            assert 5 <= seconds.count(30) <= 7
            with pytest.raises(KeyError):
                async with agent.keep_alive(30):
                    raise KeyError
            assert msgspec.json.decode(venue.received[-1])["seconds"] == 30

    run(main())


def test_a_silent_venue_fails_the_connection_with_advice() -> None:
    """Connecting without a venue behind the server says what to look at."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.is_silent = True
        with pytest.raises(ConnectionFailed, match="is the daemon running"):
            async with connected(venue):
                pass
        assert isinstance(venue.queries[0], Hello)
        assert not venue.transports[0].is_open

    run(main())


def test_queries_time_out_and_can_be_asked_again() -> None:
    """A query without an answer is repeated and then a ``RequestTimeout``."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.is_silent = True
            with pytest.raises(RequestTimeout):
                await agent.balances()
            assert len(venue.queries) >= 5
            venue.is_silent = False
            assert (await agent.balances())["credit"].total == 10

    run(main())


def test_closing_fails_what_is_in_flight() -> None:
    """A command that was sent when the connection closes is unknown."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.markets()
            venue.faults.append("lose_reply")
            task = asyncio.create_task(agent.buy("cpu", 1, 5))
            await asyncio.sleep(0.01)
        with pytest.raises(OutcomeUnknown):
            await task
        with pytest.raises(ConnectionFailed):
            await agent.balances()

    run(main())


def test_a_new_incarnation_begins_a_new_session() -> None:
    """After a restore, commands are numbered anew under another token."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.buy("cpu", 1, 5)
            venue.restore()
            venue.beat()
            await agent.buy("cpu", 1, 5)
        (first, n_first), (second, n_second) = (id_.split(".") for id_ in venue.executed)
        assert (n_first, n_second) == ("1", "1")
        assert first != second

    run(main())


def test_a_new_incarnation_makes_commands_in_flight_unknown() -> None:
    """They are not repeated there, and the new history tells what became of them: known to it, or never executed."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.markets()
            venue.faults.extend(["lose_reply", "lose_request"])
            tasks = [asyncio.create_task(agent.buy("cpu", n, 5)) for n in (1, 2)]
            await asyncio.sleep(0.01)
            kept = dict(venue.outcomes)
            venue.restore()
            venue.outcomes |= kept
            venue.beat()
            unknown = []
            for task in tasks:
                with pytest.raises(OutcomeUnknown) as raised:
                    await task
                unknown.append(raised.value)
            assert len(venue.received) == 2
            known, lost = [await agent.outcome(each.id) for each in unknown]
            assert (known.state, lost.state) == ("accepted", "never_executed")
            await agent.buy("cpu", 3, 5)
        assert len(venue.received) == 3

    run(main())


def test_a_new_incarnation_refuses_what_waits_for_its_turn() -> None:
    """A command that no copy of has left is not sent under a number of the lost history."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            await agent.markets()
            venue.faults.extend(["lose_request"] * 1_024)
            tasks = [asyncio.create_task(agent.buy("cpu", 1, 5)) for _ in range(1_025)]
            await asyncio.sleep(0.01)
            venue.restore()
            venue.beat()
            told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in told] == [OutcomeUnknown] * 1_024 + [NotSent]
        assert len(venue.received) == 1_024

    run(main())


def test_venue_time_follows_the_venue_and_not_a_local_clock() -> None:
    """Heartbeats move venue time forward, and a stale one does not move it back."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            venue.clock_us += 5_000_000
            venue.beat()
            assert agent.venue_time_us == venue.now_us
            venue.clock_us -= 1_000_000
            venue.beat()
            assert agent.venue_time_us == venue.now_us + 1_000_000
            for _ in range(100):  # a clock that ran ahead is corrected within a minute
                await asyncio.sleep(1)
                venue.beat()
            assert agent.venue_time_us == venue.now_us

    run(main())


def test_the_memory_transport_keeps_the_protocol() -> None:
    """The double fits where a transport is wanted."""

    async def main() -> None:
        transport = MemoryTransport(ScriptedVenue(), "bob")
        assert transport.agent == "bob"

    run(main())
