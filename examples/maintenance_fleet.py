"""A fleet that mends a repository: nobody assigns the work, and payment follows what the tests say.

    python examples/maintenance_fleet.py

It makes a small repository with failing tests, starts a venue of its own, and runs each agent as a process: a *poster*
auctions a task per failing module, two *workers* of differing skill and cost bid by standing bids, *ci* runs the tests
of what is delivered with pytest and confirms what passes, and a *judge* runs them again where the poster disputes a
delivery. What to look at: the cheap worker wins at first, delivers something that does not pass, loses the dispute and
its bond, and the task goes to the dear one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from agent_sdk import (
    Agent,
    ArbitratorSeated,
    Delivery,
    DisputeDecided,
    ExchangeError,
    Job,
    SettlementDelivered,
    SettlementEnded,
    TaskAwarded,
    TaskEnded,
    Worker,
    connect,
)

# Deadlines of hours are seconds here.
SETTINGS = {
    "min_auction_seconds": 2,
    "decline_seconds": 2,
    "dispute_panel": 1,
    "dispute_draw_seconds": 1,
    "arbitrator_stake_seconds": 0,
}

BROKEN = {
    "slug": "def slug(title):\n    return title\n",
    "total": "def total(prices):\n    return sum(prices) + 1\n",
}
TESTS = {
    "slug": "from slug import slug\n\n\ndef test_slug():\n    assert slug('Two Words') == 'two-words'\n",
    "total": "from total import total\n\n\ndef test_total():\n    assert total([2, 3]) == 5\n",
}
# What each worker knows. The junior believes that it can do both.
KNOWS = {
    "junior": {
        "slug": "def slug(title):\n    return title.lower()\n",
        "total": "def total(prices):\n    return sum(prices)\n",
    },
    "senior": {
        "slug": "def slug(title):\n    return '-'.join(title.lower().split())\n",
        "total": "def total(prices):\n    return sum(prices)\n",
    },
}


def passes(directory: str, *modules: str) -> bool:
    """Run the tests of modules with pytest, and nothing but pytest: plugins would take longer than the tests."""
    files = [f"test_{module}.py" for module in modules]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    environment = {
        **os.environ,
        "PYTHONPATH": directory,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    # S603: what runs is this Python, on a repository that was made here.
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False)  # noqa: S603
    return done.returncode == 0


def say(who: str, text: str) -> None:
    """Print one line of the story."""
    print(f"{who:7} {text}", flush=True)


# ── the agents ──────────────────────────────────────────────────────────────────────────────────


async def poster(agent: Agent, repository: str) -> None:
    """Auction a task per module, dispute what does not pass, and end when all is mended."""
    modules: dict[int, str] = {}
    directories: dict[int, str] = {}
    events = agent.events()
    for module in BROKEN:
        posted = await agent.tasks.post(
            f"make test_{module}.py pass",
            effort_minutes=30,
            reserve=30,
            closes_in=3,
            deadline_in=600,
            skills={"python"},
            detail=json.dumps({"repository": repository, "module": module}),
            attester="ci",
            quality_bonus=2,
            max_rounds=3,
            on_failure="reopen",
        )
        modules[posted.id] = module
        say("poster", f"posts task {posted.id}: make test_{module}.py pass, for at most 30")
    async for event in events:
        match event:
            case TaskAwarded():
                say("poster", f"task {event.task} goes to {event.winner} for {event.price:f}, of {event.bids} bids")
            case SettlementDelivered(origin=origin):
                module = modules[int(origin.partition(":")[2])]
                directories[event.settlement] = event.reference
                if not await asyncio.to_thread(passes, event.reference, module):
                    say("poster", f"disputes {origin}: test_{module}.py fails")
                    claim = json.dumps({"directory": event.reference, "module": module})
                    await agent.disputes.open("settlements", event.settlement, claim)
            case DisputeDecided():
                say("poster", f"the dispute over settlement {event.number} is {event.verdict}")
            case SettlementEnded(outcome="completed", origin=origin):
                module = modules[int(origin.partition(":")[2])]
                shutil.copy(Path(directories[event.settlement]) / f"{module}.py", Path(repository) / f"{module}.py")
                say("poster", f"merges {module}.py, paid {event.paid:f}, score {event.score}")
            case TaskEnded():
                del modules[event.task]
                if not modules:
                    return
            case _:
                pass


async def worker(agent: Agent, price_per_hour: str) -> None:
    """Mend what is awarded, as well as one knows."""
    bidder = Worker(agent)

    @bidder.task(skills={"python"}, price_per_hour=price_per_hour, capacity=2)
    def mend(job: Job) -> Delivery:
        wanted = json.loads(job.task.detail)
        directory = tempfile.mkdtemp(prefix=f"{agent.id}-", dir=Path(wanted["repository"]).parent)
        shutil.copytree(wanted["repository"], directory, dirs_exist_ok=True)
        module = wanted["module"]
        (Path(directory) / f"{module}.py").write_text(KNOWS[agent.id][module], encoding="utf-8")
        say(agent.id, f"delivers task {job.task.id}")
        return Delivery(directory)

    await bidder.run()


async def attester(agent: Agent) -> None:
    """Run the tests of everything that is delivered, and confirm what passes."""
    async for event in agent.events():
        if not isinstance(event, SettlementDelivered):
            continue
        module = (await agent.settlements.get(event.settlement)).title.split("test_")[1].split(".")[0]
        if await asyncio.to_thread(passes, event.reference, module):
            say("ci", f"test_{module}.py passes")
            try:
                await agent.settlements.confirm(event.settlement, score=100)
            except ExchangeError as error:
                say("ci", f"does not confirm: {error}")


async def judge(agent: Agent) -> None:
    """Rule by running the tests once more."""
    await agent.disputes.stake(50)
    async for event in agent.events():
        if isinstance(event, ArbitratorSeated):
            # The disputer says where the delivery is and which of its tests fail; the judge looks for itself.
            claim = json.loads(event.statement)
            fails = not await asyncio.to_thread(passes, claim["directory"], claim["module"])
            say("judge", f"rules {'for' if fails else 'against'} {event.disputer}")
            await agent.disputes.rule(event.dispute, upheld=fails)


async def be(who: str, argument: str) -> None:
    """Be one of the agents."""
    async with connect() as agent:
        if who == "poster":
            await poster(agent, argument)
        elif who == "ci":
            await attester(agent)
        elif who == "judge":
            await judge(agent)
        else:
            await worker(agent, argument)


# ── the venue around them ───────────────────────────────────────────────────────────────────────


def exchange(*arguments: str) -> Any:
    """Run a command of the exchange and return what it prints."""
    command = [sys.executable, "-m", "exchange", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def add(name: str, role: str, data: Path) -> None:
    """Admit an agent, and let its credential be written."""
    exchange("agent", "add", name, "--owner", name, "--role", role, "--skill", "python", "--data", str(data))


async def main() -> int:
    """Make the repository, start the venue, let the agents work, and say how it ended."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        repository, data, ready = work / "repository", work / "venue", work / "ready.json"
        repository.mkdir()
        for module, source in BROKEN.items():
            (repository / f"{module}.py").write_text(source, encoding="utf-8")
            (repository / f"test_{module}.py").write_text(TESTS[module], encoding="utf-8")
        settings = [part for name, value in SETTINGS.items() for part in ("--setting", f"{name}={value}")]
        exchange("init", "--data", str(data), *settings)
        serve = ["serve", "--data", str(data), "--port", "0", "--metrics-port", "0", "--ready-file", str(ready)]
        processes = [await spawn("exchange", *serve)]
        try:
            await until(ready, processes[0])
            url = json.loads(ready.read_text())["url"]
            roles = {
                "poster": "trader",
                "junior": "trader",
                "senior": "trader",
                "ci": "attester",
                "judge": "arbitrator",
            }
            await asyncio.gather(*(asyncio.to_thread(add, name, role, data) for name, role in roles.items()))
            arguments = {"ci": "", "judge": "", "junior": "20", "senior": "40", "poster": str(repository)}
            for name, argument in arguments.items():
                creds = str(data / "creds" / f"{name}.creds")
                env = {"NATS_URL": url, "EXCHANGE_CREDS": creds}
                processes.append(await spawn(__file__, "--be", name, argument, **env))
            await asyncio.wait_for(processes[-1].wait(), 180)
            names = ("poster", "junior", "senior", "judge")
            has = [credits_of(url, str(data / "creds" / f"{name}.creds")) for name in names]
            mended, *amounts = await asyncio.gather(asyncio.to_thread(passes, str(repository), *BROKEN), *has)
            for name, amount in zip(names, amounts, strict=True):
                say(name, f"has {amount} credits of 100")
            say("all", "the repository is mended" if mended else "the repository is still broken")
            return 0 if mended and processes[-1].returncode == 0 else 1
        finally:
            for process in reversed(processes):
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(process.wait() for process in processes))


async def credits_of(url: str, creds: str) -> str:
    """Return what an agent has."""
    async with connect(url, creds=creds) as agent:
        balance = (await agent.balances())["credit"]
        return f"{balance.available + balance.held:f}"


async def spawn(program: str, *arguments: str, **env: str) -> asyncio.subprocess.Process:
    """Start a program of Python: a module, or this file."""
    start = ("-m", program) if program == "exchange" else (program,)
    output = subprocess.DEVNULL if program == "exchange" else None
    return await asyncio.create_subprocess_exec(
        sys.executable, *start, *arguments, env={**os.environ, **env}, stdout=output, stderr=output
    )


async def until(ready: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until the venue is open."""
    while not ready.exists():  # noqa: ASYNC240 - a look at a local file
        if process.returncode is not None:
            sys.exit("the venue did not start; try `exchange serve` by hand")
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--be", nargs=2, metavar=("WHO", "ARGUMENT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args().be
    sys.exit(asyncio.run(main() if chosen is None else be(*chosen)) or 0)
