"""Collect commands about orders and send them in as few messages as possible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Unpack

from agent_sdk.errors import ExchangeError, rejected
from agent_sdk.models import NewOrder, Order
from agent_sdk.ordering import amend_draft, cancel_draft, order_of, place_draft, placed_order
from exchange.messages.base import MAX_ARRAY_COMMANDS

if TYPE_CHECKING:
    from agent_sdk.markets import Catalog, Terms
    from agent_sdk.models import OrderTerms, Side
    from agent_sdk.money import Number
    from agent_sdk.session import Connection, Draft

__all__ = ["Batch"]

_Maker = Callable[[], Awaitable[tuple["Draft", "Terms", bool]]]


class Batch:
    """Collect independent commands; nothing happens before `send`.

    A batch is not atomic: each command has its own result.
    """

    def __init__(
        self, connection: Connection, catalog: Catalog, terms_of_order: Callable[..., Awaitable[Terms]]
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._terms_of_order = terms_of_order
        self._makers: list[_Maker] = []

    def __len__(self) -> int:
        """Return how many commands were collected."""
        return len(self._makers)

    def add(self, order: NewOrder) -> None:
        """Add an order to be placed."""

        async def make() -> tuple[Draft, Terms, bool]:
            terms = await self._catalog.terms(order.market)
            return place_draft(terms, order, self._connection.clock.now_us()), terms, True

        self._makers.append(make)

    def place(
        self,
        market: str,
        side: Side,
        quantity: Number | None = None,
        price: Number | None = None,
        **terms: Unpack[OrderTerms],
    ) -> None:
        """Add an order to be placed, with the arguments of `Agent.place`."""
        self.add(NewOrder(market=market, side=side, quantity=quantity, price=price, **terms))

    def amend(
        self,
        order_id: int,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        trigger_price: Number | None = None,
    ) -> None:
        """Add a change of an order."""

        async def make() -> tuple[Draft, Terms, bool]:
            terms = await self._terms_of_order(order_id=order_id)
            return amend_draft(terms, order_id, quantity, price, trigger_price), terms, False

        self._makers.append(make)

    def cancel(self, order_id: int | None = None, *, client_order_id: str | None = None) -> None:
        """Add a cancel of an order named by one of its ids."""

        async def make() -> tuple[Draft, Terms, bool]:
            draft = cancel_draft(order_id, client_order_id)
            return (
                draft,
                await self._terms_of_order(order_id=order_id, client_order_id=client_order_id),
                False,
            )

        self._makers.append(make)

    async def send(self, *, timeout: float = 10.0) -> list[Order | ExchangeError]:  # noqa: ASYNC109 - of venue time
        """Send everything, up to 1,000 commands a message, and return one result per command, in order.

        What cannot be sent because its order or market is unknown has that error as its result.

        Raises:
            TypeError: An amount is a float; nothing was sent.
            ValueError: An argument is wrong; nothing was sent.

        """
        makers, self._makers = self._makers, []
        results: list[Order | ExchangeError] = []
        ready: list[tuple[int, Draft, Terms, bool]] = []
        for position, make in enumerate(makers):
            try:
                ready.append((position, *await make()))
            except ExchangeError as error:
                results.append(error)
            else:
                results.append(rejected("", ""))  # its place
        for start in range(0, len(ready), MAX_ARRAY_COMMANDS):
            part = ready[start : start + MAX_ARRAY_COMMANDS]
            await self._send_part(part, results, timeout)
        return results

    async def _send_part(
        self,
        part: list[tuple[int, Draft, Terms, bool]],
        results: list[Order | ExchangeError],
        timeout_s: float,
    ) -> None:
        try:
            answers = await self._connection.execute_array([draft for _, draft, _, _ in part], timeout_s)
        except ExchangeError as error:
            for position, *_ in part:
                results[position] = error
            return
        for (position, draft, terms, is_new), answer in zip(part, answers, strict=True):
            if isinstance(answer, ExchangeError):
                results[position] = answer
            elif is_new:
                results[position] = placed_order(answer, terms, self._catalog, draft)
            else:
                results[position] = order_of(answer, terms, self._catalog)
