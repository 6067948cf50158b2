"""Test the memory of ids against the plainest one there is."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from exchange.engine.sessions import Session
from exchange.messages.base import WINDOW_OUTCOMES

# Mostly the next number, as agents count; sometimes a jump over many or a straggler of an overtaken one.
STEPS = st.lists(st.one_of(st.just(1), st.integers(-1_500, 3_000)), min_size=1, max_size=60)


@given(STEPS)
@example([WINDOW_OUTCOMES])
def test_a_session_remembers_its_window_and_nothing_else(steps: list[int]) -> None:
    """Whatever order ids come in, each of the window is found if it came, and none that did not."""
    session = Session("s")
    came: dict[int, tuple[int, bytes]] = {}
    highest = 0
    for age, step in enumerate(steps):
        n = highest + step
        if n < 1 or n <= highest - WINDOW_OUTCOMES or n in came:
            continue
        entry = (n * 7 % 2**32, b"%d" % n)
        session.remember(n, *entry, valid_until_us=age)
        came[n] = entry
        highest = max(highest, n)
        assert session.highest == highest
        assert session.next_id == f"s.{highest + 1}"
        assert session.last_valid_until_us == age
    window = range(max(highest - WINDOW_OUTCOMES, 0) + 1, highest + 1)
    for n in (-1, 0, *window, highest + 1, highest + WINDOW_OUTCOMES):
        assert session.find(n) == (came.get(n) if n in window else None)
    assert session.is_forgotten(window.start - 1) == (window.start > 1)
    assert not session.is_forgotten(window.start)
    kept = [[n, *came[n]] for n in window if n in came]
    assert session.dump() == [highest, session.last_valid_until_us, kept]


def test_a_short_session_is_small() -> None:
    """Three outcomes take three places: sessions are many and most are short."""
    session = Session("s")
    for n in (1, 2, 3):
        session.remember(n, n, b"outcome", 0)
    assert len(session._outcomes) == 3
