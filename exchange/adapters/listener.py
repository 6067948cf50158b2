"""Listen to the agents: to all at once, until one floods; from then on to each by name, and not to who is shut out.

What nobody listens to the server drops by itself, at its own speed. A flood that only the gateway refused would
still have to be read, and would stand in the line before what the others send.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from nats.errors import Error as NatsError

from exchange.adapters import bus
from exchange.messages.base import SUBJECT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nats.aio.subscription import Subscription

__all__ = ["Listener"]

_AT_ONCE: Final = 100

log = structlog.get_logger(__name__)


class Listener:
    """Keep the subscriptions of one client, and hand what comes to ``receive(subject, reply, payload)``."""

    def __init__(self, client: bus.Ingress, receive_command: bus.Receive, receive_query: bus.Receive) -> None:
        self._client = client
        self._receivers = {"cmd": receive_command, "query": receive_query}
        self._all: list[Subscription] = []
        self._by_name: dict[str, list[Subscription]] = {}
        self._changing = asyncio.Lock()
        self.is_by_name = False
        """Whether agents are listened to one by one."""

    async def open(self) -> None:
        """Listen to everybody.

        Raises:
            BusError: the server has ended the connection.
        """
        try:
            self._all = await self._subscribe(">")
            await self._client.flush()
        except NatsError as error:
            message = f"cannot listen to the agents: {error!r}"
            raise bus.BusError(message) from error

    async def listen_to(self, agents: Iterable[str]) -> None:
        """Listen to these agents and to nobody else, from now on by name.

        Those who are new are listened to when this returns. While it changes from all to each, a message may
        come twice, which does no harm: its id is known.
        """
        # Said before it is so: who is registered meanwhile must be listened to by name, too.
        self.is_by_name = True
        async with self._changing:
            wanted = dict.fromkeys(agents)
            for agent in [name for name in self._by_name if name not in wanted]:
                await self._end(self._by_name.pop(agent))
            added = 0
            for agent in wanted:
                if agent in self._by_name:
                    continue
                self._by_name[agent] = await self._subscribe(f"{agent}.>")
                added += 1
                if added % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            if self._all:
                log.warning("an agent floods: listening to each agent by name from now on", agents=len(wanted))
                await self._end(self._all)
                self._all = []
            await self._client.flush()

    async def _subscribe(self, tokens: str) -> list[Subscription]:
        made = []
        for kind, receive in self._receivers.items():
            subscription = await self._client.subscribe(f"{SUBJECT_PREFIX}.{kind}.{tokens}")
            self._client.receive(subscription, receive)
            made.append(subscription)
        return made

    async def _end(self, subscriptions: list[Subscription]) -> None:
        for subscription in subscriptions:
            await subscription.unsubscribe()
            self._client.forget(subscription)
