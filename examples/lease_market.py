"""A market that lets GPUs and CPUs by the hour: nobody plans the capacity, and price and use follow the load of a day.

    python examples/lease_market.py [--json]

It starts a venue of its own and runs each agent as a process. Three *providers* of differing cost offer each of their
units at a price of its own, so that the cheap ones go first, and let again at what the market asks. Three *consumers*
follow a day's load: *web* needs CPUs, *chat* GPUs, and *lab* one of each at once or nothing, as long as that is cheap.
They renew what they need still, give back early what they do not, and take more when the load grows. The providers'
machines are real, if small: each accepts work by the fencing token of a lease that runs, and by no other.

An hour of the market is a second here. What to look at: the table at its end, hour by hour.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent_sdk import (
    Agent,
    ExchangeError,
    Lease,
    LeaseEnded,
    LeaseOpened,
    LeaseRenewed,
    LeaseWish,
    NewOrder,
    NotFound,
    Rejected,
    Unfillable,
    connect,
)

HOURS = 24
TERM_HOURS = 3
MARKETS = ("gpu", "cpu")


@dataclass(frozen=True)
class Stock:
    """Say how many units a provider has, what its cheapest costs an hour, and how much more each further one."""

    units: int
    cost: Decimal
    step: Decimal

    def prices(self) -> list[Decimal]:
        """Return what each unit is offered for, per hour."""
        return [self.cost + self.step * number for number in range(self.units)]


# The dearest costs less than twice the cheapest: within the markets' price band, whatever was traded last.
PROVIDERS = {
    "hydro": {
        "gpu": Stock(4, Decimal("0.50"), Decimal("0.03")),
        "cpu": Stock(6, Decimal("0.20"), Decimal("0.01")),
    },
    "city": {
        "gpu": Stock(4, Decimal("0.62"), Decimal("0.04")),
        "cpu": Stock(6, Decimal("0.26"), Decimal("0.01")),
    },
    "diesel": {
        "gpu": Stock(4, Decimal("0.78"), Decimal("0.06")),
        "cpu": Stock(6, Decimal("0.32"), Decimal("0.01")),
    },
}
CAPACITY = {market: sum(stock[market].units for stock in PROVIDERS.values()) for market in MARKETS}


@dataclass(frozen=True)
class Need:
    """Say what a job takes one unit each of, for at most which price per hour, and how many jobs there are."""

    limits: dict[str, Decimal]
    at_night: int
    at_peak: int

    def load(self, seed: str) -> list[int]:
        """Return the jobs of each hour: few at 2 in the night, many at 2 in the afternoon, and chance."""
        chance = random.Random(seed)
        swing = (self.at_peak - self.at_night) / 2
        curve = [self.at_night + swing * (1 - math.cos((hour - 2) * math.tau / 24)) for hour in range(HOURS)]
        return [max(round(jobs + chance.gauss(0, 0.4)), 0) for jobs in curve]


CONSUMERS = {
    "web": Need({"cpu": Decimal("0.40")}, at_night=3, at_peak=13),
    "chat": Need({"gpu": Decimal("1.00")}, at_night=1, at_peak=9),
    "lab": Need({"gpu": Decimal("0.75"), "cpu": Decimal("0.40")}, at_night=1, at_peak=4),
}


@dataclass(frozen=True)
class Day:
    """Count the hours of the day in venue time."""

    start_us: int
    hour_us: int

    def us(self, hour: float) -> int:
        """Return when an hour is."""
        return self.start_us + round(hour * self.hour_us)

    async def reaches(self, agent: Agent, hour: int) -> None:
        """Wait for an hour."""
        await asyncio.sleep((self.us(hour) - agent.venue_time_us) / 1e6)


def tell(**facts: Any) -> None:
    """Tell the program that started this process something."""
    print(json.dumps(facts), flush=True)


def per_term(price: Decimal) -> Decimal:
    """Return the price that the market speaks of: that of a whole term."""
    return price * TERM_HOURS


# ── a provider ──────────────────────────────────────────────────────────────────────────────────


class Provider:
    """Offer units, let again at the market's price, and guard the machines."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.stock = PROVIDERS[agent.id]
        self.running: dict[int, LeaseOpened] = {}
        self.ended: list[dict[str, Any]] = []
        self.agreed: list[dict[str, Any]] = []
        self.work: Counter[str] = Counter()
        self.closing = False
        self.empty = asyncio.Event()

    async def offer(self) -> None:
        """Offer each unit at its price."""
        orders = [
            NewOrder(market=market, side="sell", quantity=1, price=per_term(price))
            for market, stock in self.stock.items()
            for price in stock.prices()
        ]
        for placed in await self.agent.place_many(orders):
            if isinstance(placed, ExchangeError):
                raise placed

    async def follow(self) -> None:
        """Offer again what comes back, and keep the books of what was let."""
        self.empty.set()
        async for event in self.agent.events():
            match event:
                case LeaseOpened():
                    self.running[event.lease] = event
                    self._note(event, event.market)
                case LeaseRenewed():
                    self._note(event, self.running[event.lease].market)
                case LeaseEnded():
                    opened = self.running.pop(event.lease)
                    span = {"from_us": opened.venue_time_us, "to_us": event.venue_time_us}
                    self.ended.append({"market": opened.market, "how": event.how, **span})
                    if not self.closing:
                        await self.agent.sell(opened.market, 1, opened.price)
                case _:
                    continue
            (self.empty.clear if self.running else self.empty.set)()

    def _note(self, event: LeaseOpened | LeaseRenewed, market: str) -> None:
        how = "renewed" if isinstance(event, LeaseRenewed) else "opened"
        price = float(event.price) / TERM_HOURS
        self.agreed.append({"market": market, "how": how, "at_us": event.venue_time_us, "price": price})

    async def let_again(self, market: str) -> None:
        """Offer to let again at what anybody else asks now, and for no less than the cheapest unit costs."""
        price = per_term(self.stock[market].cost)
        async for bbo in self.agent.bbo(market):
            # With nothing left to lease, it stays as dear as the last unit was.
            price = max(price if bbo.ask is None else bbo.ask.price, per_term(self.stock[market].cost))
            await self.agent.leases.offer_renewal(price, market=market)

    async def guard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do one piece of work, if the token that comes with it is that of a lease of this provider that runs."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            line = await reader.readline()
            if not line:
                return
            request = json.loads(line)
            try:
                holder = await self.agent.leases.holder(fencing_token=request["token"])
                if (await self.agent.leases.get(holder.lease)).lessor != self.agent.id:
                    raise NotFound("not_found", "that is a lease of another provider's")
            except ExchangeError as error:
                # Nor does anybody work here when the venue does not answer.
                answer = {"refused": str(error)}
            else:
                work = request["work"].encode()
                answer = {"done": (await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", work, b"", 1_000)).hex()}
            self.work[next(iter(answer))] += 1
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def run(self, place: Path, inbox: asyncio.Queue[str]) -> dict[str, Any]:
        """Be the provider until the program that started it says that the day is over."""
        server = await asyncio.start_unix_server(self.guard, place / f"{self.agent.id}.sock")
        async with server, asyncio.TaskGroup() as group:
            await self.offer()
            tasks = [group.create_task(self.follow()), *(group.create_task(self.let_again(each)) for each in MARKETS)]
            tell(ready=True)
            await inbox.get()
            await inbox.get()
            self.closing = True
            await self.agent.cancel_all()
            await self.empty.wait()
            for task in tasks:
                task.cancel()
        return {"ended": self.ended, "agreed": self.agreed, "work": self.work}


# ── a consumer ──────────────────────────────────────────────────────────────────────────────────


class Consumer:
    """Lease what the load of each hour needs, and work on it."""

    def __init__(self, agent: Agent, place: Path, load: list[int]) -> None:
        self.agent = agent
        self.place = place
        self.load = load
        self.need = CONSUMERS[agent.id]
        self.counts: Counter[str] = Counter()

    async def held(self) -> dict[str, list[Lease]]:
        """Return the running leases of each market, the cheapest first."""
        leases = sorted(await self.agent.leases.list(), key=lambda lease: (lease.price, lease.id))
        return {market: [lease for lease in leases if lease.market == market] for market in self.need.limits}

    async def hour(self, day: Day, hour: int) -> None:
        """Bring what is leased to what the hour needs, and let the jobs run."""
        wanted, held = self.load[hour], await self.held()
        kept = min(wanted, *(len(leases) for leases in held.values()))
        surplus = [lease for leases in held.values() for lease in leases[kept:]]
        for lease in surplus:
            await self.give_back(lease)
        if surplus:
            tell(say=f"{hour:02}:00  {wanted} jobs: gives {len(surplus)} of its leases back early")
        # What ends before the next look at it, with some time to spare.
        ends_us = min(day.us(hour + 1.5), day.us(HOURS))
        for lease in (lease for leases in held.values() for lease in leases[:kept] if lease.ends_us < ends_us):
            await self.renew(lease)
        missing = wanted - kept
        if missing:
            taken = await (self.buy(missing) if len(self.need.limits) == 1 else self.acquire(missing))
            tell(say=f"{hour:02}:00  {wanted} jobs: takes capacity for {taken} of {missing} more")
        jobs = list(zip(*(await self.held()).values(), strict=False))[:wanted]
        await asyncio.gather(*(self.job(leases, f"{hour}:{number}") for number, leases in enumerate(jobs)))
        self.counts["waiting"] += wanted - len(jobs)

    async def give_back(self, lease: Lease) -> None:
        """Release a lease before its end; a job that has not noticed is turned away by the machine."""
        try:
            await self.agent.leases.release(lease.id, fencing_token=lease.fencing_token)
        except Rejected:
            return  # it ended meanwhile
        self.counts["released"] += 1
        self.counts["stale_shown"] += 1
        self.counts["stale_refused"] += not await self.work(lease, "straggler")

    async def renew(self, lease: Lease) -> None:
        """Add a term, unless that became too dear: then the lease ends by itself."""
        limit = per_term(self.need.limits[lease.market])
        try:
            await self.agent.leases.renew(lease.id, fencing_token=lease.fencing_token, max_price=limit)
            self.counts["renewed"] += 1
        except Rejected:
            self.counts["not_renewed"] += 1

    async def buy(self, missing: int) -> int:
        """Take up to so many units of the one market that matters; each is a lease of its own."""
        ((market, limit),) = self.need.limits.items()
        return int((await self.agent.buy(market, missing, per_term(limit), time_in_force="ioc")).filled)

    async def acquire(self, missing: int) -> int:
        """Take a unit of each market at once for every job that is missing, or nothing."""
        wishes = [LeaseWish(market, 1, per_term(limit)) for market, limit in self.need.limits.items()]
        for number in range(missing):
            try:
                await self.agent.leases.acquire(*wishes)
                self.counts["sets_acquired"] += 1
            except Unfillable:
                self.counts["sets_refused"] += 1
                return number
        return missing

    async def job(self, leases: tuple[Lease, ...], name: str) -> None:
        """Work for an hour on a unit of each kind."""
        done = [await self.work(lease, name) for lease in leases]
        self.counts["jobs_done" if all(done) else "jobs_refused"] += 1

    async def work(self, lease: Lease, work: str) -> bool:
        """Give a provider's machine work, with the token of the lease; return whether it accepted."""
        request = {"token": lease.fencing_token, "work": work}
        try:
            reader, writer = await asyncio.open_unix_connection(self.place / f"{lease.lessor}.sock")
            with contextlib.closing(writer):
                writer.write(json.dumps(request).encode() + b"\n")
                return "done" in json.loads(await reader.readline() or b"{}")
        except OSError:
            return False

    async def run(self, inbox: asyncio.Queue[str], hour_us: int) -> dict[str, Any]:
        """Be the consumer for a day, and give everything back at its end."""
        tell(ready=True)
        day = Day(int(await inbox.get()), hour_us)
        for hour in range(HOURS):
            await day.reaches(self.agent, hour)
            await self.hour(day, hour)
        await day.reaches(self.agent, HOURS)
        for lease in [lease for leases in (await self.held()).values() for lease in leases]:
            await self.give_back(lease)
        return {"load": self.load, "counts": self.counts}


async def be(name: str, options: argparse.Namespace) -> int:
    """Be one of the agents: start at the first line on stdin, and end when whoever writes there is gone."""
    inbox: asyncio.Queue[str] = asyncio.Queue()
    reader, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def listen() -> None:
        async for line in reader:
            inbox.put_nowait(line.decode())

    async def act() -> None:
        async with connect() as agent:
            if name in PROVIDERS:
                report = await Provider(agent).run(options.place, inbox)
            else:
                load = CONSUMERS[name].load(f"{options.seed}:{name}")
                report = await Consumer(agent, options.place, load).run(inbox, options.hour * 1_000_000)
            tell(report=report)

    acting, listening = asyncio.create_task(act()), asyncio.create_task(listen())
    await asyncio.wait((acting, listening), return_when=asyncio.FIRST_COMPLETED)
    if not acting.done():
        return 1
    listening.cancel()
    await acting
    return 0


# ── the venue around them ───────────────────────────────────────────────────────────────────────


class Failed(Exception):
    """The example cannot go on; the text says why, and what to do."""


@dataclass
class Child:
    """Follow one of the processes."""

    name: str
    process: asyncio.subprocess.Process
    say: Callable[[str, str], None]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    report: dict[str, Any] = field(default_factory=dict)

    async def follow(self) -> None:
        """Take what it tells, to its end."""
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        async for line in self.process.stdout:
            facts = json.loads(line)
            if "ready" in facts:
                self.ready.set()
            if "say" in facts:
                self.say(self.name, facts["say"])
            self.report = facts.get("report", self.report)
        code = await self.process.wait()
        if code:
            raise Failed(
                f"the process of {self.name} ended with exit code {code}; what it printed is above. "
                "On a slow or busy machine, try --hour 2."
            )

    def write(self, line: str) -> None:
        """Send it a line."""
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        self.process.stdin.write(line.encode() + b"\n")


async def exchange(*arguments: str) -> None:
    """Run a command of the exchange."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "exchange", *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise Failed(f"`exchange {' '.join(arguments)}` failed: {errors.decode().strip()}")


class Market:
    """Run the venue and the agents for a day, and say what came of it."""

    def __init__(self, place: Path, options: argparse.Namespace) -> None:
        self.place = place
        self.data = place / "venue"
        self.options = options
        self.url = ""
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.children: dict[str, Child] = {}

    def say(self, who: str, text: str) -> None:
        """Print one line of the story."""
        if not self.options.json:
            print(f"{who:7} {text}", flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stop every process at the end, however it comes."""
        try:
            yield
        finally:
            # The venue, which was the first, is the last.
            for process in reversed(self.processes.values()):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    async def spawn(self, name: str, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
        """Start a process of its own session: Ctrl-C reaches this program, which then stops it."""
        creds = {"NATS_URL": self.url, "EXCHANGE_CREDS": str(self.creds(name))} if self.url else {}
        self.processes[name] = process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env={**os.environ, **creds}, start_new_session=True, limit=2**22, **streams
        )
        return process

    def creds(self, name: str) -> Path:
        """Return the file of an agent's credential."""
        return self.data / "creds" / f"{name}.creds"

    async def open(self) -> None:
        """Start the venue, and have its agents, markets and units there."""
        notice = f"lease_notice_seconds={self.options.hour}"
        await exchange("init", "--data", str(self.data), "--setting", notice)
        ready, log = self.place / "ready.json", self.place / "venue.log"
        flags = ("--data", str(self.data), "--port", "0", "--metrics-port", "0", "--ready-file", str(ready))
        with log.open("wb") as output:
            venue = await self.spawn("venue", "-m", "exchange", "serve", *flags, stdout=output, stderr=output)
        while not ready.exists():
            if venue.returncode is not None:
                told = log.read_text(encoding="utf-8")[-2_000:]
                raise Failed(f"the venue did not start; try `exchange serve` by hand. It said:\n{told}")
            await asyncio.sleep(0.05)
        self.url = json.loads(ready.read_text(encoding="utf-8"))["url"]
        where = ("--data", str(self.data), "--json")
        names = (*PROVIDERS, *CONSUMERS)
        await asyncio.gather(
            *(exchange("agent", "add", name, "--owner", name, "--endowment", "1000", *where) for name in names)
        )
        async with connect(self.url, creds=self.creds("operator")) as operator:
            for market in MARKETS:
                dearest = max(stock[market].prices()[-1] for stock in PROVIDERS.values())
                terms = {"price_band_bp": 10_000, "settlement": "lease", "term_seconds": TERM_HOURS * self.options.hour}
                await operator.admin.register_asset(market)
                await operator.admin.create_market(
                    market, market, tick="0.01", reference_price=per_term(dearest), **terms
                )
                for name, stock in PROVIDERS.items():
                    await operator.admin.issue_asset(market, name, stock[market].units)

    async def day(self) -> dict[str, Any]:
        """Let the agents have their day, and return the figures."""
        async with asyncio.TaskGroup() as group:
            followed: dict[str, asyncio.Task[None]] = {}
            for name in (*PROVIDERS, *CONSUMERS):
                flags = ("--be", name, "--place", str(self.place), "--hour", str(self.options.hour))
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
                process = await self.spawn(name, __file__, *flags, "--seed", str(self.options.seed), **pipes)
                self.children[name] = Child(name, process, self.say)
                followed[name] = group.create_task(self.children[name].follow())
            for child in self.children.values():
                await child.ready.wait()
            async with connect(self.url, creds=self.creds("operator")) as operator:
                day = Day(operator.venue_time_us, self.options.hour * 1_000_000)
                for child in self.children.values():
                    child.write(str(day.start_us))
                await asyncio.wait([followed[name] for name in CONSUMERS])
                for name in PROVIDERS:
                    self.children[name].write("the day is over")
                await asyncio.wait(followed.values())
                rows = await operator.conservation()
                balances = {name: (await operator.balances(name))["credit"] for name in self.children}
        return {
            **figures(day, self.children),
            "balances": {name: float(each.available + each.held) for name, each in balances.items()},
            "conservation": {row.asset: {"issued": row.issued, "difference": row.difference} for row in rows},
            "exit_codes": {name: child.process.returncode for name, child in self.children.items()},
        }


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def figures(day: Day, children: dict[str, Child]) -> dict[str, Any]:
    """Work out each hour's load, use and price, and what all came to."""
    reports = {name: child.report for name, child in children.items()}
    ended = [lease for name in PROVIDERS for lease in reports[name]["ended"]]
    agreed = [deal for name in PROVIDERS for deal in reports[name]["agreed"]]
    slots: list[dict[str, Any]] = []
    for hour in range(HOURS):
        start_us, end_us = day.us(hour), day.us(hour + 1)
        slot: dict[str, Any] = {"hour": hour}
        for market in MARKETS:
            load = sum(reports[name]["load"][hour] for name, need in CONSUMERS.items() if market in need.limits)
            used_us = sum(
                max(min(lease["to_us"], end_us) - max(lease["from_us"], start_us), 0)
                for lease in ended
                if lease["market"] == market
            )
            leased = used_us / day.hour_us
            prices = [each["price"] for each in agreed if each["market"] == market and _in(each, start_us, end_us)]
            slot[market] = {
                "load": load,
                "leased": leased,
                "utilisation": leased / CAPACITY[market],
                "price": statistics.fmean(prices) if prices else None,
            }
        slots.append(slot)
    counts: Counter[str] = Counter()
    for name in CONSUMERS:
        counts.update(reports[name]["counts"])
    work: Counter[str] = Counter()
    for name in PROVIDERS:
        work.update(reports[name]["work"])
    return {
        "hour_seconds": day.hour_us // 1_000_000,
        "term_hours": TERM_HOURS,
        "capacity": CAPACITY,
        "slots": slots,
        "correlation": {
            market: {what: correlation(slots, market, what) for what in ("utilisation", "price")} for market in MARKETS
        },
        "leases": dict(Counter(deal["how"] for deal in agreed) + Counter(lease["how"] for lease in ended)),
        "consumers": dict(counts),
        "machines": dict(work),
    }


def _in(deal: dict[str, Any], start_us: int, end_us: int) -> bool:
    return bool(start_us <= deal["at_us"] < end_us)


def correlation(slots: list[dict[str, Any]], market: str, what: str) -> float | None:
    """Return how closely a figure follows the load, from -1 to 1; None if it never changed."""
    pairs = [(slot[market]["load"], slot[market][what]) for slot in slots if slot[market][what] is not None]
    try:
        return statistics.correlation(*zip(*pairs, strict=True))
    except (statistics.StatisticsError, TypeError):
        return None


def table(found: dict[str, Any]) -> str:
    """Return the figures for people; a price is the mean of what was agreed in that hour, per unit and hour."""
    proof = found["conservation"]
    lines = ["", "hour " + "".join(f"  {market + ' load':>10}  leased   use  price" for market in MARKETS)]
    for slot in found["slots"]:
        line = f"{slot['hour']:02}:00"
        for market in MARKETS:
            each = slot[market]
            price = "–" if each["price"] is None else f"{each['price']:.3f}"
            line += f"  {each['load']:10}  {each['leased']:6.1f}  {each['utilisation']:4.0%}  {price:>5}"
        lines.append(line)
    lines.append("")
    for market, each in found["correlation"].items():
        follows = ", ".join(f"{what} {'–' if value is None else f'{value:.2f}'}" for what, value in each.items())
        lines.append(f"{market}: correlation with the load: {follows}")
    leases, counts = Counter(found["leases"]), Counter(found["consumers"])
    lines += [
        f"leases: {leases['opened']} opened, {leases['renewed']} times renewed, {leases['released']} given back early",
        f"lab: {counts['sets_acquired']} times a GPU and a CPU at once, {counts['sets_refused']} times nothing",
        f"jobs: {counts['jobs_done']} done, {counts['waiting']} had to wait for capacity or a lower price",
        f"tokens of leases that were over: {counts['stale_shown']} shown, {counts['stale_refused']} refused",
        "credits of 1000: " + ", ".join(f"{name} {amount:.2f}" for name, amount in found["balances"].items()),
        "issued less held by all: " + ", ".join(f"{row['difference']} {asset}" for asset, row in proof.items()),
    ]
    return "\n".join(lines)


async def main(options: argparse.Namespace) -> int:
    """Let a day pass, and print what it was like."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine of one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="lease-market-") as place:
        market = Market(Path(place), options)
        async with asyncio.timeout(60 + 2 * HOURS * options.hour), market.running():
            market.say("venue", "starts, with three providers and three consumers")
            await market.open()
            found = await market.day()
    found["seed"] = options.seed
    found["conserved"] = not any(row["difference"] for row in found["conservation"].values())
    print(json.dumps(found, indent=2) if options.json else table(found))
    return 0 if found["conserved"] else 1


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run the program, and tell in a sentence what went wrong."""
    code = 1
    try:
        code = asyncio.run(work)
    except* (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped, and all its processes with it", file=sys.stderr)
        code = 130
    except* TimeoutError:
        print("it took far too long; try again with --hour 2, or when the machine is less busy", file=sys.stderr)
    except* (Failed, ExchangeError) as group:
        print(*group.exceptions, sep="\n", file=sys.stderr)
    return code


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 60:  # noqa: PLR2004 - a day of 24 minutes is enough
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of seconds from 1 to 60")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and nothing else")
    parser.add_argument("--seed", type=int, default=7, help="of the chance in the load (default: 7)")
    parser.add_argument("--hour", type=_seconds, default=1, metavar="SECONDS", help="how long an hour is (default: 1)")
    parser.add_argument("--be", choices=(*PROVIDERS, *CONSUMERS), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sys.exit(run(be(chosen.be, chosen) if chosen.be else main(chosen)))
