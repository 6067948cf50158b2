"""A small economy of what agents do to each other: property, harm, debt, public goods, forecasts and votes, together.

    python examples/commons.py

It makes a git repository of two modules, starts a venue of its own, and runs each agent as a process. *ann* owns the
module `core` and *ben* the module `api`, which imports it; both pay tax on the values they state. ann has `core`
changed by an auctioned task, and *eve* bets that it will be done. *cid* does it, and breaks a test of `api` in passing:
*ci* finds that out from the repository, and cid pays ben for it. cid does not mend it but owes it: it issues technical
debt, and pays *dot* to take it over, who mends it. Three pledge for a test suite that none would pay for alone, which
*fay* writes. At last they vote that harm costs more from now on. What to look at: who ends with how much, and that it
adds up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from agent_sdk import (
    Agent,
    DebtIssued,
    DebtOffered,
    DebtProposed,
    DebtTransferred,
    Delivery,
    ExchangeError,
    ExternalityEnded,
    GoodReached,
    Job,
    Prediction,
    ProposalEnded,
    RepaymentClaimed,
    RepaymentFinal,
    SettlementDelivered,
    SettlementOpened,
    TaskEnded,
    Worker,
    connect,
)

T = TypeVar("T")

# What takes days elsewhere takes seconds here.
SETTINGS = {
    "min_auction_seconds": 2,
    "decline_seconds": 2,
    "dispute_window_seconds": 2,
    "dependency_age_seconds": 0,
    "voting_seconds": 5,
    "enactment_lock_seconds": 1,
}

CORE = "def total(prices):\n    return sum(prices)\n"
CHANGED_CORE = "def total(prices):\n    return {'sum': sum(prices)}\n"
API = "from core import total\n\n\ndef invoice(prices):\n    return f'{total(prices)} EUR'\n"
MENDED_API = API.replace("{total(prices)}", '{total(prices)["sum"]}')
TEST_CORE = "from core import total\n\n\ndef test_total():\n    assert total([2, 3])\n"
TEST_API = "from api import invoice\n\n\ndef test_invoice():\n    assert invoice([2, 3]) == '5 EUR'\n"

TOOK_PART = ("ann", "ben", "cid", "dot", "eve", "fay")


def say(who: str, text: str) -> None:
    """Print one line of the story."""
    print(f"{who:4} {text}", flush=True)


def git(repository: str, *arguments: str) -> str:
    """Run git in the repository and return what it prints."""
    identity = {
        f"GIT_{role}_{what}": "agent@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    command = ["git", "-C", repository, *arguments]
    # S603, S607: what runs is git, on a repository that was made here.
    done = subprocess.run(command, env={**os.environ, **identity}, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip()


def commit(repository: str, name: str, source: str) -> str:
    """Write a file and commit it; return the commit."""
    (Path(repository) / name).write_text(source, encoding="utf-8")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", f"change {name}")
    return git(repository, "rev-parse", "HEAD")


async def appeared(look: Callable[[], Awaitable[list[T]]]) -> list[T]:
    """Look for what anybody may see, and is not told, until it is there."""
    # ASYNC110: there is no event to wait for; it is somebody else's.
    while not (found := await look()):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    return found


# ── the agents ──────────────────────────────────────────────────────────────────────────────────


async def ann(agent: Agent, repository: str) -> None:
    """Own `core`, have it changed, sign for the debt that is left of it, and call the vote when all is done."""
    del repository
    await agent.property.state_value("core", 100, deposit=6)
    say("ann", "says that core is worth 100, and may be bought for that: 5 % of it a month is tax")
    events = agent.events()
    task = await agent.tasks.post(
        "core.total returns a table",
        effort_minutes=30,
        reserve=30,
        closes_in=5,
        deadline_in=600,
        skills={"python"},
        attester="ci",
    )
    await agent.predictions.open_for_task(task.id, "will core be changed?")
    say("ann", f"posts task {task.id} for at most 30, and opens a market on whether it will be done")
    async for event in events:
        match event:
            case TaskEnded():
                say("ann", f"task {event.task} is {event.outcome}")
            case DebtProposed():
                await agent.debts.sign(event.token)
                say("ann", f"signs debt {event.token}: cid owes {event.principal_hours:f} hours of mending")
            case RepaymentClaimed():
                await agent.debts.confirm(event.claim)
                say("ann", f"confirms {event.hours:f} hours of work on debt {event.token}")
            case RepaymentFinal():
                proposal = await agent.governance.propose_change("coupling_rate", 15)
                say("ann", f"proposes that breaking a module costs 15 instead of 10 (proposal {proposal.id})")
            case ProposalEnded():
                rate = await agent.governance.parameter("coupling_rate")
                say("ann", f"proposal {event.proposal} is {event.outcome}: the rate is {rate.value:f} now")
                return
            case _:
                pass


async def ben(agent: Agent, repository: str) -> None:
    """Own `api`, and be paid by whoever breaks it."""
    del repository
    await agent.property.state_value("api", 60, deposit=4)
    say("ben", "says that api is worth 60")
    async for event in agent.events():
        if isinstance(event, ExternalityEnded):
            say("ben", f"is paid for the harm: {event.paid:f}")


async def cid(agent: Agent, repository: str) -> None:
    """Do the task, break something else in passing, and sell the debt of not mending it."""
    bidder = Worker(agent)

    @bidder.task(skills={"python"}, price_per_hour=40)
    async def change(job: Job) -> Delivery:
        # It takes a while, in which others may bet on it.
        await asyncio.sleep(3)
        delivered = commit(repository, "core.py", CHANGED_CORE)
        say("cid", f"delivers task {job.task.id} as {delivered[:7]}")
        return Delivery(delivered)

    async def pay_up() -> None:
        async for event in agent.events():
            match event:
                case ExternalityEnded(kind="coupling"):
                    say("cid", "has paid for it, and promises to mend api some day")
                    await agent.debts.issue(
                        "api knows the table",
                        2,
                        beneficiaries={"ann": 1},
                        matures_in=180 * 86_400,
                        interest_hours_per_month=1,
                    )
                case DebtIssued():
                    say("cid", f"offers dot 15 to take debt {event.token} over")
                    await agent.debts.offer(event.token, 15, taker="dot")
                case _:
                    pass

    await asyncio.gather(bidder.run(), pay_up())


async def dot(agent: Agent, repository: str) -> None:
    """Take debt over for what is paid with it, and do the work."""
    async for event in agent.events():
        match event:
            case DebtOffered():
                await agent.debts.take(event.token, event.offer)
            case DebtTransferred(holder="dot"):
                mended = commit(repository, "api.py", MENDED_API)
                await agent.debts.repay(event.token, 2, mended)
                say("dot", f"takes debt {event.token} over for {event.pay:f} and mends api as {mended[:7]}")
            case RepaymentFinal():
                say("dot", f"has earned {event.paid:f}")
            case _:
                pass


async def eve(agent: Agent, repository: str) -> None:
    """Bet that the task will be done, as soon as somebody has it."""
    del repository

    async def open_markets() -> list[Prediction]:
        return [market for market in await agent.predictions.list() if market.state == "open"]

    market = (await appeared(open_markets))[0].id
    bought = await agent.predictions.buy(market, "yes", 6, max_cost=5)
    after = await agent.predictions.get(market)
    say("eve", f"buys 6 shares of yes for {bought.amount:f}; it counts as {after.outcomes[0].probability:.0%} sure now")


async def fay(agent: Agent, repository: str) -> None:
    """Offer a test suite to all at once: each pays 10 if three owners do, or nobody pays."""
    del repository
    events = agent.events()
    good = await agent.assurance.propose(
        "tests of how modules meet",
        owners=3,
        min_credits=10,
        deadline_in=15,
        deliver_in=600,
        provider="fay",
        attester="ci",
        refund_bonus=5,
    )
    say("fay", f"offers tests for all (good {good.id}): 10 each, if three owners pledge, else all back and 5 % more")
    async for event in events:
        match event:
            case GoodReached():
                say("fay", "has found enough who pledge")
            case SettlementOpened():
                await agent.settlements.deliver(event.settlement, "tests/test_all.py")
                say("fay", "delivers the tests")
            case _:
                pass


async def ci(agent: Agent, repository: str) -> None:
    """Look at what is delivered, and at what it breaks elsewhere."""
    base = git(repository, "rev-parse", "HEAD")
    async for event in agent.events():
        if not isinstance(event, SettlementDelivered):
            continue
        try:
            await agent.settlements.confirm(event.settlement)
        except ExchangeError as error:
            say("ci", f"does not confirm: {error}")
            continue
        say("ci", f"confirms {event.origin}")
        if event.origin.startswith("tasks:"):
            span = f"{base}..{event.reference}"
            found = await asyncio.to_thread(
                exchange, "attest", "coupling", "--repo", repository, "--change", span, "--source", "cid"
            )
            broken = [f"{each['module']} ({each['severity']} %)" for each in found["findings"]["affected"]]
            say("ci", f"finds what the change broke: {', '.join(broken)}, which costs cid {found['sent'][0]['amount']}")


async def pledge_and_vote(agent: Agent) -> None:
    """Pledge for what is offered to all, and vote for whatever is proposed."""
    goods = await appeared(agent.assurance.list)
    await agent.assurance.pledge(goods[0].id, 10)
    say(agent.id, "pledges 10 for the tests")
    proposals = await appeared(agent.governance.list)
    await agent.governance.vote(proposals[0].id, in_favour=True)


AGENTS = {"ann": ann, "ben": ben, "cid": cid, "dot": dot, "eve": eve, "fay": fay, "ci": ci}


async def be(who: str, repository: str) -> None:
    """Be one of the agents."""
    async with connect() as agent:
        work = [AGENTS[who](agent, repository)]
        if who in ("ann", "ben", "dot"):
            work.append(pledge_and_vote(agent))
        await asyncio.gather(*work)


# ── the venue around them ───────────────────────────────────────────────────────────────────────


def exchange(*arguments: str) -> Any:
    """Run a command of the exchange and return what it prints."""
    command = [sys.executable, "-m", "exchange", *arguments, "--json"]
    # S603: what runs is the exchange.
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        sys.exit(f"exchange {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def prepare(repository: Path) -> None:
    """Make the repository as it is before anything happens."""
    repository.mkdir()
    git(str(repository), "init", "-q")
    for name, source in {"core.py": CORE, "api.py": API, "test_core.py": TEST_CORE, "test_api.py": TEST_API}.items():
        (repository / name).write_text(source, encoding="utf-8")
    git(str(repository), "add", "-A")
    git(str(repository), "commit", "-qm", "the beginning")


def settle_in(data: Path) -> None:
    """Admit the agents, and register the modules to their owners."""
    at = ("--data", str(data))
    for name in AGENTS:
        role = "attester" if name == "ci" else "trader"
        exchange("agent", "add", name, "--owner", name, "--role", role, "--skill", "python", *at)
    exchange("module", "register", "core", "--owner", "ann", "--regime", "harberger", *at)
    exchange("module", "register", "api", "--owner", "ben", "--regime", "harberger", "--depends-on", "core", *at)


async def main() -> int:
    """Make the repository, start the venue, let the agents live, and say how it ended."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        repository, data, ready = work / "repository", work / "venue", work / "ready.json"
        prepare(repository)
        settings = [part for name, value in SETTINGS.items() for part in ("--setting", f"{name}={value}")]
        exchange("init", "--data", str(data), *settings)
        serve = ["serve", "--data", str(data), "--port", "0", "--metrics-port", "0", "--ready-file", str(ready)]
        processes = [await spawn("exchange", *serve)]
        try:
            await until(ready, processes[0])
            url = json.loads(ready.read_text())["url"]
            await asyncio.to_thread(settle_in, data)
            for name in (*(name for name in AGENTS if name != "ann"), "ann"):
                env = {"NATS_URL": url, "EXCHANGE_CREDS": str(data / "creds" / f"{name}.creds")}
                processes.append(await spawn(__file__, "--be", name, str(repository), **env))
            await asyncio.wait_for(processes[-1].wait(), 180)
            amounts = await asyncio.gather(
                *(credits_of(url, str(data / "creds" / f"{name}.creds")) for name in TOOK_PART)
            )
            for name, amount in zip(TOOK_PART, amounts, strict=True):
                say(name, f"has {amount} credits of 100")
            difference = (await asyncio.to_thread(exchange, "status", "--data", str(data)))["conservation_difference"]
            say("all", f"{difference} credits were made or lost")
            return 0 if difference == 0 and processes[-1].returncode == 0 else 1
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
    parser.add_argument("--be", nargs=2, metavar=("WHO", "REPOSITORY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args().be
    sys.exit(asyncio.run(main() if chosen is None else be(*chosen)) or 0)
