"""Start, run and stop the exchange: server, connections, replay, leadership, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from nats.errors import Error as NatsError

from exchange.adapters import bus
from exchange.adapters.archive import Archive
from exchange.adapters.clock import VenueClock
from exchange.adapters.credentials import AccountOnly, CredentialError, Keyring, account_of
from exchange.adapters.embedded_server import EmbeddedServer, EmbeddedServerError, ServerTls
from exchange.adapters.fenced_log import NoAnswer
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal, JournalGap, JournalMissing, Replaced
from exchange.adapters.listener import Listener
from exchange.adapters.metrics import Metrics, MetricsServer
from exchange.adapters.poison_file import PoisonFile
from exchange.adapters.records import JournalCorrupt
from exchange.adapters.server_admin import ServerAdmin
from exchange.adapters.snapshot_copies import SnapshotCopies
from exchange.adapters.snapshots import SnapshotStore
from exchange.adapters.tar_pit import TarPit
from exchange.adapters.venue_files import OPERATOR, VenueFiles
from exchange.daemon.clock_guard import ClockGuard
from exchange.daemon.creation import create_venue, new_writer
from exchange.daemon.determiner import Determiner
from exchange.daemon.guard import Guard
from exchange.daemon.host import Host
from exchange.daemon.lease import Lease
from exchange.daemon.poison import WARNINGS, Poisoned, Poisons
from exchange.daemon.preserve import Task
from exchange.daemon.preserver import Preserver
from exchange.daemon.recovery import explain_missing, fetch_newer, load_newest
from exchange.daemon.replica import ClockRefused, Replica, StartOver, TakeoverRefused, stall_handler
from exchange.daemon.snapshotter import Snapshotter
from exchange.nats_client import NatsClient
from exchange.tls import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from nats.aio.msg import Msg

    from exchange.adapters.snapshots import Snapshot
    from exchange.config import Config, NatsSettings
    from exchange.daemon.leader import Leader

__all__ = ["Daemon", "DaemonError", "StartOver", "TakeoverRefused"]

_FLUSH_S = 1
_CANCEL_AGAIN_S = 3

_HEAL_POLL_S = 0.25
_IGNORED_WRITES = 1
_ROOM_BYTES = 16 * 1024 * 1024
"""What must be free before a server is started again that could not write; the largest record takes half of it."""

_SYNC = {"always": "always", "lazy": "2m"}
"""The words of the configuration in those of nats-server."""

_STORE_WATCH_S: Final = 10.0

log = structlog.get_logger(__name__)


class DaemonError(Exception):
    """Raised when the daemon cannot start or go on; the message says what to do."""


class Daemon:
    """Run one venue by its configuration.

    ::

        daemon = Daemon(config)
        await daemon.start()      # replayed; leading, or following as a standby; reachable at daemon.url
        await daemon.wait()       # until it fails
        await daemon.stop()

    ``on_lead`` is called when a standby begins to lead.
    """

    def __init__(self, config: Config, on_lead: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.is_leading = False
        self._on_lead = on_lead
        self._lease = Lease(config.standby.takeover_after_s)
        self.files = VenueFiles(config.data)
        self.url = config.nats.url or ""
        self.host: Host | None = None
        self.snapshotter: Snapshotter | None = None
        self.preserver: Preserver | None = None
        self.metrics: Metrics | None = None
        self.metrics_url: str | None = None
        self._closing = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] | None = None
        self._creating: str | None = None
        self._journal: Journal | None = None
        self._journal_creds: Path | None = None
        self._server: EmbeddedServer | None = None
        self._leader: Leader | None = None
        self._keyring: Keyring | None = None
        nats = config.nats
        files = (nats.tls_ca, nats.tls_cert, nats.tls_key)
        self.tls = TlsFiles(*files) if any(files) else TlsFiles.from_env()
        self._ingress = bus.Ingress()
        self._outgoing = NatsClient()
        self._egress = bus.Egress(self._outgoing, self._lease.wait_to_refuse)
        self._store = SnapshotStore(self.files.snapshots, keep=config.snapshots.keep)

    # ── start and stop ──────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Start everything; return when this daemon leads the venue and takes commands, or follows as a standby.

        Raises:
            DaemonError: it cannot; what was started is stopped again.
        """
        self._failed = asyncio.get_running_loop().create_future()
        try:
            await self._unless_failed(self._start())
        except (
            bus.BusError, CredentialError, EmbeddedServerError, JournalMissing, JournalCorrupt, JournalGap,
            NoAnswer, ClockRefused, Poisoned, Replaced, StartOver, OSError,
        ) as error:  # fmt: skip
            await self.stop()
            raise DaemonError(str(error)) from error
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        if self.config.standby.enabled and self.config.nats.url is None:
            message = (
                "a standby follows the journal of a server that outlives its leader: give its URL with --nats "
                "(an embedded server ends with its daemon)"
            )
            raise DaemonError(message)
        keyring = self._keyring = await self._start_server()
        nats = self.config.nats
        gateway_creds = nats.creds or (keyring.gateway_creds_path if keyring else None)
        journal_creds = nats.journal_creds or (keyring.journal_creds_path if keyring else None)
        if gateway_creds is None or journal_creds is None:
            message = (
                f"no credentials: {self.files.data} holds no venue. If its disk is not mounted, mount it; "
                f"else run `exchange init --data {self.files.data} --nats {nats.url}`, "
                "or give --creds and --journal-creds"
            )
            raise DaemonError(message)
        if self.config.snapshots.copies and self._creating is None:
            await self._fetch_newer(journal_creds)
        # Before there are connections, which would be given up while it takes its time.
        host, snapshot = load_newest(
            self._store,
            lambda: Host(
                send=self._egress.refuse, now_s=time.monotonic, limits=self.config.limits, writer=new_writer()
            ),
        )
        core = bus.Ingress()
        await self._connect(journal_creds, "journal", core, on_disconnect=self._lose_journal)
        if self._creating is not None:
            await create_venue(core, operator=self._creating)
            self.files.finish_creation()
        self._journal_creds = journal_creds
        await self._open(host, snapshot, core, gateway_creds)

    async def _fetch_newer(self, journal_creds: Path) -> None:
        client = await bus.connect(self.url, journal_creds, "journal", tls=self.tls)
        try:
            await fetch_newer(self._store, SnapshotCopies(client))
        finally:
            await client.close()

    async def _unless_failed(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work, unless what it waits for cannot come any more."""
        assert self._failed is not None  # noqa: S101 - start() made it
        working = asyncio.ensure_future(work)
        try:
            await asyncio.wait({working, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            await (working if working.done() else self._failed)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def stop(self) -> None:
        """Stop leading, close the connections, stop the embedded server."""
        running = set(self._tasks)
        self._tasks.clear()
        # Whoever waits with a time-out may miss it at the moment of the answer, so it is said again; but not before
        # everybody has had the time to tidy up.
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
        await self._closing.aclose()
        if self._failed is not None and self._failed.done() and not self._failed.cancelled():
            # Whoever stops it need not have waited.
            self._failed.exception()

    async def wait(self) -> None:
        """Wait until the daemon cannot go on.

        Raises:
            StartOver: a standby cannot follow or take over as it is; another one must be started to follow.
            DaemonError: anything else; the message says why.
        """
        assert self._failed is not None  # noqa: S101 - start() made it
        await self._failed

    def fail(self, reason: str | StartOver) -> None:
        """Let ``wait`` raise."""
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(DaemonError(reason) if isinstance(reason, str) else reason)

    # ── parts ───────────────────────────────────────────────────────────────────────────────────

    async def _start_server(self) -> Keyring | None:
        """Start the embedded server, creating the venue's directory the first time."""
        nats = self.config.nats
        self._creating = None
        if nats.url is not None:
            if not self.files.exists():
                return None
            return _upgraded(Keyring.load(self.files.keys))
        operator = self.files.creating_operator()
        if operator is None and self.files.exists():
            keyring = Keyring.load(self.files.keys)
        else:
            # New, or a start before this one was killed while it created the venue.
            operator = operator or OPERATOR
            keyring = self.files.create_keyring(operator)
        _upgraded(keyring)
        self._creating = operator
        if nats.sync == "lazy":
            log.warning("lazy sync: a power loss may lose acknowledged orders")
        server = EmbeddedServer(
            self.files.nats,
            keyring,
            host=nats.host,
            port=nats.port or None,
            sync=_SYNC[nats.sync],
            tls=_server_tls(nats),
            on_exit=lambda code: self.fail(f"the embedded nats-server ended by itself (exit code {code})"),
        )
        await server.start()
        self._closing.push_async_callback(server.stop)
        self._server = server
        self.url = server.url
        log.info("embedded nats-server started", url=server.url, pid=server.pid)
        return keyring

    async def _connect(
        self,
        creds: Path,
        name: str,
        client: NatsClient,
        *,
        on_disconnect: Callable[[], None] = lambda: None,
        on_reconnect: Callable[[], None] = lambda: None,
    ) -> None:
        await bus.connect(
            self.url, creds, name, client=client,
            on_disconnect=on_disconnect, on_reconnect=on_reconnect, on_end=self.fail, tls=self.tls,
        )  # fmt: skip
        self._closing.push_async_callback(client.close)

    async def _open(self, host: Host, snapshot: Snapshot | None, core: NatsClient, gateway_creds: Path) -> None:
        """Recover the state of the venue; then lead it, or follow who does."""
        started = time.monotonic()
        self.host = host
        replica = await self._make_replica(host, core)
        await replica.recover(snapshot)
        await self._connect(gateway_creds, "gateway", self._ingress)
        await self._connect(gateway_creds, "gateway", self._outgoing, on_reconnect=self._request_epoch)
        if self.config.metrics.enabled:
            server = MetricsServer(replica.metrics, self.config.metrics.host, self.config.metrics.port)
            server.start()
            self._closing.callback(server.stop)
            self.metrics_url = host.answers.metrics_url = server.url
        if self.config.standby.enabled:
            replica.metrics.observe_followed(host.engine.index, host.engine.epoch)
            self._run(self._stand_by(replica), "standby")
            log.info("following", url=self.url, index=host.engine.index)
        else:
            await self._lead(replica)
        log.info("venue is open", url=self.url, epoch=host.engine.epoch, index=host.engine.index,
            leading=self.is_leading, seconds=round(time.monotonic() - started, 3),
        )  # fmt: skip

    async def _make_replica(self, host: Host, core: NatsClient) -> Replica:
        lease = self._lease
        on_stall = stall_handler(host, lease, self._egress)
        journal = self._journal = Journal(core, on_stall, fresh_s=lease.duration_s)
        # A standby needs no venue of its own here, only credentials.
        self.files.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        high_water = HighWaterFile(self.files.high_water)
        self._closing.callback(high_water.close)
        try:
            await journal.open()
        except JournalMissing as error:
            explain_missing(high_water, error)
        if self._server is not None:
            self._run(self._heal(self._server, journal), "nats-server")
        metrics = self.metrics = Metrics(host)
        metrics.trouble = lambda: journal.trouble

        def on_snapshot(index: int, seconds: float, is_good: bool) -> None:  # noqa: FBT001 - the snapshotter's callback
            metrics.observe_snapshot(index, seconds, is_good)
            if is_good and self.preserver is not None:
                self.preserver.want()

        snapshotter = self.snapshotter = Snapshotter(
            self._store, self.config.snapshots.every_commands, on_snapshot, metrics.observe_check
        )
        self._closing.callback(snapshotter.close)

        def new_clock(time_us: int) -> VenueClock:
            clock = VenueClock(time_us)
            metrics.watch_clock(clock)
            return clock

        self._clock_guard = ClockGuard(
            host.engine, self.files.accept_time, accepts=self.config.clock.accept_time,
            on_refusal=metrics.observe_clock_refusal,
        )  # fmt: skip
        return Replica(
            host=host,
            journal=journal,
            egress=self._egress,
            lease=lease,
            high_water=high_water,
            store=self._store,
            snapshots=snapshotter,
            metrics=metrics,
            new_clock=new_clock,
            refuse_clock=self._clock_guard.refuse,
            poisons=await self._make_poisons(core),
            archive=None if self.config.journal.archive is None else Archive(self.config.journal.archive),
        )

    async def _make_poisons(self, core: NatsClient) -> Poisons:
        """Keep notes of what broke the engine, and hear from other daemons of the venue what broke theirs."""
        warnings: list[bytes] = []
        poisons = Poisons(PoisonFile(self.files.poison), warnings.append)

        async def hear(message: Msg) -> None:
            poisons.hear(message.data)

        async def warn() -> None:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                for warning in warnings:
                    await core.publish(WARNINGS, warning)
                    await core.flush(_FLUSH_S)

        await core.subscribe(WARNINGS, cb=hear)
        # The last thing that is said before the connection is closed.
        self._closing.push_async_callback(warn)
        return poisons

    async def _heal(self, server: EmbeddedServer, journal: Journal) -> None:
        """Start the embedded server again when it stores nothing any more.

        After an error of the disk nats-server takes no record of the stream until its end, whatever becomes of the
        disk, and says so only in its log. Nothing is lost by that: the record is held, and written again.
        """
        is_told = False
        while True:
            await asyncio.sleep(_HEAL_POLL_S)
            if journal.ignored_writes < _IGNORED_WRITES:
                continue
            free = server.free_bytes()
            if free < _ROOM_BYTES:
                if not is_told:
                    log.error("the disk is full: make room, and the venue goes on by itself", free_bytes=free)
                is_told = True
                continue
            log.error("nats-server stores nothing, after an error of the disk: starting it again", free_bytes=free)
            journal.ignored_writes, is_told = 0, False
            await server.restart()
            log.warning("nats-server started again", url=server.url, pid=server.pid)

    async def _stand_by(self, replica: Replica) -> None:
        """Follow until it is time, then lead; whoever runs this notices when that ends."""
        await replica.follow(self.config.standby.takeover_after_s)
        log.warning("the leader is silent: taking over", index=replica.host.engine.index)
        await self._lead(replica)
        self._on_lead()

    async def _lead(self, replica: Replica) -> None:
        leader = self._leader = await replica.take_lead()
        self._clock_guard.used()
        self.is_leading = True
        self._ingress.on_drop = replica.host.gateway.count_undecodable
        self._run(self._egress.run(), "egress")
        self._run(leader.run(), "leader")
        self._run(Determiner(replica.host, leader.submit).run(), "determiner")
        preserver = self.preserver = Preserver(
            self._task(),
            replica.journal,
            lambda: self._lease.is_held,
            lambda done: replica.metrics.observe_preserved(done.first, is_good=not done.problem),
        )
        self._run(preserver.run(), "preserver")
        if self._store.indexes():
            # Who led before may not have come to it.
            preserver.want()
        listener = Listener(self._ingress, leader.receive_command, leader.receive_query)
        await listener.open()
        self._run(self._guard(replica, leader, listener), "guard")

    async def _guard(self, replica: Replica, leader: Leader, listener: Listener) -> None:
        """Keep away whom the venue does not want; disconnect them, too, where there is a credential for it."""
        nats, keyring = self.config.nats, self._keyring
        creds = nats.system_creds or (keyring.guard_creds_path if keyring else None)
        gateway_creds = nats.creds or self.files.keys / "gateway.creds"
        claims = keyring or AccountOnly(account_of(gateway_creds))
        client, tar_pit = NatsClient(), TarPit(self.url, gateway_creds, self.tls)
        self._closing.push_async_callback(tar_pit.close)
        host, admin = replica.host, ServerAdmin(client)
        guard = Guard(host, listener, tar_pit, admin, claims, self.config.limits, leader.submit, time.monotonic)
        leader.on_registered = guard.welcome
        host.gateway.on_flood = guard.report_flood
        host.gateway.kicks = guard.kicks
        try:
            if creds is None or not creds.exists():
                what = f"no {creds}" if creds is not None else "no credential for it"
                message = f"there is {what}; give --system-creds, or run `exchange init` again"
                raise bus.BusError(message)  # noqa: TRY301 - the same is done about both
            look_again = guard.look_again
            await bus.connect(self.url, creds, creds.stem, client=client, on_reconnect=look_again, tls=self.tls)
            self._closing.push_async_callback(client.close)
            self._run(self._watch_store(admin, replica.metrics), "store watch")
        except bus.BusError as error:
            log.warning("nobody can be disconnected", error=str(error))
            guard.has_door = False
        await guard.run()

    async def _watch_store(self, admin: ServerAdmin, metrics: Metrics) -> None:
        """Keep an eye on the room for the journal: the server's own health check stays green when there is none."""
        while True:
            use = None
            with contextlib.suppress(NatsError, OSError):
                use = await admin.store_use()
            if use is not None and self._server is not None:
                use = use._replace(limit=min(use.limit, use.used + self._server.free_bytes()))
            metrics.observe_store(use)
            await asyncio.sleep(_STORE_WATCH_S)

    def _task(self) -> Task:
        snapshots, journal = self.config.snapshots, self.config.journal
        return Task(
            url=self.url,
            creds=str(self._journal_creds),
            snapshots=str(self._store.directory),
            keep=snapshots.keep,
            copies=snapshots.copies,
            trim=journal.trim,
            archive=None if journal.archive is None else str(journal.archive),
            tls=tuple(None if file is None else str(file) for file in self.tls),  # type: ignore[arg-type]
        )

    def _request_epoch(self) -> None:
        if self._leader is not None:
            self._leader.request_epoch()

    def _lose_journal(self) -> None:
        if self._journal is not None:
            self._journal.lost_connection()

    def _run(self, coroutine: object, name: str) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine, name=name)  # type: ignore[arg-type]
        task.add_done_callback(self._on_task_end)
        self._tasks.append(task)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None and task.get_name() in ("standby", "guard", "determiner"):
            return
        if isinstance(error, StartOver):
            log.warning("this standby has to start over", error=str(error))
            self.fail(error)
            return
        # Whoever leads now answers; nothing leaves this daemon any more, refusals included.
        self._ingress.deafen()
        self._egress.silence()
        log.critical("stopped leading", task=task.get_name(), error=repr(error))
        self.fail(f"{type(error).__name__}: {error}" if error else f"{task.get_name()} ended")


def _server_tls(nats: NatsSettings) -> ServerTls | None:
    if nats.server_cert is None or nats.server_key is None:
        if (nats.server_cert, nats.server_key, nats.server_client_ca) == (None, None, None):
            return None
        message = "nats.server_cert and nats.server_key belong together; nats.server_client_ca needs both"
        raise DaemonError(message)
    return ServerTls(nats.server_cert, nats.server_key, nats.server_client_ca)


def _upgraded(keyring: Keyring) -> Keyring:
    """Add to a keyring what this version needs, if its place may be written."""
    try:
        keyring.upgrade()
    except CredentialError as error:
        log.warning("the keyring cannot be completed", error=str(error))
    return keyring
