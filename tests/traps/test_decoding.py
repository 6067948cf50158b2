"""JSON and MessagePack with a surprise; ``tests/gateway/test_gateway.py`` proves that the gateway survives them."""

from __future__ import annotations

import msgspec
import pytest

from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import PlaceOrder


@pytest.mark.parametrize(
    ("payload", "error"),
    [(b'{"a":"\xff"}', UnicodeDecodeError), (b"[" * 100_000 + b"]" * 100_000, RecursionError)],
)
def test_some_json_raises_errors_that_are_not_msgspecs(payload: bytes, error: type[Exception]) -> None:
    """The trap: who catches ``MsgspecError`` only does not catch these."""
    with pytest.raises(error) as raised:
        msgspec.json.decode(payload)
    assert not isinstance(raised.value, msgspec.MsgspecError)


def test_the_last_of_two_equal_keys_wins() -> None:
    """The trap: nobody complains, so nothing may be decided by bytes that are not decoded."""
    assert msgspec.json.decode(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64])
def test_messagepack_has_no_wider_integers(number: int) -> None:
    """The trap: the journal's records could not hold one; so every field of a command has a bound far below."""
    with pytest.raises(OverflowError):
        msgspec.msgpack.encode(number)
    assert MAX_AMOUNT < 2**63
    order = {"type": "orders.place", "id": "s.1", "valid_until_us": 1, "market": "m", "side": "buy", "price": 1}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(order | {"quantity": number}), type=PlaceOrder)
