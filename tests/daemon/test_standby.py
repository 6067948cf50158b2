"""A standby against a real server: it follows, takes over from a silent leader, and lets one lead at a time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from exchange.adapters.clock import VenueClock
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal
from exchange.adapters.metrics import Metrics
from exchange.adapters.snapshots import SnapshotStore
from exchange.config import Config, LogSettings, MetricsSettings, NatsSettings, SnapshotSettings, StandbySettings
from exchange.daemon import Daemon, DaemonError, Host, TakeoverRefused
from exchange.daemon.creation import create_venue
from exchange.daemon.lease import Lease
from exchange.daemon.replica import Replica
from exchange.daemon.snapshotter import Snapshotter
from tests.daemon.support import WAIT_S, External, Setting, running_daemon, set_up_market, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TAKEOVER_S = 0.6


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[External]:
    """Run a server that no daemon owns, with a new venue on it."""
    external = External(tmp_path)
    await external.start()
    async with external.journal() as client:
        await create_venue(client)
    yield external
    await external.stop()


def settings(external: External, name: str, *, standby: bool, snapshot_every: int = 0) -> Config:
    """Return the settings of one daemon of the venue, in a directory of its own."""
    return Config(
        data=external.files.data.parent / name,
        nats=NatsSettings(
            url=external.url,
            creds=external.keyring.gateway_creds_path,
            journal_creds=external.keyring.journal_creds_path,
        ),
        metrics=MetricsSettings(port=0),
        snapshots=SnapshotSettings(every_commands=snapshot_every),
        standby=StandbySettings(enabled=standby, takeover_after_s=TAKEOVER_S),
        log=LogSettings(),
    )


@contextlib.asynccontextmanager
async def leading(external: External, **options: Any) -> AsyncIterator[Setting]:
    """Run a leader for the length of the block, with the operator's and agents' credentials at hand."""
    async with running_daemon(settings(external, "leader", standby=False, **options)) as setting:
        # The credentials of agents come from the venue's own directory.
        setting.daemon.files = external.files
        yield setting


def has_caught_up(standby: Daemon, leader: Daemon) -> bool:
    """Return whether a standby is where the leader is, or one beat behind."""
    assert standby.host is not None
    assert leader.host is not None
    return leader.host.engine.index - standby.host.engine.index <= 1


async def test_a_standby_follows_and_answers_nothing(external: External) -> None:
    """It comes to the leader's state, subscribes to no commands, and says over HTTP that it follows."""
    async with leading(external) as setting, running_daemon(settings(external, "second", standby=True)) as second:
        await set_up_market(setting, "alice")
        async with setting.connect("alice") as alice:
            await alice.buy("cpu", 3, "1.00")
        standby = second.daemon
        assert not standby.is_leading
        await wait_until(lambda: "alice" in second.engine.agents, "the standby does not follow")
        await wait_until(lambda: has_caught_up(standby, setting.daemon), "the standby stays behind")
        assert len(second.engine.mechanisms["orders"].traders["alice"].orders) == 1
        assert second.gateway.queued() == 0
        # As long as somebody leads, it goes on following.
        seen = second.engine.index
        await wait_until(lambda: bool(second.engine.index > seen + 6), "the journal goes on")
        assert not standby.is_leading
        assert second.engine.epoch == setting.engine.epoch


async def test_a_standby_takes_over_from_a_leader_that_ended(external: External) -> None:
    """It begins the next epoch after the silence; agents go on without being told, and nothing is lost."""
    told: list[bool] = []
    async with contextlib.AsyncExitStack() as stack:
        setting = await stack.enter_async_context(leading(external))
        await set_up_market(setting, "alice")
        alice = await stack.enter_async_context(setting.connect("alice"))
        first = await alice.buy("cpu", 1, "1.00")
        standby = Daemon(settings(external, "second", standby=True), on_lead=lambda: told.append(True))
        await standby.start()
        stack.push_async_callback(standby.stop)
        epoch = setting.engine.epoch
        await setting.daemon.stop()
        second = await alice.buy("cpu", 1, "1.01")
        assert standby.is_leading
        assert told == [True]
        assert standby.host is not None
        assert standby.host.engine.epoch == epoch + 1
        assert {order.id for order in await alice.open_orders()} == {first.id, second.id}
        assert standby.host.engine.check_invariants() == []


async def test_of_two_standbys_one_leads_and_the_other_has_to_start_over(external: External) -> None:
    """The fence lets one through; a standby that is refused has released nothing and follows when started anew."""
    configs = [settings(external, name, standby=True) for name in ("second", "third")]
    daemons = [Daemon(each) for each in configs]
    async with contextlib.AsyncExitStack() as stack:
        for daemon in daemons:
            stack.push_async_callback(daemon.stop)
        await asyncio.gather(*(daemon.start() for daemon in daemons))
        await wait_until(lambda: any(daemon.is_leading for daemon in daemons), "nobody takes over")
        leader = next(daemon for daemon in daemons if daemon.is_leading)
        other = next(daemon for daemon in daemons if daemon is not leader)
        assert leader.host is not None
        assert leader.host.engine.epoch == 1
        # It either saw the other's record in time, and follows, or was refused.
        with contextlib.suppress(TakeoverRefused, TimeoutError):
            await asyncio.wait_for(other.wait(), 2 * TAKEOVER_S)
        assert not other.is_leading
        await other.stop()
        again = Daemon(configs[daemons.index(other)])
        stack.push_async_callback(again.stop)
        await again.start()
        await wait_until(lambda: has_caught_up(again, leader), "it does not follow")
        await asyncio.sleep(2 * TAKEOVER_S)
        assert not again.is_leading
        assert leader.host.engine.epoch == 1


class Nobody:
    """Be a way out on which nothing may leave."""

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        """Send nothing."""
        assert messages == []

    def silence(self) -> None:
        """Be silent already."""


async def test_a_refused_takeover_is_said_apart(external: External, tmp_path: Path) -> None:
    """Whoever's first record meets another's ends with ``TakeoverRefused``, before anything has left."""
    async with external.journal() as client:
        host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
        journal, high_water = Journal(client), HighWaterFile(tmp_path / "high-water")
        await journal.open()
        store = SnapshotStore(tmp_path / "snapshots")
        lease = Lease(TAKEOVER_S)
        replica = Replica(
            host=host, journal=journal, egress=Nobody(), lease=lease, high_water=high_water, store=store,
            snapshots=Snapshotter(store, 0), metrics=Metrics(host), new_clock=VenueClock,
        )  # fmt: skip
        await replica.recover(None)
        async with running_daemon(settings(external, "leader", standby=False)):
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(TakeoverRefused, match="another leader wrote record 2"):
                    await replica.take_lead()
        assert not lease.is_held
        high_water.close()


async def test_of_two_that_take_over_at_the_same_instant_one_leads(external: External, tmp_path: Path) -> None:
    """Their first records say the same at the same time, and still only one of them is taken for its writer's own."""
    async with external.journal() as client, contextlib.AsyncExitStack() as stack:
        replicas = []
        for name in ("left", "right"):
            host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0, writer=name)
            journal, high_water = Journal(client), HighWaterFile(tmp_path / name)
            stack.callback(high_water.close)
            await journal.open()
            store = SnapshotStore(tmp_path / "snapshots")
            replica = Replica(
                host=host, journal=journal, egress=Nobody(), lease=Lease(TAKEOVER_S), high_water=high_water,
                store=store, snapshots=Snapshotter(store, 0), metrics=Metrics(host),
                new_clock=lambda time_us: VenueClock(time_us, monotonic_ns=lambda: 0, wall_ns=lambda: 0),
            )  # fmt: skip
            await replica.recover(None)
            replicas.append(replica)
        left, right = replicas
        async with asyncio.timeout(WAIT_S):
            await left.take_lead()
            assert left.lease.is_held
            with pytest.raises(TakeoverRefused, match="another leader wrote record 2"):
                await right.take_lead()
        assert left.host.hash != right.host.hash


async def test_a_standby_takes_snapshots_and_starts_from_them(external: External) -> None:
    """Following is enough to have the state: a standby takes snapshots, too, and recovers from them."""
    async with leading(external) as setting:
        await set_up_market(setting, "alice")
        config = settings(external, "second", standby=True, snapshot_every=5)
        async with running_daemon(config) as second, setting.connect("alice") as alice:
            for _ in range(10):
                await alice.buy("cpu", 1, "1.00")
            snapshotter = second.daemon.snapshotter
            assert snapshotter is not None
            await wait_until(lambda: snapshotter.taken_index > 0, "no snapshot is taken")
        async with running_daemon(config) as second:
            await wait_until(lambda: has_caught_up(second.daemon, setting.daemon), "it does not follow")
            assert len(second.engine.mechanisms["orders"].traders["alice"].orders) == 10


async def test_a_journal_that_is_gone_does_not_make_a_leader(external: External) -> None:
    """While the server does not answer a standby waits, however long: silence counts only on a journal that talks."""
    async with running_daemon(settings(external, "second", standby=True)) as second:
        await wait_until(lambda: second.daemon.is_leading, "nobody else leads")
    async with leading(external) as setting, running_daemon(settings(external, "second", standby=True)) as second:
        await external.kill()
        await asyncio.sleep(3 * TAKEOVER_S)
        assert not second.daemon.is_leading
        await external.start()
        index = setting.engine.index
        await wait_until(lambda: bool(setting.engine.index > index + 3), "the leader goes on")
        await wait_until(lambda: has_caught_up(second.daemon, setting.daemon), "the standby goes on")
        assert not second.daemon.is_leading


async def test_a_standby_needs_a_server_that_outlives_its_leader(tmp_path: Path) -> None:
    """An embedded server ends with its daemon, so a standby on one is refused with what to do."""
    config = Config(data=tmp_path / "venue", standby=StandbySettings(enabled=True), metrics=MetricsSettings(port=0))
    with pytest.raises(DaemonError, match="--nats"):
        await Daemon(config).start()


async def test_a_slow_journal_does_not_silence_a_leader_for_good(external: External) -> None:
    """A record that took longer than the lease is followed by one more, after which everything leaves."""
    async with leading(external) as setting:
        await set_up_market(setting, "alice")
        async with setting.connect("alice") as alice:
            placing = asyncio.create_task(alice.buy("cpu", 1, "1.00"))
            external.freeze()
            done, _ = await asyncio.wait({placing}, timeout=2 * TAKEOVER_S)
            external.signal(signal.SIGCONT)
            assert not done
            async with asyncio.timeout(WAIT_S):
                order = await placing
            assert [live.id for live in await alice.open_orders()] == [order.id]
