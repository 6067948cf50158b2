"""The promise, kept to real agents in processes of their own: the demonstration, with its venue killed under it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from agent_sdk.session import DEFAULT_TIMEOUT_S
from exchange.adapters.journal import Journal
from exchange.adapters.venue_files import VenueFiles
from exchange.cli._venue import RunFile
from exchange.daemon.verify import read_high_water
from tests.demo.support import processes
from tests.faults.audit_trails import AuditTrails
from tests.faults.record import record
from tests.faults.replay import Replay, journal_client, stopped_venue
from tests.faults.venue_process import server_pid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exchange.cli._venue import Running

AGENTS = 24
WAIT_S = 60.0
ROOT = Path(__file__).parents[2]


class Demo:
    """Hold a demonstration that runs, and read along what its agents are told."""

    def __init__(self, data: Path, process: asyncio.subprocess.Process, log: Path) -> None:
        self.data = data
        self.files = VenueFiles(data)
        self.trails = AuditTrails(data)
        self.replay = Replay()
        self.kills: Counter[str] = Counter()
        self.outages_s: list[float] = []
        self.untold: set[int] = set()
        """The records that were stored when their daemon was killed, which had told nobody of them."""
        self._process = process
        self._log = log

    # ── watching it ─────────────────────────────────────────────────────────────────────────────

    def running(self) -> Running | None:
        """Return the daemon whose venue is open, if one is."""
        return RunFile(self.data).read()

    def said(self) -> str:
        """Return the end of what the demonstration, its daemons and its agents wrote."""
        logs = (self._log, self.data / "serve.log", self.data / "agents.log")
        return "\n".join(log.read_text(errors="replace")[-2_000:] for log in logs if log.exists())

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so, reading along; the demonstration must go on meanwhile."""
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    self.trails.read()
                    if condition():
                        return
                    assert self._process.returncode is None, f"it ended before {what}:\n{self.said()}"
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_S:g} s: {what}:\n{self.said()}") from None

    async def trades_on(self, replies: int = 0) -> None:
        """Wait until every agent was told something new of its commands, and all together so often."""
        before = self.trails.replies.copy()

        def trades() -> bool:
            now = self.trails.replies
            return now.total() >= before.total() + replies and all(now[agent] > before[agent] for agent in before)

        await self.until(trades, "every agent trades on")

    # ── killing its venue ───────────────────────────────────────────────────────────────────────

    async def kill(self, what: str, *, untold: bool = False) -> None:
        """Kill the daemon, or the nats-server under it, and wait until the venue is open again.

        ``untold``: do it when a record is stored of which the daemon has told nobody. That is the moment
        at which agents repeat what was done already.
        """
        killed = self.running()
        assert killed is not None
        if untold:
            self.untold.add(await self._stop_before_replies(killed))
        started = asyncio.get_running_loop().time()
        os.kill(killed.pid if what == "daemon" else server_pid(self.files), signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed.pid, signal.SIGCONT)
        self.kills[what] += 1
        await self.until(lambda: self._is_led_since(killed), f"the venue was open again after its {what} was killed")
        self.outages_s.append(round(asyncio.get_running_loop().time() - started, 3))
        await self.prove_so_far()

    async def _stop_before_replies(self, running: Running) -> int:
        """Stop the daemon (SIGSTOP) while it waits for a record to be stored; return that, once it is."""
        async with asyncio.timeout(WAIT_S), journal_client(running.url, self.files) as client:
            journal = Journal(client)
            await journal.open()
            while True:
                os.kill(running.pid, signal.SIGSTOP)
                last, mark = await journal.last_index(), read_high_water(self.files.high_water)
                # The daemon notes what is stored before it tells anybody.
                if mark is not None and last > mark[0]:
                    return last
                os.kill(running.pid, signal.SIGCONT)
                await asyncio.sleep(0.005)

    async def kill_the_starting(self, what: str) -> None:
        """Kill the daemon; then kill its successor, or the server of that, before the venue is open again."""
        killed = self.running()
        assert killed is not None
        old_server = server_pid(self.files)
        os.kill(killed.pid, signal.SIGKILL)
        self.kills["daemon"] += 1
        started: set[int] = set()

        def starts() -> bool:
            started.update(self._daemons() - {killed.pid})
            with contextlib.suppress(ValueError):  # being written
                return bool(started) and (what == "daemon" or server_pid(self.files) != old_server)
            return False

        await self.until(starts, "the daemon was started again")
        os.kill(started.pop() if what == "daemon" else server_pid(self.files), signal.SIGKILL)
        self.kills[f"starting {what}"] += 1
        started_s = asyncio.get_running_loop().time()
        await self.until(lambda: self._is_led_since(killed), f"the venue was open again after its {what} was killed")
        self.outages_s.append(round(asyncio.get_running_loop().time() - started_s, 3))

    def _is_led_since(self, killed: Running) -> bool:
        running = self.running()
        return running is not None and running.epoch > killed.epoch

    def _daemons(self) -> set[int]:
        """Return the process ids of what the demonstration started to serve the venue."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        found = set()
        for pid in map(int, children.split()):
            with contextlib.suppress(OSError):  # it has ended
                if b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(pid)
        return found

    # ── what must be so ─────────────────────────────────────────────────────────────────────────

    async def prove_so_far(self) -> None:
        """Prove, while the load goes on, that everything the agents were told so far is in the journal, once."""
        running = self.running()
        assert running is not None
        self.trails.read()
        async with journal_client(running.url, self.files) as client:
            await self.replay.read(client)
        self.trails.compare(self.replay)
        await self.verify()

    async def prove_at_the_end(self) -> dict[str, Any]:
        """Let the demonstration come to its end, and prove that nothing at all is missing or too much."""
        async with asyncio.timeout(120):
            stdout, _ = await self._process.communicate()
        assert self._process.returncode == 0, (stdout, self.said())
        report = json.loads(stdout)
        assert report["verified"] is True
        assert {row["asset"]: row["conserved"] for row in report["conservation"]} == {"credit": True, "unit": True}
        self.trails.read()
        assert len(self.trails.events) == len(self.trails.replies) == AGENTS
        async with stopped_venue(self.files) as url, journal_client(url, self.files) as client:
            await self.replay.read(client)
        self.replay.prove(self.files)
        self.trails.compare(self.replay, at_rest=True)
        audit = await self.verify()
        assert audit["state_hash"] == report["state_hash"] == self.replay.engine.state_hash()
        return {"orders": report["orders"], "trades": report["trades"], "restarts": report["restarts"]}

    async def verify(self) -> dict[str, Any]:
        """Run ``exchange verify``, which must pass."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "exchange", "verify", "--data", str(self.data), "--json")
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT)
        async with asyncio.timeout(WAIT_S):
            stdout, stderr = await process.communicate()
        assert process.returncode == 0, (stdout, stderr)
        audit: dict[str, Any] = json.loads(stdout)
        assert audit["good"] is True
        # Compared with what was acknowledged, and all of it replayed.
        assert 0 < audit["high_water"] <= audit["last_index"] == audit["records"]
        return audit

    @property
    def waited(self) -> int:
        """How many acknowledged commands were sent while no daemon, or another, led the venue."""
        began_us, replay = self.replay.began_us, self.replay
        return sum(
            handled.command.valid_until_us - DEFAULT_TIMEOUT_S * 1_000_000 < began_us[handled.epoch]
            for handled in map(replay.commands.__getitem__, self.trails.outcomes)
        )

    @property
    def told_later(self) -> int:
        """How many acknowledged commands were executed by one daemon, and told by the next."""
        return sum(self.replay.commands[key].index in self.untold for key in self.trails.outcomes)

    def tell(self, **more: Any) -> None:
        """Print the figures of a run; ``pytest -s`` shows them."""
        figures = {
            "kills": dict(self.kills),
            "outages_s": self.outages_s,
            "acknowledged commands": len(self.trails.outcomes),
            "of these sent before a restart and executed after it": self.waited,
            "executed before a restart and told after it": self.told_later,
            "events": sum(map(len, self.trails.events.values())),
            "settled": dict(self.trails.settled),
            "refusals": dict(self.trails.refusals),
            "records": self.replay.last,
            "epochs": len(self.replay.began_us),
            **more,
        }
        print("\ndemo killed:", ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201

    async def stop(self) -> None:
        """Stop whatever runs."""
        if self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(WAIT_S):
                await self._process.communicate()


@contextlib.asynccontextmanager
async def demonstration(directory: Path, *, seconds: float, periods: int, seed: int) -> AsyncIterator[Demo]:
    """Run ``exchange demo`` in processes of its own, all of which must be gone at the end."""
    data, log = directory / "venue", directory / "demo.log"
    words = ["demo", "--json", "--data", str(data), "--strategy", "zic", "--agents", str(AGENTS)]
    words += ["--seconds", str(seconds), "--periods", str(periods), "--seed", str(seed)]
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exchange", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env={**os.environ, "DEMO_TEST": str(data)},
        )
    demo = Demo(data, process, log)
    try:
        await demo.until(lambda: len(demo.trails.outcomes) > AGENTS == len(demo.trails.replies), "all agents trade")
        yield demo
    finally:
        await demo.stop()
    assert processes(data) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_the_demo_outlives_every_kill_of_its_venue(tmp_path: Path, seed: int) -> None:
    """Daemon and server are killed in turn, ten times each, amid the load: nothing is lost, doubled or skipped."""
    random, seconds = Random(seed), 55.0
    loop = asyncio.get_running_loop()
    async with demonstration(tmp_path, seconds=seconds, periods=30, seed=seed) as demo:
        enough_at = loop.time() + 0.8 * seconds
        for number, what in enumerate(("daemon", "server") * 10):
            await demo.trades_on(random.randint(1, 250))
            # On a slow machine fewer kills fit into the demonstration; ten must.
            if loop.time() > enough_at:
                break
            await demo.kill(what, untold=number % 4 > 1)
        await demo.trades_on()
        figures = await demo.prove_at_the_end()
        demo.tell(**figures)
        record(
            "`kill -9` of daemon and nats-server in turn under the demonstration's agents",
            times=demo.kills.total(), acknowledged=len(demo.trails.outcomes), recovery_s=demo.outages_s,
            remark="agents are processes of their own; `exchange verify` after each",
        )  # fmt: skip
        assert figures["restarts"] == demo.kills.total()
        assert min(demo.kills["daemon"], demo.kills["server"]) >= 5
        assert len(demo.trails.outcomes) > 1_000
        assert demo.waited > demo.kills.total(), "the kills did not come amid the load"
        assert demo.told_later > 0, "no kill came between the record and the replies"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["daemon", "server"])
async def test_the_demo_outlives_kills_while_its_venue_starts(tmp_path: Path, what: str) -> None:
    """The daemon is killed, and its successor while it still starts: the demonstration goes on all the same."""
    async with demonstration(tmp_path, seconds=10, periods=5, seed=2) as demo:
        for _ in range(2):
            await demo.kill_the_starting(what)
            await demo.trades_on()
            await demo.prove_so_far()
        figures = await demo.prove_at_the_end()
        demo.tell(**figures)
        record(
            f"`kill -9` of the demonstration's daemon, then of its successor, while it starts: its {what}",
            times=demo.kills.total(), acknowledged=len(demo.trails.outcomes), recovery_s=demo.outages_s,
        )  # fmt: skip
        assert figures["restarts"] == 4
