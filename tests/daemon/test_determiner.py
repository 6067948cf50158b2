"""Package auctions on a real venue: a process beside the daemon finds the winners; nothing is lost when it does not."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from agent_sdk import Package, connect
from exchange.adapters.credentials import Keyring
from exchange.adapters.venue_files import VenueFiles
from exchange.config import Config, LogSettings, MetricsSettings, NatsSettings, StandbySettings
from exchange.daemon import Daemon
from exchange.daemon.creation import create_venue
from exchange.daemon.determiner import solve_apart
from exchange.messages.admin import Settings
from tests.cli.program import Serving, environment, run
from tests.daemon.support import External, Setting, freeze, running_daemon, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

TAKEOVER_S: Final = 0.6
CLOSES_S: Final = 4.0
"""So long bids are taken: on a busy machine two bids take a while."""
PROCESS_S: Final = 60.0
"""So long everything may take in which a process starts."""

PROBLEM: Final = (1, 3, True, True, [(1, ["p"], [([0], 5, 7)]), (2, ["q"], [([1], 4, 4)])])

SOLVED: Final = ("awarded", "vcg", True, [("ann", 15)])
GREEDY: Final = ("awarded", "pay_as_bid", False, [("ben", 15)])


@contextlib.asynccontextmanager
async def venue(directory: Path, determine_seconds: int) -> AsyncIterator[External]:
    """Run a server with a new venue on it, whose winners are determined for so long at most."""
    external = External(directory)
    await external.start()
    try:
        async with external.journal() as client:
            settings = Settings(min_auction_seconds=1, determine_seconds=determine_seconds)
            await create_venue(client, settings=settings)
        yield external
    finally:
        await external.stop()


def settings_of(external: External, name: str, *, standby: bool = False) -> Config:
    """Return the settings of one daemon of the venue, in a directory of its own."""
    return Config(
        data=external.files.data.parent / name,
        nats=NatsSettings(
            url=external.url,
            creds=external.keyring.gateway_creds_path,
            journal_creds=external.keyring.journal_creds_path,
        ),
        metrics=MetricsSettings(port=0),
        standby=StandbySettings(enabled=standby, takeover_after_s=TAKEOVER_S),
        log=LogSettings(),
    )


@contextlib.asynccontextmanager
async def leading(external: External) -> AsyncIterator[Setting]:
    async with running_daemon(settings_of(external, "leader")) as setting:
        # The credentials of agents come from the venue's own directory.
        setting.daemon.files = external.files
        yield setting


async def auction(seller: Agent, agents: tuple[Agent, Agent]) -> int:
    """Sell ``a`` and ``b``; the best is Ann's 16 for both, at Ben's 15; the simple rule takes Ben's 15 for ``a``."""
    ann, ben = agents
    opened = await seller.packages.open(
        "two rights", {"a": 0, "b": 0}, direction="sale", closes_in=CLOSES_S, deliver_in=3_600.0
    )
    await ann.packages.bid(opened.id, [Package(["a", "b"], 16)])
    await ben.packages.bid(opened.id, [Package(["a"], 15)])
    return opened.id


async def result(agent: Agent, number: int) -> tuple[str, str | None, bool | None, list[tuple[str, int]]]:
    """Return how an auction ended: state, pricing, whether a solver found it best, who won at what."""
    found = await agent.packages.get(number)
    return found.state, found.priced, found.optimal, [(each.bidder, int(each.payment)) for each in found.winners]


async def wait_for_end(engine: Any, number: int) -> None:
    packages = engine.mechanisms["packages"]
    await wait_until(lambda: number in packages.ended, "the auction does not end", PROCESS_S)


def solvers() -> list[int]:
    """Return the processes in which this one has something solved."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            words = (directory / "cmdline").read_bytes().split(b"\0")
            if int(parent) == os.getpid() and b"exchange.solver" in words:
                found.append(int(directory.name))
    return found


async def next_solver(*but: int) -> int:
    await wait_until(lambda: bool(set(solvers()) - set(but)), "nothing is solved", PROCESS_S)
    return (set(solvers()) - set(but)).pop()


@contextlib.asynccontextmanager
async def connected(setting: Setting) -> AsyncIterator[tuple[Agent, tuple[Agent, Agent]]]:
    """Connect the operator, who sells, and Ann and Ben, who have just been registered."""
    async with setting.connect("operator") as operator:
        for name in ("ann", "ben"):
            await operator.admin.register_agent(name, name, endowment=100)
        await operator.admin.register_agent("seller", "seller")
        async with setting.connect("seller") as seller, setting.connect("ann") as ann, setting.connect("ben") as ben:
            yield seller, (ann, ben)


async def test_a_process_beside_the_daemon_finds_the_winners(tmp_path: Path) -> None:
    """Long before the venue would give up the best choice is awarded; orders go on meanwhile; no process is left."""
    async with venue(tmp_path, 60) as external, leading(external) as setting, connected(setting) as (seller, agents):
        number = await auction(seller, agents)
        solver = await next_solver()
        assert (await seller.packages.get(number)).state == "determining"
        await wait_for_end(setting.engine, number)
        assert await result(seller, number) == SOLVED
        assert await result(agents[1], number) == SOLVED
        await wait_until(lambda: solver not in solvers(), "the process goes on")
        assert setting.engine.check_invariants() == []


async def test_a_process_that_is_killed_is_tried_again(tmp_path: Path) -> None:
    async with venue(tmp_path, 60) as external, leading(external) as setting, connected(setting) as (seller, agents):
        number = await auction(seller, agents)
        solver = await next_solver()
        os.kill(solver, signal.SIGKILL)
        await next_solver(solver)
        await wait_for_end(setting.engine, number)
        assert await result(seller, number) == SOLVED


async def test_where_every_process_dies_the_simple_rule_decides(tmp_path: Path) -> None:
    """It is not tried for ever; in time the greedy choice wins, and what was held for the others is free."""
    async with venue(tmp_path, 12) as external, leading(external) as setting, connected(setting) as (seller, agents):
        number = await auction(seller, agents)
        first = await next_solver()
        os.kill(first, signal.SIGKILL)
        second = await next_solver(first)
        os.kill(second, signal.SIGKILL)
        await wait_for_end(setting.engine, number)
        assert await result(seller, number) == GREEDY
        assert solvers() == []
        balances = await agents[0].balances()
        assert balances["credit"].held == 0
        assert setting.engine.check_invariants() == []


async def test_a_new_leader_finds_what_is_being_determined_and_finishes_it(tmp_path: Path) -> None:
    """The first leader's process stands still, and ends with its daemon; the next leader has it solved anew."""
    async with venue(tmp_path, 300) as external, contextlib.AsyncExitStack() as stack:
        setting = await stack.enter_async_context(leading(external))
        seller, agents = await stack.enter_async_context(connected(setting))
        standby = Daemon(settings_of(external, "second", standby=True))
        await standby.start()
        stack.push_async_callback(standby.stop)
        number = await auction(seller, agents)
        solver = await next_solver()
        freeze(solver)
        assert (await seller.packages.get(number)).state == "determining"
        await setting.daemon.stop()
        assert solver not in solvers()
        await wait_until(lambda: standby.is_leading, "nobody takes over")
        assert standby.host is not None
        assert number in standby.host.engine.mechanisms["packages"].determining
        await wait_for_end(standby.host.engine, number)
        assert await result(seller, number) == SOLVED
        assert standby.host.engine.check_invariants() == []


async def test_a_process_that_cannot_be_started_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is out of processes or memory stops nobody from leading."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await solve_apart(PROBLEM) is None


_NOT_INSTALLED: Final = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scipy", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""
_BLOCKERS: Final = {
    "not installed": ("sitecustomize.py", _NOT_INSTALLED),
    "broken": ("scipy.py", "raise ImportError('libscipy.so: wrong ELF class')"),
}


@pytest.mark.parametrize("how", _BLOCKERS)
async def test_without_scipy_the_venue_says_so_and_the_simple_rule_decides(tmp_path: Path, how: str) -> None:
    """The daemon leads on, warns once with what to install, and the auction ends in time."""
    data, blocker = tmp_path / "venue", tmp_path / "blocker"
    blocker.mkdir()
    name, text = _BLOCKERS[how]
    (blocker / name).write_text(text)
    path = os.pathsep.join((str(blocker), environment()["PYTHONPATH"]))
    done = run("init", "--data", data, "--setting", "min_auction_seconds=1", "--setting", "determine_seconds=8")
    assert done.returncode == 0, done.stderr
    with Serving(data, env=environment(PYTHONPATH=path)) as serving:
        url, files = serving.facts["url"], VenueFiles(data)
        keyring = Keyring.load(files.keys)
        async with contextlib.AsyncExitStack() as stack:
            operator = await stack.enter_async_context(connect(url, files.agent_creds("operator")))
            agents = []
            for name in ("seller", "ann", "ben"):
                await operator.admin.register_agent(name, name, endowment=100)
                keyring.write_agent_creds(name, files.agent_creds(name))
                agents.append(await stack.enter_async_context(connect(url, files.agent_creds(name))))
            seller, ann, ben = agents
            number = await auction(seller, (ann, ben))
            async for event in seller.events():
                if type(event).__name__ == "PackagesEnded":
                    break
            assert await result(seller, number) == GREEDY
        code, _ = serving.stop()
        assert code == 0
    log = serving.log_file.read_text()
    assert "agent-exchange[auctions]" in log
    if how == "broken":
        assert "wrong ELF class" in log
    assert "Traceback" not in log
