"""Test that no command is ever executed twice, and that the memory of ids stays bounded."""

from __future__ import annotations

import msgspec
import pytest

from exchange.messages.admin import Settings
from exchange.messages.base import MAX_AMOUNT, MAX_VALIDITY_US, WINDOW_OUTCOMES
from exchange.messages.orders import PlaceOrder
from exchange.messages.reasons import Reason
from exchange.testing import SECOND_US, Venue, assert_rejected
from tests.core.scenes import scene


def order(venue: Venue, command_id: str, **fields: object) -> PlaceOrder:
    """Make a small buy order with an id of the test's choice, valid for 10 s."""
    terms = {"valid_until_us": venue.time_us + 10 * SECOND_US, "price": 10, **fields}
    return PlaceOrder(id=command_id, market="cpu", side="buy", quantity=1, **terms)  # type: ignore[arg-type]


def test_the_same_command_again_gives_the_same_bytes_and_is_not_done_again(venue: Venue) -> None:
    """A repetition is answered from memory, also later and after other commands."""
    command = order(venue, "s.1")
    first = venue.send("alice", command)
    venue.sell("bob", 1, 10)
    venue.advance(5)
    again = venue.send("alice", command)
    assert again.encoded == first.encoded
    assert again.unchanged
    assert venue.view().trades == 1
    assert venue.balance("alice") == (9_990, 0)


def test_a_repetition_in_the_same_batch_is_not_done_again(venue: Venue) -> None:
    """Two copies in one batch make one order."""
    command = order(venue, "s.1")
    first, second = venue.send_batch([("alice", command), ("alice", command)])
    assert first.encoded == second.encoded
    assert len(venue.orders("alice")) == 1


def test_a_repetition_is_answered_even_after_it_would_have_expired(venue: Venue) -> None:
    """The id is looked up before the time: a known outcome comes back for as long as it is held."""
    command = order(venue, "s.1")
    first = venue.send("alice", command)
    venue.advance(300)
    assert venue.send("alice", command).encoded == first.encoded


def test_a_rejection_is_remembered_like_an_acceptance(venue: Venue) -> None:
    """A rejected command stays rejected, also when it would pass by now."""
    command = order(venue, "s.1", price=20_000)
    first = venue.send("alice", command)
    assert_rejected(first, Reason.INSUFFICIENT_CREDITS)
    venue.sell("alice", 1_000, 20)
    venue.buy("bob", 500, 20)
    assert venue.balance("alice")[0] == 20_000
    assert venue.send("alice", command).encoded == first.encoded


def test_the_same_id_for_another_command_is_refused(venue: Venue) -> None:
    """The digest tells an honest repetition from a reused id; the first outcome stays."""
    first = venue.send("alice", order(venue, "s.1"))
    assert_rejected(venue.send("alice", order(venue, "s.1", price=11)), Reason.DUPLICATE_ID)
    assert_rejected(venue.send("alice", order(venue, "s.1", client_order_id="x")), Reason.DUPLICATE_ID)
    assert venue.send("alice", order(venue, "s.1")).encoded == first.encoded


def test_a_new_valid_until_makes_another_command(venue: Venue) -> None:
    """A retry must repeat the same bytes; with a new deadline it is a reused id."""
    venue.send("alice", order(venue, "s.1"))
    venue.advance(1)
    assert_rejected(venue.send("alice", order(venue, "s.1")), Reason.DUPLICATE_ID)


def test_ids_of_different_agents_and_sessions_do_not_meet(venue: Venue) -> None:
    """Ids count per agent and session."""
    for agent, command_id in (("alice", "s.1"), ("bob", "s.1"), ("alice", "t.1"), ("alice", "s.t.1")):
        assert venue.send(agent, order(venue, command_id)).accepted
    assert len(venue.orders("alice")) == 3


def test_numbers_may_arrive_out_of_order(venue: Venue) -> None:
    """Within the window any order of arrival is good, and each is done once."""
    commands = {n: order(venue, f"s.{n}") for n in (5, 2, 900, 1, 1_023)}
    first = {n: venue.send("alice", command) for n, command in commands.items()}
    assert all(answer.accepted for answer in first.values())
    assert {n: venue.send("alice", commands[n]).encoded for n in commands} == {
        n: answer.encoded for n, answer in first.items()
    }
    assert len(venue.orders("alice")) == 5


def test_the_window_is_exactly_1024_outcomes(venue: Venue) -> None:
    """With n = 2,000 the highest, 977 is the oldest that can be new; 976 is forgotten."""
    assert venue.send("alice", order(venue, "s.2000")).accepted
    oldest = 2_000 - WINDOW_OUTCOMES
    assert_rejected(venue.send("alice", order(venue, f"s.{oldest}")), Reason.OUTCOME_FORGOTTEN)
    assert venue.send("alice", order(venue, f"s.{oldest + 1}")).accepted


def test_an_outcome_in_a_full_window_is_remembered_until_the_1025th(venue: Venue) -> None:
    """1,024 commands later the first one's outcome is forgotten and it is still not done again."""
    commands = [order(venue, f"s.{n}") for n in range(1, WINDOW_OUTCOMES + 2)]
    answers = venue.send_batch([("alice", command) for command in commands[:-1]])
    assert venue.send("alice", commands[0]).encoded == answers[0].encoded
    venue.send("alice", commands[-1])
    assert_rejected(venue.send("alice", commands[0]), Reason.OUTCOME_FORGOTTEN)
    assert venue.send("alice", commands[1]).encoded == answers[1].encoded


def test_what_fell_out_of_the_window_is_forgotten_even_where_nothing_overwrote_it(venue: Venue) -> None:
    """The rule is the window, not the memory's layout: a restored venue must answer the same."""
    command = order(venue, "s.1")
    venue.send("alice", command)
    venue.send("alice", order(venue, "s.2000"))
    assert_rejected(venue.send("alice", command), Reason.OUTCOME_FORGOTTEN)


def test_find_outcome_says_what_is_known_of_an_id(venue: Venue) -> None:
    """It returns the bytes, ``outcome_forgotten``, or None for what never ran."""
    answer = venue.send("alice", order(venue, "s.2000"))
    find = venue.engine.find_outcome
    assert find("alice", "s.2000") == answer.encoded
    assert find("alice", "s.10") is Reason.OUTCOME_FORGOTTEN
    assert find("alice", "s.1999") is None
    assert find("alice", "other.1") is None
    assert find("alice", "s.x") is None
    assert find("nobody", "s.1") is None


def test_a_late_command_expires_and_is_not_remembered(venue: Venue) -> None:
    """At ``valid_until_us`` it is still good, 1 µs later it is not; the id stays free."""
    command = order(venue, "s.1")
    late = order(venue, "s.2")
    venue.advance_to(command.valid_until_us)
    assert venue.send("alice", command).accepted
    venue.advance_to(late.valid_until_us + 1)
    assert_rejected(venue.send("alice", late), Reason.EXPIRED)
    assert venue.send("alice", order(venue, "s.2")).accepted


def test_a_command_may_be_valid_for_60_seconds_and_not_longer(venue: Venue) -> None:
    """60 s ahead of venue time is the limit, to the microsecond."""
    limit = venue.time_us + MAX_VALIDITY_US
    assert_rejected(venue.send("alice", order(venue, "s.1", valid_until_us=limit + 1)), Reason.VALID_UNTIL_TOO_FAR)
    assert venue.send("alice", order(venue, "s.1", valid_until_us=limit)).accepted


@pytest.mark.parametrize(
    "command_id",
    ["abc", "s.0", "s.-1", ".12", "s.", "s.x", "s.1e3", "s.+1", "s. 1", "s.1 ", "s.1_0", "s.٣", "s.0x1"],
)
def test_an_id_that_is_not_session_dot_number_is_refused(venue: Venue, command_id: str) -> None:
    """An id is ``<session>.<n>``, n = 1, 2, 3, … in plain decimal digits."""
    assert_rejected(venue.send("alice", order(venue, command_id)), Reason.INVALID_ID)


def test_a_huge_number_cannot_poison_the_state(venue: Venue) -> None:
    """However large n is, the state can still be hashed and written."""
    venue.send("alice", order(venue, "s." + "9" * 40))
    assert len(venue.engine.state_hash()) == 64


def test_sessions_per_agent_are_capped() -> None:
    """One session more than the cap is refused; other agents and known sessions go on."""
    venue = scene(Venue(settings=Settings(max_sessions=3)))
    for name in "abc":
        assert venue.send("alice", order(venue, f"{name}.1")).accepted
    assert_rejected(venue.send("alice", order(venue, "d.1")), Reason.TOO_MANY_SESSIONS)
    assert venue.send("alice", order(venue, "a.2")).accepted
    assert venue.send("bob", order(venue, "d.1")).accepted


def test_a_session_is_forgotten_ten_minutes_after_its_last_deadline() -> None:
    """Renewed use keeps it; then its place is free and its old ids are expired anyway."""
    venue = scene(Venue(settings=Settings(max_sessions=1)))
    venue.send("alice", order(venue, "a.1"))
    venue.advance(500)
    last = order(venue, "a.2")
    answer = venue.send("alice", last)
    # What matters is the later use: valid until 510 s, so held until 1,110 s.
    venue.advance_to(last.valid_until_us + 600 * SECOND_US - 1)
    assert venue.send("alice", last).encoded == answer.encoded
    assert_rejected(venue.send("alice", order(venue, "b.1")), Reason.TOO_MANY_SESSIONS)
    venue.advance_to(last.valid_until_us + 600 * SECOND_US)
    assert venue.engine.find_outcome("alice", "a.2") is None
    assert_rejected(venue.send("alice", last), Reason.EXPIRED)
    assert venue.send("alice", order(venue, "b.1")).accepted


def test_the_next_id_of_a_forgotten_session_begins_it_anew() -> None:
    """What was remembered is gone, also for the session that the agent used last."""
    venue = scene(Venue(settings=Settings(max_sessions=1)))
    first = order(venue, "a.1")
    venue.send("alice", first)
    venue.advance_to(first.valid_until_us + 600 * SECOND_US)
    assert venue.send("alice", order(venue, "a.2")).accepted
    record = venue.engine.agents["alice"]
    assert record.sessions["a"] is record.latest_session
    assert venue.engine.find_outcome("alice", "a.1") is None
    assert venue.engine.find_outcome("alice", "a.2") is not None
    assert_rejected(venue.send("alice", order(venue, "b.1")), Reason.TOO_MANY_SESSIONS)


def test_sessions_by_turns_keep_their_own_numbers(venue: Venue) -> None:
    """Whichever session was used last, a repetition of another is one, and its next id is new."""
    first = {name: venue.send("alice", order(venue, f"{name}.1")).encoded for name in "abc"}
    for name in "abcba":
        assert venue.send("alice", order(venue, f"{name}.1")).encoded == first[name]
    for n in (2, 3):
        for name in "cab":
            assert venue.send("alice", order(venue, f"{name}.{n}")).accepted
    assert len(venue.orders("alice")) == 9


def test_the_last_number_has_no_next(venue: Venue) -> None:
    """After 2**53 - 1 a session is over; its last id still is a repetition."""
    last = order(venue, f"s.{MAX_AMOUNT}")
    answer = venue.send("alice", last)
    assert answer.accepted
    assert_rejected(venue.send("alice", order(venue, f"s.{MAX_AMOUNT + 1}")), Reason.INVALID_ID)
    assert venue.send("alice", last).encoded == answer.encoded


def test_a_number_written_with_zeros_is_the_same_number(venue: Venue) -> None:
    """``s.01`` is ``s.1``: the same command is a repetition only by its bytes, so this is a conflict."""
    assert venue.send("alice", order(venue, "s.1")).accepted
    assert_rejected(venue.send("alice", order(venue, "s.01")), Reason.DUPLICATE_ID)
    assert venue.send("alice", order(venue, "s.02")).accepted
    assert_rejected(venue.send("alice", order(venue, "s.2")), Reason.DUPLICATE_ID)
    assert venue.send("alice", order(venue, "s.3")).accepted


def test_refusals_by_id_are_counted_by_reason(venue: Venue) -> None:
    """The outcome bytes of a refused id name the command and the reason."""
    answer = venue.send("alice", order(venue, "bad"))
    assert msgspec.json.decode(answer.encoded)["reason"] == "invalid_id"
    assert msgspec.json.decode(answer.encoded)["id"] == "bad"


def test_a_stranger_is_refused_and_remembered_nowhere(venue: Venue) -> None:
    """An unregistered sender gets ``unknown_agent``, whatever it sends."""
    assert_rejected(venue.send("mallory", order(venue, "s.1")), Reason.UNKNOWN_AGENT)
    assert "mallory" not in venue.engine.agents
