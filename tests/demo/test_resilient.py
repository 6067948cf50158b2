"""Test that agents go on through whatever the venue does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from agent_sdk import (
    ConnectionFailed,
    InsufficientCredits,
    OutcomeUnknown,
    PermissionDenied,
    Rejected,
    RequestTimeout,
    SettledOutcome,
)
from exchange.demo import resilient
from exchange.demo.resilient import follow, insist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

UNKNOWN = OutcomeUnknown("s.1", 1)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resilient, "_PAUSE_S", 0)


class Script:
    """Answer calls with what was written down, raising what is an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def __call__(self, *_: object) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeAgent:
    """Settle commands as written down."""

    def __init__(self, *settled: Any) -> None:
        self.outcome = Script(*settled)


def agent(*settled: Any) -> Agent:
    """Return an agent that can only settle."""
    return cast("Agent", FakeAgent(*settled))


async def test_what_was_not_done_is_repeated() -> None:
    """While the venue is away, a command is given again."""
    assert await insist(agent(), Script(ConnectionFailed("away"), RequestTimeout("slow"), 7)) == 7


@pytest.mark.parametrize(("state", "answer"), [("accepted", None), ("never_executed", 7)])
async def test_what_is_unknown_is_settled_before_it_is_repeated(state: Any, answer: int | None) -> None:
    """A command without an answer is given again only when it was certainly not executed."""
    give = Script(UNKNOWN, 7)
    settling = agent(RequestTimeout("slow"), SettledOutcome(id="s.1", state=state))
    assert await insist(settling, give) == answer
    assert bool(give.answers) == (state == "accepted")


async def test_rules_and_permissions_have_the_last_word() -> None:
    """What a rule refuses, at once or as found out later, is not tried again."""
    with pytest.raises(InsufficientCredits):
        await insist(agent(), Script(InsufficientCredits("insufficient_credits")))
    with pytest.raises(Rejected, match="market_halted"):
        await insist(agent(SettledOutcome(id="s.1", state="rejected", reason="market_halted")), Script(UNKNOWN))
    with pytest.raises(PermissionDenied):
        await insist(agent(), Script(PermissionDenied("subject")))


async def test_a_feed_that_breaks_off_is_opened_again() -> None:
    """Items before and after the break arrive, until trying again would not help."""
    breaks: list[Exception] = [ConnectionFailed("away"), PermissionDenied("subject")]
    heard: list[str] = []

    async def feed() -> AsyncIterator[str]:
        error = breaks.pop(0)
        yield f"before {type(error).__name__}"
        raise error

    with pytest.raises(PermissionDenied):
        await follow(feed, heard.append)
    assert heard == ["before ConnectionFailed", "before PermissionDenied"]
