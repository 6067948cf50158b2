"""The promise: whatever is killed, and whenever, nothing acknowledged is lost and nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent_sdk import connect
from agent_sdk.event_models import OrderPlaced
from exchange.adapters.journal import Journal
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.creation import create_venue
from exchange.daemon.verify import audit_journal, read_high_water
from tests.daemon.support import External
from tests.faults.record import record
from tests.faults.replay import Replay, journal_client, stopped_venue
from tests.faults.traders import Trader
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from exchange.adapters.archive import Archive

AGENTS = ("ann", "ben", "cid", "dot")
WORKERS = 4


@contextlib.asynccontextmanager
async def trading_venue(
    directory: Path, seed: int, server: External | None = None, data: Path | None = None
) -> AsyncIterator[tuple[VenueProcess, list[Trader]]]:
    """Run a venue process, and four agents that trade on it all the time."""
    venue = VenueProcess(data or directory / "venue", None if server is None else server.url, logs=directory)
    traders: list[Trader] = []
    try:
        await venue.start()
        async with connect(venue.url, venue.creds("operator")) as operator:
            await operator.admin.register_asset("cpu")
            await operator.admin.create_market("cpu", "cpu", tick=1, price_band_bp=0)
            for agent in AGENTS:
                await operator.admin.register_agent(agent, agent, endowment=10_000)
                await operator.admin.issue_asset("cpu", agent, 1_000)
        for n, agent in enumerate(AGENTS):
            trader = Trader(agent, venue, Random(f"{seed} {n}"))
            traders.append(trader)
            await trader.start(WORKERS)
        yield venue, traders
    finally:
        for trader in traders:
            await trader.close()
        await venue.stop()


async def heard_all(traders: list[Trader], acknowledged: list[set[str]], timeout_s: float = 30.0) -> None:
    """Wait until the events have told of every order that was acknowledged."""
    try:
        async with asyncio.timeout(timeout_s):
            for trader, commands in zip(traders, acknowledged, strict=True):
                while missing := commands - trader.placed_events().keys():
                    trader.check()
                    await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{trader.id}: acknowledged but never heard of: {sorted(missing)[:5]}") from None


async def prove_so_far(traders: list[Trader]) -> None:
    """Prove, while the load goes on, that what was acknowledged until now is there, once."""
    await heard_all(traders, [set(trader.placed) for trader in traders])
    for trader in traders:
        trader.check()
        trader.assert_dense()
        trader.assert_placed_once()
        trader.assert_one_outcome_each()


async def trading_again(traders: list[Trader]) -> float:
    """Wait until every agent has one more order acknowledged; return how many seconds that took."""
    loop = asyncio.get_running_loop()
    started, before = loop.time(), [len(trader.placed) for trader in traders]
    async with asyncio.timeout(60):
        while any(len(trader.placed) <= count for trader, count in zip(traders, before, strict=True)):
            await asyncio.sleep(0.01)
    return loop.time() - started


async def started_again(venue: VenueProcess, traders: list[Trader]) -> float:
    """Start the daemon; return how many seconds passed until every agent had an order acknowledged again."""
    started = asyncio.get_running_loop().time()
    await venue.start()
    await trading_again(traders)
    return asyncio.get_running_loop().time() - started


async def prove_at_rest(venue: VenueProcess, traders: list[Trader]) -> None:
    """Prove, when all is still, that events, open orders and settled outcomes tell the same story."""
    for trader in traders:
        await trader.stop_trading()
        assert trader.agent is not None
    await prove_so_far(traders)
    for trader in traders:
        agent = trader.agent
        assert agent is not None
        account = await agent.account()
        async with asyncio.timeout(30):
            while len(trader.events) < account.event_seq:
                await asyncio.sleep(0.02)
        labels = Counter(event.client_order_id for event in trader.events if isinstance(event, OrderPlaced))
        assert trader.denied & labels.keys() == set(), "refused or rejected, and placed all the same"
        assert {label: labels[label] for label in trader.labels.values() if labels[label] != 1} == {}
        assert {label: state for label, state in trader.settled.items() if labels[label] != (state == "accepted")} == {}
        for command_id in list(trader.placed)[-50:]:
            settled = await agent.outcome(command_id, valid_until_us=1)
            assert settled.state == "accepted"
            assert settled.order is None or settled.order.id == trader.placed[command_id]
        assert {order.id for order in await agent.open_orders()} == trader.live_by_events()
    async with connect(venue.url, venue.creds("operator")) as operator:
        assert [row.difference for row in await operator.conservation()] == [0, 0]
        assert (await operator.status()).conservation_difference == 0


async def prove_by_journal(
    venue: VenueProcess, traders: list[Trader], external: External | None = None, archive: Archive | None = None
) -> dict[str, int]:
    """Replay the journal of a stopped venue, after its archive, and compare it with everything that was ever heard."""
    replay = Replay()
    if archive is not None:
        replay.read_archive(archive)
    async with contextlib.AsyncExitStack() as stack:
        url = venue.url if external else await stack.enter_async_context(stopped_venue(venue.files))
        await replay.read(await stack.enter_async_context(journal_client(url, venue.files)))
    replay.prove(venue.files)
    for trader in traders:
        assert replay.engine.agents[trader.id].seq == len(trader.events)
        for command_id, heard in trader.transport.replies.items():
            accepted = {outcome for outcome in heard if msgspec.json.decode(outcome)["status"] == "accepted"}
            stored = replay.outcomes.get((trader.id, command_id), set())
            assert accepted <= stored, f"{command_id} was acknowledged and is not in the journal"
    return {"records": replay.last, "epochs": len(replay.began_us), "commands": replay.engine.commands_applied}


async def prove_snapshots(venue: VenueProcess, archive: Archive | None = None) -> int:
    """Prove that the snapshots of a stopped venue hold what the journal brings forth; return their number."""
    store = SnapshotStore(venue.files.snapshots)
    async with stopped_venue(venue.files) as url, journal_client(url, venue.files) as client:
        journal = Journal(client)
        await journal.open()
        mark = read_high_water(venue.files.high_water)
        before: list[int] | None = None
        while before != store.indexes():
            # A child that the killed daemon forked may finish its snapshot meanwhile, and sweep up an older one.
            before = store.indexes()
            audit = await audit_journal(journal, high_water=mark, snapshots=store, archive=archive)
    assert audit.is_good, audit.problems
    assert audit.snapshots == len(store.indexes())
    return audit.snapshots


def acknowledged(traders: list[Trader]) -> int:
    """Return how many orders were acknowledged; the proofs have compared each with the journal."""
    return sum(len(trader.placed) for trader in traders)


def tell(what: str, venue: VenueProcess, traders: list[Trader], **more: Any) -> None:
    """Print the figures of a run; ``pytest -s`` shows them."""
    figures = {
        "acknowledged orders": sum(len(trader.placed) for trader in traders),
        "events": sum(len(trader.events) for trader in traders),
        "messages sent": sum(len(trader.transport.copies) for trader in traders),
        "repeated copies": sum(
            sum(trader.transport.copies.values()) - len(trader.transport.copies) for trader in traders
        ),
        "unknown, then settled": sum(len(trader.settled) for trader in traders),
        "problems": dict(sum((trader.problems for trader in traders), Counter())),
        "refusals": dict(sum((trader.transport.refusals for trader in traders), Counter())),
        **more,
    }
    print(f"\n{what}:", ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_the_daemon_is_killed_ten_times(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times SIGKILL in the middle of the load, some while it still starts: nothing is lost or doubled.

    It takes one snapshot after the other, so it also dies while it takes one, and starts from them.
    """
    monkeypatch.setenv("EXCHANGE_SNAPSHOTS__EVERY_COMMANDS", "100")
    random = Random(seed)
    starting, took_s = 0, []
    async with trading_venue(tmp_path, seed) as (venue, traders):
        for kill in range(10):
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await venue.kill()
            if kill % 3 == 2:
                # Once more while it starts: before, during or after the replay.
                await venue.spawn()
                await asyncio.sleep(random.uniform(0.2, 0.7))
                await venue.kill()
                starting += 1
            took_s.append(await started_again(venue, traders))
            await prove_so_far(traders)
        await prove_at_rest(venue, traders)
        await venue.kill()
        snapshots = await prove_snapshots(venue)
        tell("daemon killed", venue, traders, snapshots=snapshots, **await prove_by_journal(venue, traders))
        record(
            "`kill -9` of the daemon under load, also while it starts",
            times=10 + starting, acknowledged=acknowledged(traders), recovery_s=took_s,
        )  # fmt: skip
        assert snapshots == 2
        assert sum(len(trader.placed) for trader in traders) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
async def test_the_server_is_killed_under_the_daemon(tmp_path: Path, seed: int) -> None:
    """When nats-server dies, the daemon ends with a clear error; after a restart nothing is lost or doubled."""
    random, took_s = Random(seed), []
    async with trading_venue(tmp_path, seed) as (venue, traders):
        for _ in range(5):
            await asyncio.sleep(random.uniform(0.3, 0.8))
            before = len(venue.said())
            code = await venue.kill_server()
            said = venue.said()[before:]
            assert code == 1, said[-2_000:]
            assert "nats-server ended" in said
            assert "Traceback" not in said, said[-3_000:]
            took_s.append(await started_again(venue, traders))
            await prove_so_far(traders)
        await prove_at_rest(venue, traders)
        await venue.kill()
        tell("server killed", venue, traders, **await prove_by_journal(venue, traders))
        record(
            "`kill -9` of the embedded nats-server under load", times=5, acknowledged=acknowledged(traders),
            recovery_s=took_s, remark="the daemon ends with a clear error and is started again",
        )  # fmt: skip
        assert sum(len(trader.placed) for trader in traders) > 500


async def test_killed_while_it_is_created(tmp_path: Path) -> None:
    """A venue whose very first start is killed at any moment starts the next time, and is whole."""
    random, took_s = Random(3), []
    for attempt in range(6):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        venue = VenueProcess(directory / "venue")
        try:
            await venue.spawn()
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await venue.kill()
            started = asyncio.get_running_loop().time()
            await venue.start()
            took_s.append(asyncio.get_running_loop().time() - started)
            async with connect(venue.url, venue.creds("operator")) as operator:
                assert (await operator.status()).conservation_difference == 0
        finally:
            await venue.stop()
    record("`kill -9` of the very first start of a venue", times=6, recovery_s=took_s)


@pytest.mark.slow
async def test_frozen_processes_lose_nothing(tmp_path: Path) -> None:
    """Daemon and server are frozen and thawed again, once longer than any time-out: nothing is lost or doubled."""
    freezes, took_s = (("daemon", 1.0), ("server", 1.0), ("daemon", 4.0), ("server", 9.0), ("both", 2.0)), []
    async with trading_venue(tmp_path, 4) as (venue, traders):
        for who, seconds in freezes:
            await asyncio.sleep(0.5)
            await venue.freeze(who, seconds)
            if not venue.is_running:
                # Giving up is allowed, with a clear word; losing anything is not.
                assert "Traceback" not in venue.said(), venue.said()[-3_000:]
                await venue.start()
            took_s.append(await trading_again(traders))
            await prove_so_far(traders)
        await prove_at_rest(venue, traders)
        await venue.kill()
        tell("frozen", venue, traders, **await prove_by_journal(venue, traders))
        record(
            "SIGSTOP of daemon, nats-server or both for 1 … 9 s, then SIGCONT",
            times=len(freezes), acknowledged=acknowledged(traders), recovery_s=took_s,
        )  # fmt: skip


@pytest.mark.slow
async def test_an_external_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    """A daemon on a server of its own outlives the server's death, or ends; nothing is lost or doubled."""
    random = Random(5)
    server = External(tmp_path)
    await server.start()
    try:
        async with server.journal() as client:
            await create_venue(client)
        async with trading_venue(tmp_path, 5, server) as (venue, traders):
            restarts, outages = 0, []
            for _ in range(4):
                await asyncio.sleep(random.uniform(0.3, 1.0))
                await server.kill()
                await asyncio.sleep(random.uniform(0.0, 1.5))
                await server.start()
                if not venue.is_running:
                    restarts += 1
                    assert "Traceback" not in venue.said(), venue.said()[-3_000:]
                    await venue.start()
                outages.append(round(await trading_again(traders), 3))
                await prove_so_far(traders)
            await prove_at_rest(venue, traders)
            await venue.kill()
            tell(
                "external server killed",
                venue,
                traders,
                restarts=restarts,
                outages_s=outages,
                **await prove_by_journal(venue, traders, server),
            )
            record(
                "`kill -9` of an external nats-server under load, and its restart",
                times=4, acknowledged=acknowledged(traders), recovery_s=outages,
            )  # fmt: skip
    finally:
        await server.stop()
