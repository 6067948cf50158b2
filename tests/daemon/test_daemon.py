"""The daemon as a whole: start, restart, an external server, and whatever must stop it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nats
import pytest

from agent_sdk import OrderFilled
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal, create_stream
from exchange.adapters.venue_files import VenueFiles
from exchange.config import Config, MetricsSettings, NatsSettings
from exchange.daemon import Daemon, DaemonError
from exchange.daemon.creation import create_venue
from tests.daemon.support import (
    WAIT_S,
    External,
    Setting,
    config,
    open_client,
    running_daemon,
    set_up_market,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def trade(setting: Setting, trades: int) -> list[tuple[int, int]]:
    """Let alice sell to bob; return the ids of both orders of each trade."""
    ids = []
    async with setting.connect("alice") as alice, setting.connect("bob") as bob:
        fills = aiter(bob.events())
        for _ in range(trades):
            ask = await alice.sell("cpu", 2, "1.50")
            bid = await bob.buy("cpu", 2, "1.60")
            assert (ask.status, bid.status) == ("new", "filled")
            assert str(bid.filled_value) == "3.000000"
            ids.append((ask.id, bid.id))
        async with asyncio.timeout(WAIT_S):
            filled = []
            async for event in fills:
                if isinstance(event, OrderFilled):
                    filled.append(event.order_id)
                    if len(filled) == trades:
                        break
            await fills.aclose()
        assert filled == [bid for _, bid in ids]
    return ids


async def start_fails(settings: Config) -> str:
    """Return what a daemon says that cannot start."""
    daemon = Daemon(settings)
    async with asyncio.timeout(30):
        with pytest.raises(DaemonError) as raised:
            await daemon.start()
    return str(raised.value)


# ── start and restart ───────────────────────────────────────────────────────────────────────────


async def test_two_agents_trade_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    """After a restart the state hash is the same, the epoch the next, and trading goes on."""
    settings = config(tmp_path / "venue")
    hashes: list[tuple[str, int, int]] = []
    orders: list[tuple[int, int]] = []
    for _ in range(3):
        async with running_daemon(settings) as setting:
            if not orders:
                await set_up_market(setting, "alice", "bob")
            orders += await trade(setting, 5)
            engine = setting.engine
            assert engine.check_invariants() == []
        # Heartbeats write records of their own: look at it when it is stopped.
        hashes.append((engine.business_hash(), engine.epoch, engine.index))
    assert len({order for pair in orders for order in pair}) == 30
    assert [epoch for _, epoch, _ in hashes] == [1, 2, 3]
    daemon = Daemon(settings)
    await daemon.start()
    try:
        assert daemon.host is not None
        assert daemon.host.engine.business_hash() == hashes[-1][0]
        assert daemon.host.engine.epoch == 4
    finally:
        await daemon.stop()


async def test_replay_gives_the_whole_state_back(tmp_path: Path) -> None:
    """What a stopped daemon held and what the next one replays have one state hash and one chain hash."""
    settings = config(tmp_path / "venue")
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 20)
        host = setting.daemon.host
    assert host is not None
    replayed: dict[int, tuple[str, bytes]] = {}
    daemon = Daemon(settings)

    async def replay_and_look(new_host: Any, journal: Journal, high_water: HighWaterFile) -> None:
        """Look at the state between replay and the new epoch."""
        await Daemon._replay(daemon, new_host, journal, high_water)
        replayed[new_host.engine.index] = (new_host.engine.state_hash(), new_host.hash)

    daemon._replay = replay_and_look  # type: ignore[method-assign]
    await daemon.start()
    await daemon.stop()
    # The daemon may have been stopped while a record of its own was under way.
    assert set(replayed) <= {host.engine.index, host.engine.index - 1}
    if host.engine.index in replayed:
        assert replayed[host.engine.index] == (host.engine.state_hash(), host.hash)


async def test_ids_are_remembered_over_a_restart(tmp_path: Path) -> None:
    """The same bytes after a restart get the original outcome; other bytes with that id are rejected."""
    settings = config(tmp_path / "venue")
    first: dict[int, bytes] = {}
    commands: dict[int, bytes] = {}
    for run in range(2):
        async with running_daemon(settings) as setting:
            if run == 0:
                await set_up_market(setting, "alice")
                until = setting.engine.time_us + 50_000_000
                for n in range(1, 6):
                    price = 10**15 if n == 3 else 1_000_000
                    command = {"type": "orders.place", "id": f"raw.{n}", "valid_until_us": until, "market": "cpu"}
                    commands[n] = msgspec.json.encode({**command, "side": "buy", "quantity": 1, "price": price})
            async with open_client(setting.url, setting.creds("alice"), "alice") as (alice, _):
                for n, payload in commands.items():
                    answer = await alice.request("exchange.v1.cmd.alice.orders", payload, timeout=WAIT_S)
                    assert first.setdefault(n, answer.data) == answer.data
                other = commands[1].replace(b'"quantity":1', b'"quantity":2')
                answer = await alice.request("exchange.v1.cmd.alice.orders", other, timeout=WAIT_S)
                assert b'"duplicate_id"' in answer.data
            assert len(setting.engine.mechanisms["orders"].traders["alice"].orders) == 4
    assert b'"insufficient_credits"' in first[3]


async def test_an_agent_stays_connected_over_a_restart(tmp_path: Path) -> None:
    """An SDK connection outlives a restart on the same port, and its events go on without a gap."""
    settings = config(tmp_path / "venue")
    async with contextlib.AsyncExitStack() as stack:
        async with running_daemon(settings) as setting:
            await set_up_market(setting, "alice")
            alice = await stack.enter_async_context(setting.connect("alice"))
            await alice.buy("cpu", 1, "1.00")
            port = int(setting.url.rpartition(":")[2])
        again = msgspec.structs.replace(settings, nats=NatsSettings(port=port))
        async with running_daemon(again):
            order = await alice.buy("cpu", 1, "1.00", timeout=20)
            seqs = []
            async with asyncio.timeout(WAIT_S):
                events = aiter(alice.events(since=0))
                async for event in events:
                    seqs.append(event.seq)  # type: ignore[union-attr]
                    if getattr(event, "order_id", 0) == order.id:
                        break
                await events.aclose()
            assert seqs == list(range(1, len(seqs) + 1))
            assert len(await alice.open_orders()) == 2
            await stack.aclose()


async def test_starting_twice_on_one_directory_is_refused(tmp_path: Path) -> None:
    """A second daemon on the data directory of a running one says so, and does no harm."""
    settings = config(tmp_path / "venue")
    async with running_daemon(settings) as setting:
        said = await start_fails(settings)
        assert "in use" in said
        await set_up_market(setting, "alice")


async def test_stop_can_be_called_at_any_time(tmp_path: Path) -> None:
    """Stopping before a start, twice, or after a failed start does nothing."""
    daemon = Daemon(config(tmp_path / "venue"))
    await daemon.stop()
    await daemon.start()
    await daemon.stop()
    await daemon.stop()


# ── what is wrong with the store ────────────────────────────────────────────────────────────────


async def test_an_older_store_is_noticed(tmp_path: Path) -> None:
    """A journal shorter than what was acknowledged here stops the start; removing the mark accepts it."""
    settings = config(tmp_path / "venue")
    files = VenueFiles(settings.data)
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice", "bob")
    shutil.copytree(files.nats, tmp_path / "older")
    async with running_daemon(settings) as setting:
        await trade(setting, 3)
    shutil.rmtree(files.nats)
    shutil.copytree(tmp_path / "older", files.nats)
    for _ in range(2):
        said = await start_fails(settings)
        assert "was acknowledged here" in said
        assert str(files.high_water) in said
    files.high_water.unlink()
    async with running_daemon(settings) as setting:
        await trade(setting, 3)


async def test_another_history_is_noticed(tmp_path: Path) -> None:
    """A journal that differs at what was acknowledged here stops the start."""
    settings = config(tmp_path / "venue")
    files = VenueFiles(settings.data)
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice", "bob")
    shutil.copytree(files.nats, tmp_path / "older")
    async with running_daemon(settings) as setting:
        await trade(setting, 1)
    shutil.copy(files.high_water, tmp_path / "mark")
    # The same venue went another way, and further.
    shutil.rmtree(files.nats)
    shutil.copytree(tmp_path / "older", files.nats)
    files.high_water.unlink()
    async with running_daemon(settings) as setting:
        await trade(setting, 10)
    shutil.copy(tmp_path / "mark", files.high_water)
    said = await start_fails(settings)
    assert "differs from what was acknowledged here" in said
    assert str(files.high_water) in said


async def test_a_lost_store_is_noticed(tmp_path: Path) -> None:
    """When the server's directory is gone, no new venue is begun in its place."""
    settings = config(tmp_path / "venue")
    files = VenueFiles(settings.data)
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice")
    shutil.rmtree(files.nats)
    for _ in range(2):
        said = await start_fails(settings)
        assert "journal" in said


@pytest.mark.parametrize("created", ["keys", "server", "stream"])
async def test_a_half_created_venue_is_completed(tmp_path: Path, created: str) -> None:
    """A first start that was killed after the keys, the server's store or the stream were made is completed."""
    settings = config(tmp_path / "venue")
    files = VenueFiles(settings.data)
    daemon = Daemon(settings)

    class Killed(Exception):
        """Stand for the end of the process."""

    async def die(*_: Any, **__: Any) -> None:
        raise Killed

    # Die at exactly the step that is named; what was done before it stays.
    with pytest.MonkeyPatch.context() as patch:
        if created == "keys":
            patch.setattr(EmbeddedServer, "start", die)
        elif created == "server":
            patch.setattr("exchange.daemon.creation.create_stream", die)
        else:
            patch.setattr(Journal, "append", die)
        with pytest.raises(Killed):
            await daemon.start()
    assert files.exists()
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice")


async def test_a_flipped_bit_in_the_store_is_noticed(tmp_path: Path) -> None:
    """Whatever the server makes of a damaged block, the daemon does not start on what is left."""
    settings = config(tmp_path / "venue")
    files = VenueFiles(settings.data)
    async with running_daemon(settings) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 10)
    (block,) = files.nats.glob("jetstream/**/JOURNAL/msgs/*.blk")
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)
    # The server's own index of the block would hide the damage until it is read.
    for index in files.nats.glob("jetstream/**/msgs/index.db"):
        index.unlink()
    said = await start_fails(settings)
    assert "record" in said


# ── an external server ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[External]:
    """Run a server of its own, without a venue."""
    external = External(tmp_path)
    try:
        await external.start()
        yield external
    finally:
        await external.stop()


async def test_a_server_without_a_venue_is_said(external: External) -> None:
    """Serving never creates a journal on an external server, whatever is there instead."""
    assert "exchange init" in await start_fails(external.config())
    async with external.journal() as client:
        await create_stream(client)
    assert "exchange init" in await start_fails(external.config())


async def test_an_external_server_serves(external: External) -> None:
    """A venue on a server that no daemon owns starts, trades and restarts."""
    async with external.journal() as client:
        await create_venue(client)
        await create_venue(client)
    async with running_daemon(external.config()) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 3)
    async with running_daemon(external.config()) as setting:
        await trade(setting, 3)
        assert setting.engine.epoch == 2


async def test_no_server_is_said(tmp_path: Path) -> None:
    """A server that does not answer, and missing or foreign credentials, are reported in a sentence."""
    files = VenueFiles(tmp_path / "venue")
    files.create_keyring()
    from tests.faults.venue_process import free_port

    nobody = NatsSettings(url=f"nats://127.0.0.1:{free_port()}")
    said = await start_fails(Config(data=files.data, nats=nobody, metrics=MetricsSettings(port=0)))
    assert "cannot connect" in said
    said = await start_fails(Config(data=tmp_path / "none", nats=nobody, metrics=MetricsSettings(port=0)))
    assert "credentials" in said


async def test_foreign_credentials_are_said(external: External, tmp_path: Path) -> None:
    """A server of another venue is told apart from one that does not answer."""
    other = VenueFiles(tmp_path / "other")
    other.create_keyring()
    said = await start_fails(
        Config(data=other.data, nats=NatsSettings(url=external.url), metrics=MetricsSettings(port=0))
    )
    assert "cannot connect" in said
    assert "uthoriz" in said, said


async def start_second(external: External, setting: Setting) -> Daemon:
    """Start a second daemon on the same journal; the first may write in between, so it may take some tries."""
    for _ in range(20):
        second = Daemon(external.config())
        try:
            await second.start()
        except DaemonError as error:
            if "another leader" not in str(error):
                raise
            continue
        return second
    pytest.fail("the second daemon never got to lead")


async def test_a_replaced_leader_stops_and_releases_nothing(external: External) -> None:
    """When a second daemon leads, the first ends with an error, and answers nothing that is not stored."""
    async with external.journal() as client:
        await create_venue(client)
    async with running_daemon(external.config()) as setting:
        await set_up_market(setting, "alice")
        first = setting.daemon
        second = await start_second(external, setting)
        try:
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(DaemonError, match="Replaced"):
                    await first.wait()
            assert first.host is not None
            assert second.host is not None
            stale = first.host.hash
            assert second.host.engine.epoch > 1
            async with setting.connect("alice") as alice:
                order = await alice.buy("cpu", 1, "1.00")
                assert [live.id for live in await alice.open_orders()] == [order.id]
                assert (await alice.status()).epoch == second.host.engine.epoch
            # The first has released nothing since: the chain of its durable records has ended.
            assert first.host.hash == stale
            assert second.host.engine.check_invariants() == []
        finally:
            await second.stop()
    # What both wrote is one journal.
    async with running_daemon(external.config()) as setting:
        assert setting.engine.epoch > 2
        assert len(setting.engine.mechanisms["orders"].traders["alice"].orders) == 1


async def test_a_replaced_leader_answers_no_more(external: External) -> None:
    """After it was replaced the first daemon, still running, leaves commands and queries to the second."""
    async with external.journal() as client:
        await create_venue(client)
    async with running_daemon(external.config()) as setting:
        await set_up_market(setting, "alice")
        second = await start_second(external, setting)
        try:
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(DaemonError):
                    await setting.daemon.wait()
            async with open_client(setting.url, setting.creds("alice"), "alice") as (client, _):
                inbox = await client.subscribe("_INBOX.alice.many.>")
                for n in range(5):
                    # Malformed, unknown and good ones: each gets exactly one answer, from the leader.
                    command = {
                        "type": "orders.place",
                        "id": f"raw.{n + 1}",
                        "valid_until_us": second.host.engine.time_us + 9_000_000,
                    }
                    good = {**command, "market": "cpu", "side": "buy", "quantity": 1, "price": 10_000}
                    for k, payload in enumerate((b"{", msgspec.json.encode(good), b"x" * 600_000)):
                        await client.publish(
                            "exchange.v1.cmd.alice.orders", payload, reply=f"_INBOX.alice.many.{n}.{k}"
                        )
                    query = b'{"type":"venue.hello"}'
                    await client.publish("exchange.v1.query.alice.venue", query, reply=f"_INBOX.alice.many.{n}.q")
                heard = [await inbox.next_msg(timeout=WAIT_S) for _ in range(20)]
                # Whatever else was on its way has left before the answer to one more query.
                await client.request("exchange.v1.query.alice.venue", b'{"type":"venue.hello"}', timeout=WAIT_S)
                await client.flush(timeout=WAIT_S)
                assert inbox.pending_msgs == 0, "somebody answered twice"
                assert len({msg.subject for msg in heard}) == 20
        finally:
            await second.stop()


async def test_a_broken_connection_begins_a_new_epoch(tmp_path: Path) -> None:
    """When the egress connection was interrupted, what may be lost is repaired: the epoch moves on."""
    async with running_daemon(config(tmp_path / "venue")) as setting:
        await set_up_market(setting, "alice")
        epoch = setting.engine.epoch
        async with setting.connect("alice") as alice:
            clients = await kick(setting, "exchange-gateway")
            assert clients
            await wait_until(lambda: setting.engine.epoch > epoch, "no new epoch after the interruption")
            order = await alice.buy("cpu", 1, "1.00")
            assert order.status == "new"


async def test_events_go_on_while_orders_flow_over_a_new_epoch(tmp_path: Path) -> None:
    """An agent that trades all the time hears all its events, dense, also when an epoch begins in between."""
    async with running_daemon(config(tmp_path / "venue")) as setting:
        await set_up_market(setting, "alice")
        async with setting.connect("alice") as alice:
            heard: list[int] = []
            placed: set[int] = set()
            told: set[int] = set()

            async def listen() -> None:
                async for event in alice.events(since=0):
                    heard.append(event.seq)  # type: ignore[union-attr]
                    told.add(getattr(event, "order_id", 0))

            listening = asyncio.create_task(listen())
            try:
                for n in range(400):
                    if n % 100 == 50:
                        assert await kick(setting, "exchange-gateway")
                    placed.add((await alice.buy("cpu", 1, "0.01", timeout=20)).id)
                    if n > 60:
                        await asyncio.sleep(0.005)
                # Traffic goes on, so nothing but the feed itself may bring back what was missed.
                async with asyncio.timeout(8):
                    while placed - told:
                        await alice.buy("cpu", 1, "0.01", time_in_force="ioc", timeout=20)
                assert heard == list(range(1, len(heard) + 1))
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


async def kick(setting: Setting, name: str) -> int:
    """Cut every connection of a name from the server; return how many."""
    keyring = Keyring.load(setting.daemon.files.keys)
    creds = str(keyring.system_creds_path)
    client = await nats.connect(setting.url, user_credentials=creds, inbox_prefix="_INBOX.system")
    try:
        listed = await client.request("$SYS.REQ.SERVER.PING.CONNZ", b"{}", timeout=WAIT_S)
        answer = msgspec.json.decode(listed.data)
        kicked = [entry for entry in answer["data"]["connections"] if entry.get("name", "").startswith(name)]
        for entry in kicked:
            request = msgspec.json.encode({"cid": entry["cid"]})
            await client.request(f"$SYS.REQ.SERVER.{answer['server']['id']}.KICK", request, timeout=WAIT_S)
        return len(kicked)
    finally:
        await client.close()
