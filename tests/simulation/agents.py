"""Be the agents: the SDK as users have it, and one who keeps no rule."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent_sdk import connect
from agent_sdk.chance import Chance
from agent_sdk.errors import (
    ConnectionFailed,
    ExchangeError,
    NotSent,
    OutcomeForgotten,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Rejected,
    RequestTimeout,
    VenueUnavailable,
)
from agent_sdk.event_models import Gap, VenueEvent
from agent_sdk.session import Draft
from agent_sdk.work_events import WORK_EVENTS
from exchange.messages import tag_of
from exchange.messages.admin import RegisterAgent
from exchange.messages.venue import GetOutcome, OutcomeResult
from tests.simulation.commands import COMMANDS
from tests.simulation.commands.poison import POISON
from tests.simulation.commands.view import View
from tests.simulation.loop import Program
from tests.simulation.network import AgentTransport
from tests.simulation.scene import HOSTILE, LATECOMERS, MARKETS, OPERATOR, OWNERS

if TYPE_CHECKING:
    from agent_sdk import Agent
    from tests.simulation.world import World

__all__ = ["HonestAgent", "HostileAgent", "SeededChance", "Told"]

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SETTLE_TRIES: Final = 40
_ADMIT_S: Final = 0.05
_RECENT: Final = 30


class SeededChance(Chance):
    """Draw the SDK's ids and pauses from a seeded source."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self) -> str:
        return "".join(self._random.choice(_ALPHABET) for _ in range(12))

    def spread(self, lowest: float, highest: float) -> float:
        return self._random.uniform(lowest, highest)


class Told(msgspec.Struct):
    """Hold what an agent was told of one command."""

    agent: str
    id: str
    what: str
    """accepted, rejected, refused, not sent, unknown; once settled also: never executed, forgotten."""
    reason: str = ""
    outcome: Any = None
    valid_until_us: int | None = None


_TAGS: Final = {seen: tag_of(wire) for wire, seen in WORK_EVENTS.items()}
"""By what users see of events of work: their tags."""


class _Recorded(Draft):
    """Remember which id the SDK gave to a command."""

    __slots__ = ("id", "valid_until_us")

    def encode(self, id: str, valid_until_us: int) -> bytes:
        self.id, self.valid_until_us = id, valid_until_us
        return super().encode(id, valid_until_us)


WORK: Final = tuple(family for family in COMMANDS if family not in ("admin", "orders"))


class HonestAgent:
    """Trade at random by the SDK, and write down whatever it says."""

    def __init__(self, world: World, name: str, owner: str) -> None:
        self.world = world
        self.name = name
        self.random = world.plan.random(self.name)
        self.program = Program(world.loop, self.name)
        self.transport = AgentTransport(world.network, self.program, self.name)
        names = tuple(f"agent{n}" for n in range(world.plan.agents))
        self.view = View(name, owner, name == OPERATOR, names, tuple(dict.fromkeys(OWNERS)), MARKETS)
        self.view.public, self.view.auctions, self.view.estate = world.public, world.auctions, world.estate
        self.told: list[Told] = []
        self.heard: list[Any] = []
        """Its events as the SDK delivered them."""
        self.lives = 1
        self.is_settled = False
        self.has_poison = False
        """Whether the next command is the one that breaks the engine."""
        self.seen: tuple[str, Any] | None = None
        """The market that it watches, and the latest book of it."""
        self._lanes = 1 if name == OPERATOR else self.random.choice((1, 1, 2, 3))
        self._reads_slowly = self.random.random() < 0.2
        self._agent: Agent | None = None
        self._given: list[_Recorded] = []

    def start(self) -> None:
        """Begin."""
        program = self.program
        program.spawn(self._run()).add_done_callback(lambda task: self._judge(program, task))

    async def restart(self) -> None:
        """Be killed, and come back as another process: what was in flight nobody waits for any more."""
        await self.transport.close()
        self.program.kill("restarted")
        await self.program.end()
        self.lives += 1
        self.program = Program(self.world.loop, self.name)
        self.transport = AgentTransport(self.world.network, self.program, self.name)
        self.start()

    def _judge(self, program: Program, task: asyncio.Task[None]) -> None:
        if program.is_alive and not task.cancelled():
            error = task.exception()
            self.world.violate("agents_do_not_break", f"{self.name}: {error!r}", error)

    async def _run(self) -> None:
        while True:
            try:
                await self._live()
            except ConnectionFailed:
                await asyncio.sleep(0.5)
            except (RateLimited, VenueUnavailable):
                await asyncio.sleep(0.5)
            except Refused as error:
                # Who comes before it is registered is told so, and comes again.
                if self.name not in LATECOMERS or str(error.reason) != "unknown_agent":
                    raise
                await asyncio.sleep(0.3)
            else:
                return

    async def _live(self) -> None:
        chance = SeededChance(self.random)
        self._agent = self.seen = None
        async with connect(transport=self.transport, timeout=20.0, chance=chance) as agent:
            self._agent = agent
            tasks = [asyncio.create_task(self._listen(agent))]
            lanes = [asyncio.create_task(self._trade(agent)) for _ in range(self._lanes)]
            if self.view.is_operator:
                lanes.append(asyncio.create_task(self._admit(agent)))
            if self.random.random() < 0.4:
                tasks.append(asyncio.create_task(self._watch(agent)))
            try:
                await asyncio.gather(*lanes)
                for told in self.told:
                    if told.what == "unknown":
                        await self._settle(agent, told)
                self.is_settled = True
                await asyncio.gather(*tasks)
            finally:
                for task in (*tasks, *lanes):
                    task.cancel()
                await asyncio.gather(*tasks, *lanes, return_exceptions=True)

    # ── what it does ────────────────────────────────────────────────────────────────────────────

    async def _trade(self, agent: Agent) -> None:
        random, world = self.random, self.world
        while not world.is_closing:
            await asyncio.sleep(random.random() * world.plan.pause_s * (4 if self.view.is_operator else 1))
            dice = random.random()
            try:
                if self.has_poison:
                    self.has_poison = False
                    await self._give(agent, _Recorded(*POISON))
                elif dice < 0.8:
                    await self._command(agent)
                elif dice < 0.88:
                    await self._place(agent)
                elif dice < 0.94:
                    await self._array(agent)
                else:
                    await self._ask(agent)
            except ConnectionFailed:
                raise
            except ExchangeError:
                world.count("asked in vain")

    async def _admit(self, agent: Agent) -> None:
        """Register those who wait for it, as soon as it is their turn."""
        waiting = self.world.to_admit
        while not self.world.is_closing:
            await asyncio.sleep(_ADMIT_S)
            if waiting:
                name = waiting.pop(0)
                draft = _Recorded(RegisterAgent, {"agent": name, "owner": OWNERS[0], "endowment": 400_000})
                with contextlib.suppress(NotSent):
                    await self._give(agent, draft)
                if name not in self.world.registered:
                    waiting.append(name)

    def _draw(self, family: str) -> _Recorded:
        self.view.venue_time_us = self._agent.venue_time_us if self._agent else 0
        kind, fields = COMMANDS[family](self.random, self.view)
        return _Recorded(kind, {name: value for name, value in fields.items() if value is not None})

    def _family(self) -> str:
        share = 0.8 if self.view.is_operator else 0.04
        dice = self.random.random()
        if dice < share:
            return "admin"
        # Orders are most of what a venue has to do, and all that market data is about.
        if dice < 0.6:
            return "orders"
        return self.world.favorite if self.random.random() < 0.7 else self.random.choice(WORK)

    async def _command(self, agent: Agent) -> None:
        await self._give(agent, self._draw(self._family()))

    async def _give(self, agent: Agent, draft: _Recorded) -> None:
        self.world.count("commands")
        self._given.append(draft)
        try:
            outcome = await agent._connection.execute(draft, self._timeout_s())
        except (ExchangeError, ValueError) as error:
            self._note(draft, error)
        else:
            self._note(draft, outcome)

    def _timeout_s(self) -> float:
        return self.random.choice((0.3, 1.0, 3.0, 8.0))

    def _note(self, draft: _Recorded, answer: Any) -> None:
        """Write down what the SDK said of a command."""
        id_ = getattr(draft, "id", "")
        told = Told(self.name, id_, "", str(getattr(answer, "reason", "") or ""))
        if isinstance(answer, OutcomeForgotten):
            told.what = "forgotten"
        elif isinstance(answer, Rejected):
            told.what = "rejected"
        elif isinstance(answer, Refused):
            told.what = "refused"
        elif isinstance(answer, OutcomeUnknown):
            told.what, told.valid_until_us = "unknown", answer.valid_until_us
        elif isinstance(answer, NotSent | ValueError):
            told.what = "not sent"
        elif isinstance(answer, ExchangeError):
            return
        else:
            told.what, told.outcome = "accepted", answer
            order = getattr(answer, "order", None)
            if order is not None and order.remaining:
                self.view.orders.append(order.order_id)
        self.world.say_told(told)
        if id_:
            self.told.append(told)

    async def _place(self, agent: Agent) -> None:
        """Use what users use: an order in whole units."""
        random = self.random
        terms = random.choice(MARKETS[:2])
        quantity = random.choice((1, 2, 3)) if terms.base == "cpu" else random.choice(("0.1", "0.5", "1.2"))
        price = f"0.00{random.randrange(95, 105)}0"
        try:
            order = await agent.place(
                terms.market, random.choice(("buy", "sell")), quantity, price, timeout=self._timeout_s()
            )
        except OutcomeForgotten as error:
            # The leader's clock was an hour ahead when it started, and the session ten minutes old.
            self.told.append(Told(self.name, error.id or "", "forgotten"))
        except (Rejected, Refused) as error:
            what = "rejected" if isinstance(error, Rejected) else "refused"
            if error.id:
                self.told.append(Told(self.name, error.id, what, str(error.reason)))
        except OutcomeUnknown as error:
            self.told.append(Told(self.name, error.id, "unknown", valid_until_us=error.valid_until_us))
        else:
            self.told.append(Told(self.name, order.command_id or "", "accepted"))
            if order.remaining:
                self.view.orders.append(order.id)

    async def _array(self, agent: Agent) -> None:
        drafts = [self._draw("orders") for _ in range(self.random.choice((2, 3, 7)))]
        self.world.count("commands", len(drafts))
        self._given += drafts
        answers = await agent._connection.execute_array(drafts, self._timeout_s())
        for draft, answer in zip(drafts, answers, strict=True):
            self._note(draft, answer)

    async def _ask(self, agent: Agent) -> None:
        self.world.count("queries")
        what = self.random.choice(("peek", "peek", "balances", "orders", "account", "status", "conservation", "book"))
        if what == "balances":
            await agent.balances()
        elif what == "orders":
            await agent.open_orders()
        elif what == "account":
            await agent.account()
        elif what == "status":
            await agent.status()
        elif what == "peek":
            await self._peek(agent)
        elif what == "book":
            await agent.book(self.random.choice(MARKETS).market)
        else:
            await agent.conservation()

    async def _peek(self, agent: Agent) -> None:
        """Ask what became of a recent command, as another process of the agent would: it may be under way still."""
        given = [draft for draft in self._given[-_RECENT:] if hasattr(draft, "id")]
        if not given:
            return
        draft = self.random.choice(given)
        query = GetOutcome(id=draft.id, valid_until_us=draft.valid_until_us)
        answer = await agent._connection.query(query, OutcomeResult)
        if answer.state == "never_executed":
            self.told.append(Told(self.name, draft.id, "never executed"))

    async def _settle(self, agent: Agent, told: Told) -> None:
        """Find out what became of a command."""
        for _ in range(_SETTLE_TRIES):
            try:
                settled = await agent._connection.outcome(told.id, told.valid_until_us)
            except OutcomeForgotten:
                told.what = "forgotten"
                return
            except Refused as error:
                if str(error.reason) == "agent_revoked":
                    return
            except ConnectionFailed:
                raise
            except ExchangeError:
                pass
            else:
                if settled is None:
                    told.what = "never executed"
                elif settled.status == "accepted":
                    told.what, told.outcome = "accepted", settled
                else:
                    told.what, told.reason = "rejected", str(settled.reason)
                self.world.count("settled")
                return
            await asyncio.sleep(0.5)

    # ── what it hears ───────────────────────────────────────────────────────────────────────────

    async def _listen(self, agent: Agent) -> None:
        async for event in agent.events(since=len(self.heard)):
            self.world.hear_event(self, event)
            self.heard.append(event)
            if isinstance(event, VenueEvent):
                self.view.hear(event.message)
            elif type(event) in _TAGS:
                self.view.hear(event, _TAGS[type(event)])
            if isinstance(event, Gap):
                return
            if self._reads_slowly and not self.world.is_closing:
                await asyncio.sleep(self.random.random())

    async def _watch(self, agent: Agent) -> None:
        """Follow a book; what it shows must be a book that can be."""
        market = self.random.choice(MARKETS).market
        while True:
            try:
                async for book in agent.books(market):
                    self.seen = (market, book)
                    self.world.hear_book(self, book)
            except RequestTimeout:
                # The venue was away when it began.
                continue
            else:
                return


class HostileAgent:
    """Send whatever a client without an SDK can send on its own subjects."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.plan.random(HOSTILE)
        self.program = Program(world.loop, HOSTILE)
        self.transport = AgentTransport(world.network, self.program, HOSTILE)
        self._sent = 0

    def start(self) -> None:
        """Begin."""
        self.program.spawn(self._run())

    async def _run(self) -> None:
        random = self.random
        await self.transport.open()
        while not self.world.is_closing:
            await asyncio.sleep(random.random() * 0.4)
            for _ in range(random.choice((1, 1, 1, 3, 30))):
                await self._send()

    async def _send(self) -> None:
        random = self.random
        self._sent += 1
        self.world.count("hostile messages")
        own = f"_INBOX.{HOSTILE}.x.{self._sent}"
        reply = random.choice(
            (own,) * 6 + (f"_INBOX.agent0.tok.{random.randrange(9)}", "exchange.v1.evt.agent0", "", "_INBOX.*.x")
        )
        if random.random() < 0.15:
            payload = random.choice(
                (b'{"type":"venue.hello"}', b'{"type":"venue.events","since":-1}', b"", b"[]", b"\xff")
            )
            await self.transport.publish(f"exchange.v1.query.{HOSTILE}.venue", payload, reply)
            return
        family = random.choice(("orders",) * 8 + ("admin", "nothing", ""))
        await self.transport.publish(f"exchange.v1.cmd.{HOSTILE}.{family}", self._payload(), reply)

    def _payload(self) -> bytes:
        random = self.random
        dice = random.random()
        if dice < 0.25:
            return random.choice(
                (
                    b"",
                    b"{",
                    b"[" * 3_000,
                    b'{"type":"orders.place"}',
                    b"\xff\xfe",
                    b"null",
                    b"[]",
                    b"[1]",
                    random.randbytes(40),
                )
            )
        command = self._command()
        if dice < 0.35:
            return msgspec.json.encode([command] * random.choice((2, 3)))
        encoded = msgspec.json.encode(command)
        if dice < 0.5:
            damaged = bytearray(encoded)
            damaged[random.randrange(len(damaged))] = random.randrange(256)
            return bytes(damaged)
        return encoded

    def _command(self) -> dict[str, Any]:
        random = self.random
        now_us = self.world.venue_time_us()
        kinds = ("orders.place",) * 5 + ("orders.cancel_all_after", "admin.issue_asset", "admin.genesis")
        # The ids come from a small set, so they are used again, mostly by other commands.
        used = (f"s{random.randrange(3)}.{random.randrange(1, 1_200)}", f"s1.{random.randrange(1, 6)}")
        times_us = (now_us + 5_000_000,) * 4 + (now_us - 1, now_us + 10**9, 0, 2**53)
        fields = random.choice(
            (
                {"market": "plain", "side": "buy", "quantity": 1, "price": random.choice((1, 990, 1_010, 2**53 - 1))},
                {"market": "plain", "side": "sell", "quantity": 2**53, "price": 1},
                {"market": "fees", "side": "buy", "quantity": -1, "price": 1},
                {"market": "nowhere", "side": "buy", "quantity": 1, "price": 1},
                {"seconds": 1},
                {"agent": HOSTILE, "asset": "cpu", "quantity": 1_000},
                {"supply": 10, "operator": HOSTILE},
            )
        )
        id_ = random.choice((*used, "s.0", "s.-1", "s." + "9" * 17))
        return {"type": random.choice(kinds), "id": id_, "valid_until_us": random.choice(times_us), **fields}
