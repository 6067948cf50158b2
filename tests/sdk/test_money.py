"""Amounts are converted exactly or not at all."""

from __future__ import annotations

import pickle
from decimal import localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sdk import InsufficientCredits, Rejected, errors
from agent_sdk.money import from_units, to_credits, to_units
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.reasons import Reason, RefusalReason
from tests.sdk.doubles import ScriptedVenue, connected, run


@given(st.integers(1, MAX_AMOUNT), st.integers(0, 9))
def test_every_amount_survives_the_round_trip(units: int, decimals: int) -> None:
    """From units to Decimal, to text, and back is the same integer, whatever the caller's context."""
    with localcontext(prec=2):
        whole = from_units(units, decimals)
        assert to_units(whole, decimals, "amount") == units
        assert to_units(str(whole), decimals, "amount") == units


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0.1, TypeError, "float"),
        (True, TypeError, "bool"),
        (None, TypeError, "NoneType"),
        ("ten", ValueError, "not a number"),
        ("0.0000001", ValueError, "6 decimals"),
        ("NaN", ValueError, "out of range"),
        ("Infinity", ValueError, "out of range"),
        ("1e999999", ValueError, "out of range"),
        ("1e30", ValueError, "out of range"),
        (0, ValueError, "above 0"),
        (-1, ValueError, "above 0"),
        (2**53, ValueError, "at most"),
        ("", ValueError, "not a number"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(value: object, error: type[Exception], words: str) -> None:
    """Floats and misfits name what is wrong."""
    with pytest.raises(error, match=words):
        to_credits(value, "price")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quantity", "price", "error", "words"),
    [
        (1.5, 5, TypeError, "quantity 1.5 is a float"),
        (1, 5.0, TypeError, "price 5.0 is a float"),
        ("1.5", 5, ValueError, "quantity 1.5 has more than the 0 decimals"),
        (1, "5.005", ValueError, "price 5.005 is not a multiple of 0.010000"),
    ],
)
def test_an_order_that_does_not_fit_its_market_is_not_sent(
    quantity: object, price: object, error: type[Exception], words: str
) -> None:
    """Tick, lot and decimals of the market are checked before anything is sent."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(error, match=words):
                await agent.buy("cpu", quantity, price)  # type: ignore[arg-type]
        assert venue.received == []

    run(main())


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_class_that_can_be_pickled(reason: Reason) -> None:
    """Each reason of the closed enum maps to a subclass of ``Rejected`` of its name."""
    error = errors.rejected(reason, "detail", "abc.1")
    assert type(error) is not Rejected
    assert type(error).__name__.lower() == reason.replace("_", "")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert (type(copy), copy.reason, copy.detail, copy.id) == (type(error), reason, "detail", "abc.1")


@pytest.mark.parametrize("reason", list(RefusalReason))
def test_every_refusal_reason_is_refused(reason: RefusalReason) -> None:
    """Each refusal reason makes a ``Refused`` that reads well."""
    error = errors.refused(reason, "why")
    assert isinstance(error, errors.Refused)
    assert str(error) == f"{reason}: why"


def test_the_reason_table_holds_the_written_classes() -> None:
    """A class that is written out is the one that is raised."""
    assert errors.REJECTIONS["insufficient_credits"] is InsufficientCredits
