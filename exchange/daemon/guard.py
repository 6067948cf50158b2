"""Keep away whom the venue does not want: the revoked, who floods, and who connects too often.

An agent is revoked first in the engine, by a command. Its credential is revoked by the account's signed claims,
which only the holder of the operator's key can change: the command line. The guard passes the newest claims on
to the servers, and cuts off whoever is revoked in either place, also right after they connect again. So what is
still to be done when a daemon was down, or a server was restarted with older claims, is done when they meet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from nats.errors import Error as NatsError

from exchange.adapters.credentials import CredentialError
from exchange.messages.admin import RevokeAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exchange.adapters.gateway_limits import GatewayLimits
    from exchange.adapters.server_admin import Connection
    from exchange.daemon.host import Host
    from exchange.messages.base import Command

__all__ = ["Brake", "Claims", "Door", "Ear", "Guard"]

_LOOK_S: Final = 1.0
_PAUSE_S: Final = 10.0
_WELCOME_S: Final = 0.03
"""So long the leader waits at the most: less than the shortest time between two of its records."""
_FLOODS_S: Final = 600.0
_OWN_USERS: Final = frozenset({"gateway", ""})

log = structlog.get_logger(__name__)


class Door(Protocol):
    """Say what the guard needs of the servers."""

    async def push_claims(self, account: str, token: str) -> list[str]:
        """Give every server a newer JWT of an account; return what went wrong."""

    async def connections(self, account: str) -> list[Connection]:
        """Return who is connected to an account."""

    async def busy(self, account: str, above: int) -> set[str]:
        """Return the agents of whose connections one has sent more than ``above`` messages."""

    async def kick(self, connection: Connection) -> bool:
        """Cut off one connection."""

    async def watch(
        self,
        account: str,
        on_connect: Callable[[Connection], None],
        on_disconnect: Callable[[Connection], None],
    ) -> None:
        """Call back with everyone who connects or leaves."""


class Ear(Protocol):
    """Say what the guard needs of whoever listens to the agents."""

    @property
    def is_by_name(self) -> bool:
        """Whether agents are listened to one by one."""

    async def listen_to(self, agents: Iterable[str]) -> None:
        """Listen to these agents and to nobody else."""


class Brake(Protocol):
    """Say what the guard needs of whoever slows down those who flood."""

    async def hold(self, agents: Iterable[str]) -> None:
        """Slow down these agents and nobody else."""


class Claims(Protocol):
    """Say what the guard needs of the keyring."""

    @property
    def agents_account_id(self) -> str:
        """The public key of the agents' account."""

    def current_claims(self) -> str:
        """Return the JWT of the agents' account that counts by now."""

    def revoked_keys(self) -> dict[str, int]:
        """Return the user keys that are revoked by now."""


class Guard:
    """Watch the connections of the agents' account; ``submit`` gives a command of the venue itself."""

    def __init__(
        self,
        host: Host,
        ear: Ear,
        brake: Brake,
        door: Door,
        claims: Claims,
        limits: GatewayLimits,
        submit: Callable[[Command], None],
        now_s: Callable[[], float],
    ) -> None:
        self._host = host
        self._ear = ear
        self._brake = brake
        self._door = door
        self._claims = claims
        self._limits = limits
        self._submit = submit
        self._now_s = now_s
        self._connected: dict[str, dict[Connection, None]] = {}
        self._unwanted: dict[Connection, str] = {}
        self._floods: dict[str, deque[float]] = {}
        # Who is not listened to, and since when.
        self._shut_out: dict[str, float] = {}
        self._must_listen = False
        self._welcoming: asyncio.Future[None] | None = None
        self._revoked: dict[str, int] = {}
        self._pushed = ""
        self._must_look = True
        self._work = asyncio.Event()
        self.has_door = True
        """Whether anybody can be disconnected; who floods is not listened to for a while without, too."""
        self.kicks: dict[str, int] = {}
        """How many connections were cut off, by reason."""

    def look_again(self) -> None:
        """Find out anew who is connected, and send the claims again: the servers may have been others."""
        self._must_look = True
        self._pushed = ""
        self._work.set()

    def report_flood(self, agent: str) -> None:
        """Cut off an agent that floods, and revoke it when it does not stop."""
        log.warning("agent floods", agent=agent, connections=len(self._connected.get(agent, ())))
        now_s = self._now_s()
        self._shut_out[agent] = now_s
        self._must_listen = True
        self._throw_out(agent, "flood")
        if not self._connected.get(agent):
            self._must_look = True
        self._work.set()
        floods = self._floods.setdefault(agent, deque(maxlen=self._limits.floods_max + 1))
        floods.append(now_s)
        record = self._host.engine.agents.get(agent)
        if len(floods) <= self._limits.floods_max or floods[0] < now_s - _FLOODS_S:
            return
        # An operator would have to be revoked by another; the last one must not lock the venue.
        if record is None or record.state == "revoked" or "operator" in record.roles:
            return
        log.warning("agent is revoked: it does not stop flooding", agent=agent, floods=len(floods))
        floods.clear()
        engine = self._host.engine
        self._submit(RevokeAgent(id=f"guard.{engine.index + 1}", valid_until_us=engine.time_us, agent=agent))

    async def run(self) -> None:
        """Guard until cancelled; what the servers do not answer is tried again."""
        is_watching = False
        while True:
            try:
                if self.has_door and not is_watching:
                    await self._door.watch(self._claims.agents_account_id, self._note_connect, self._note_disconnect)
                    is_watching = True
                await self._turn()
            except (NatsError, OSError) as error:
                log.warning("the servers do not listen to the guard", error=repr(error))
                self._must_look = True
                await asyncio.sleep(_LOOK_S)

    async def listen_again(self) -> None:
        """Listen to whom the venue wants to hear, if it listens by name: agents were registered, or shut out."""
        if not (self._must_listen or self._ear.is_by_name):
            return
        self._must_listen = False
        try:
            await self._ear.listen_to(
                name
                for name, record in self._host.engine.agents.items()
                if record.state != "revoked" and name not in self._shut_out
            )
        except BaseException:
            # Somebody may not be heard who should be.
            self._must_listen = True
            raise

    async def welcome(self) -> None:
        """Listen to agents that were just registered; whoever waits for it does not wait for a server that is slow."""
        if not self._ear.is_by_name:
            return
        self._welcoming = asyncio.ensure_future(self._welcome())
        await asyncio.wait({self._welcoming}, timeout=_WELCOME_S)

    async def _welcome(self) -> None:
        try:
            await self.listen_again()
        except (NatsError, OSError) as error:
            log.warning("the server does not let the new agents be heard yet", error=repr(error))
            self._work.set()

    async def _turn(self) -> None:
        # First of all: as long as a flood is heard, everybody waits.
        if self._must_listen:
            await self.listen_again()
        if self.has_door:
            await self._pass_on_claims()
            if self._must_look:
                self._must_look = False
                await self._look()
            self._find_revoked()
            await self._kick_unwanted()
        await self._judge()
        await self._brake.hold(self._shut_out)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._work.wait()
        self._work.clear()

    # ── who is there ────────────────────────────────────────────────────────────────────────────

    def _note_connect(self, connection: Connection) -> None:
        if connection.agent in _OWN_USERS:
            return
        theirs = self._connected.setdefault(connection.agent, {})
        theirs[connection] = None
        if self._is_revoked(connection):
            # A server that lets it in has older claims.
            self._pushed = ""
            if connection.agent not in self._shut_out:
                self._turn_out(connection, "revoked")
        elif len(theirs) > self._limits.connections_max:
            self._turn_out(connection, "connections")

    def _note_disconnect(self, connection: Connection) -> None:
        theirs = self._connected.get(connection.agent)
        if theirs is not None:
            theirs.pop(connection, None)
            if not theirs:
                del self._connected[connection.agent]

    async def _look(self) -> None:
        found = await self._door.connections(self._claims.agents_account_id)
        self._connected.clear()
        for connection in found:
            self._note_connect(connection)

    def _is_revoked(self, connection: Connection) -> bool:
        record = self._host.engine.agents.get(connection.agent)
        return connection.key in self._revoked or (record is not None and record.state == "revoked")

    def _find_revoked(self) -> None:
        """Turn out who was revoked while connected; its connections are few, so they are all looked at."""
        agents = self._host.engine.agents
        for agent in list(self._connected):
            record = agents.get(agent)
            if record is not None and record.state == "revoked" and agent not in self._shut_out:
                self._throw_out(agent, "revoked")

    async def _judge(self) -> None:
        """Listen again to those who flooded and do not go on; nobody hears them, but the server counts."""
        now_s = self._now_s()
        pause_s = _LOOK_S if self.has_door else _PAUSE_S
        waiting = [agent for agent, since_s in self._shut_out.items() if now_s - since_s >= pause_s]
        if not waiting:
            return
        busy: set[str] = set()
        if self.has_door:
            busy = await self._door.busy(self._claims.agents_account_id, self._limits.refusals_burst)
        for agent in waiting:
            if agent in busy:
                self.report_flood(agent)
            else:
                del self._shut_out[agent]
                self._must_listen = True
                log.info("flood has ended", agent=agent)

    # ── out ─────────────────────────────────────────────────────────────────────────────────────

    def _throw_out(self, agent: str, reason: str) -> None:
        for connection in self._connected.get(agent, ()):
            self._turn_out(connection, reason)

    def _turn_out(self, connection: Connection, reason: str) -> None:
        self._unwanted[connection] = reason
        self._work.set()

    async def _kick_unwanted(self) -> None:
        while self._unwanted:
            connection, reason = self._unwanted.popitem()
            if await self._door.kick(connection):
                self.kicks[reason] = self.kicks.get(reason, 0) + 1
                log.info("connection cut off", agent=connection.agent, reason=reason)
            self._note_disconnect(connection)

    async def _pass_on_claims(self) -> None:
        """Send the newest claims to the servers, when they are others than were sent last."""
        try:
            token = self._claims.current_claims()
            if token == self._pushed:
                return
            self._revoked = self._claims.revoked_keys()
        except CredentialError as error:
            if self._pushed != "unreadable":
                self._pushed = "unreadable"
                log.warning("the claims of the agents' account cannot be read", error=str(error))
            return
        # Marked before it is sent: who connects meanwhile with what it revokes makes it be sent again.
        self._pushed = token
        problems = await self._door.push_claims(self._claims.agents_account_id, token)
        if problems:
            log.warning("a server does not take the claims of the agents' account", problems=problems)
