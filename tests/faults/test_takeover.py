"""Two daemons and one journal, as real processes: whoever falls silent is replaced, and releases nothing after."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import nats
import pytest

from agent_sdk import connect
from tests.daemon.support import External, open_client, wait_until
from tests.faults.cluster import Cluster
from tests.faults.flips import flip_bit, journal_blocks
from tests.faults.record import record
from tests.faults.replay import Replay
from tests.faults.test_kill import AGENTS, WORKERS, acknowledged, prove_at_rest, prove_so_far, tell, trading_again
from tests.faults.traders import Trader
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TAKEOVER_AFTER_S = 1.0
LEADING_WITHIN_S = 2.0

IN_ONE_WRITE = len(AGENTS) * WORKERS
"""At most so many messages are written at once: replies to all that is under way, or what they brought forth."""

_ANY_STATE = 2
"""Asks nats-server for open and closed connections."""


class Pair:
    """Two daemons of one venue, started by the same command; one of them leads.

    ``places`` says for each by what URL it sees the server, and the words that let it run there.
    """

    def __init__(
        self, directory: Path, server: External | Cluster, places: dict[str, tuple[str, tuple[str, ...]]] | None = None
    ) -> None:
        flags = ("--standby", "--takeover-after", f"{TAKEOVER_AFTER_S}s")
        keys = server.files.keys
        places = places or dict.fromkeys(("left", "right"), (server.url, ()))
        self.daemons = [
            VenueProcess(directory / name, url, keys=keys, flags=flags, within=within)
            for name, (url, within) in places.items()
        ]
        self.took_s: list[float] = []
        """The seconds of each takeover."""

    async def start(self) -> None:
        """Start both, and return when one leads."""
        await asyncio.gather(*(daemon.start() for daemon in self.daemons))
        await self.wait_for_leader()

    async def wait_for_leader(self, among: VenueProcess | None = None) -> None:
        """Wait until a daemon, or this one, leads."""
        daemons = self.daemons if among is None else [among]
        await wait_until(lambda: any(daemon.state == "leading" for daemon in daemons), "nobody leads", 30)

    @property
    def leader(self) -> VenueProcess:
        """The daemon that leads."""
        return next(daemon for daemon in self.daemons if daemon.is_running and daemon.state == "leading")

    def other(self, daemon: VenueProcess) -> VenueProcess:
        """Return the other of the two."""
        return next(each for each in self.daemons if each is not daemon)

    async def kill_leader(self) -> None:
        """Kill whoever leads, measure how long it takes until the other does, and start the dead one again."""
        victim = self.leader
        heir = self.other(victim)
        await victim.kill()
        await self._measure(heir)
        await victim.start()

    async def freeze_leader(self) -> VenueProcess:
        """Let whoever leads stand still until the other leads; return the frozen one."""
        victim = self.leader
        victim.signal(signal.SIGSTOP)
        await self._measure(self.other(victim))
        return victim

    async def _measure(self, heir: VenueProcess) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self.wait_for_leader(heir)
        self.took_s.append(round(loop.time() - started, 2))

    async def stop(self) -> None:
        """Kill what runs."""
        for daemon in self.daemons:
            await daemon.stop()


@contextlib.asynccontextmanager
async def trading_pair(
    directory: Path, server: External | Cluster, seed: int
) -> AsyncIterator[tuple[Pair, list[Trader]]]:
    """Run two daemons on a server, and four agents that trade on the venue all the time."""
    pair = Pair(directory, server)
    traders: list[Trader] = []
    try:
        await pair.start()
        venue = pair.daemons[0]
        async with connect(venue.url, server.files.agent_creds("operator")) as operator:
            await operator.admin.register_asset("cpu")
            await operator.admin.create_market("cpu", "cpu", tick=1, price_band_bp=0)
            for agent in AGENTS:
                await operator.admin.register_agent(agent, agent, endowment=10_000)
                await operator.admin.issue_asset("cpu", agent, 1_000)
        for n, agent in enumerate(AGENTS):
            trader = Trader(agent, venue, Random(f"{seed} {n}"))
            traders.append(trader)
            await trader.start(WORKERS)
        yield pair, traders
    finally:
        for trader in traders:
            await trader.close()
        await pair.stop()


async def prove_all(server: External | Cluster, traders: list[Trader]) -> dict[str, int]:
    """Compare everything that was ever heard with a replay of the journal."""
    replay = Replay()
    async with server.journal() as client:
        await replay.read(client)
    assert replay.engine.check_invariants() == []
    assert replay.engine.conservation_difference() == 0
    for trader in traders:
        assert replay.engine.agents[trader.id].seq == len(trader.events)
        for command_id, heard in trader.transport.replies.items():
            accepted = {outcome for outcome in heard if msgspec.json.decode(outcome)["status"] == "accepted"}
            assert accepted <= replay.outcomes.get((trader.id, command_id), set()), (
                f"{command_id} is not in the journal"
            )
    return {"records": replay.last, "epochs": len(replay.began_us), "commands": replay.engine.commands_applied}


async def finish(pair: Pair, server: External | Cluster, traders: list[Trader], what: str, **more: Any) -> None:
    """Prove at rest and by the journal that nothing was lost or doubled."""
    venue = pair.daemons[0]
    # The operator's credential lies with the venue's keys.
    venue.files = server.files
    await prove_at_rest(venue, traders)
    tell(what, venue, traders, took_s=pair.took_s, **more, **await prove_all(server, traders))
    assert "Traceback" not in "".join(daemon.said() for daemon in pair.daemons)


@pytest.mark.slow
async def test_a_standby_leads_within_two_seconds_of_a_kill(tmp_path: Path, external: External) -> None:
    """Five times SIGKILL of the leader under load: the other leads within 2 s, nothing is lost or doubled."""
    random = Random(1)
    async with trading_pair(tmp_path, external, 1) as (pair, traders):
        for _ in range(5):
            await asyncio.sleep(random.uniform(0.2, 0.8))
            await pair.kill_leader()
            await prove_so_far(traders)
        await finish(pair, external, traders, "leader killed")
        record(
            "`kill -9` of a leader with a standby (`--takeover-after 1s`)", times=5,
            acknowledged=acknowledged(traders), recovery_s=pair.took_s, remark="until the standby leads",
        )  # fmt: skip
        assert max(pair.took_s) <= LEADING_WITHIN_S


async def send_what_a_leader_would_answer(venue: VenueProcess) -> None:
    """Put queries, and messages to refuse, into the sockets of whoever listens to them."""
    agent = AGENTS[0]
    async with open_client(venue.url, venue.creds(agent), agent) as (client, _):
        for n in range(50):
            inbox = f"_INBOX.{agent}.{n}"
            await client.publish(f"exchange.v1.query.{agent}.venue", b'{"type":"venue.status"}', reply=inbox)
            await client.publish(f"exchange.v1.cmd.{agent}.orders", b"nonsense", reply=inbox)
            await client.publish(f"exchange.v1.cmd.{agent}.orders", bytes(1_000_000), reply=inbox)
        await client.flush()


async def sent_by(external: External, pid: int) -> int:
    """Return how many messages the server has taken from a daemon's gateway, over open and closed connections."""
    name = f"exchange-gateway-{pid}"
    creds = str(external.keyring.system_creds_path)
    client = await nats.connect(external.url, user_credentials=creds, inbox_prefix="_INBOX.system")
    try:
        query = msgspec.json.encode({"state": _ANY_STATE, "limit": 4_096})
        asked = await client.request("$SYS.REQ.SERVER.PING.CONNZ", query, timeout=5)
        found = msgspec.json.decode(asked.data)["data"]["connections"]
        return sum(each["in_msgs"] for each in found if each.get("name") == name)
    finally:
        await client.close()


@pytest.mark.slow
@pytest.mark.parametrize("thaw_after_s", [0.5, 8.0])
async def test_a_frozen_leader_releases_nothing_when_it_wakes(
    tmp_path: Path, external: External, thaw_after_s: float
) -> None:
    """It finds itself replaced and ends, whatever lay in its sockets: commands, queries, what it would refuse.

    Stopped between its last look at the lease and the write that follows, it ends that write when it wakes: what that
    tells was stored while it led. After the longer wait the server has given its connections up, too.
    """
    async with trading_pair(tmp_path, external, 2) as (pair, traders):
        await asyncio.sleep(0.5)
        victim = await pair.freeze_leader()
        await send_what_a_leader_would_answer(pair.daemons[0])
        await trading_again(traders)
        await asyncio.sleep(thaw_after_s)
        before = await sent_by(external, victim.pid)
        assert before > 100
        victim.signal(signal.SIGCONT)
        pid = victim.pid
        assert await victim.ended() == 1
        assert "Replaced" in victim.said()
        assert await sent_by(external, pid) - before <= IN_ONE_WRITE
        assert pair.other(victim).state == "leading"
        await victim.start()
        await wait_until(lambda: victim.state == "following", "it does not follow when started again")
        await prove_so_far(traders)
        await finish(pair, external, traders, "leader frozen", thaw_after_s=thaw_after_s)
        record(
            f"SIGSTOP of a leader with a standby, SIGCONT {thaw_after_s:g} s after the takeover", times=1,
            acknowledged=acknowledged(traders), recovery_s=pair.took_s,
            remark="it ends; nothing leaves but what was stored",
        )  # fmt: skip
        assert max(pair.took_s) <= LEADING_WITHIN_S


@pytest.mark.slow
async def test_a_replicated_journal_outlives_its_leaders(tmp_path: Path) -> None:
    """On three servers: the daemon that leads is killed, then the server that leads the journal's stream."""
    cluster, random = Cluster(tmp_path), Random(3)
    try:
        await cluster.start()
        async with trading_pair(tmp_path, cluster, 3) as (pair, traders):
            for _ in range(2):
                await asyncio.sleep(0.5)
                await pair.kill_leader()
                await prove_so_far(traders)
            assert max(pair.took_s) <= LEADING_WITHIN_S
            outages_s = []
            for _ in range(2):
                number = await cluster.leader_of_the_journal()
                await cluster.kill_one(number)
                outages_s.append(round(await trading_again(traders), 3))
                # It comes back with a bit flipped in what it stored, and makes up for it from the others.
                flip_bit(journal_blocks(cluster.store(number))[-1], random)
                await cluster.start_one(number)
                await cluster.all_current()
                await prove_so_far(traders)
            await finish(pair, cluster, traders, "replicated journal", outages_s=outages_s)
            record(
                "`kill -9` of a leader whose journal is on three servers", times=2, acknowledged=acknowledged(traders),
                recovery_s=pair.took_s, remark="until the standby leads",
            )  # fmt: skip
            record(
                "`kill -9` of the server that leads the journal's stream, of three", times=2, recovery_s=outages_s,
                remark="in the same run; the servers elect another",
            )  # fmt: skip
            record(
                "one bit flips in the journal of one of three servers while it is down", times=2,
                remark="in the same run; it is led on by the others' copies",
            )  # fmt: skip
    finally:
        await cluster.stop()
