"""Tasks, settlements, leases, contracts, disputes and debts on the command line of a real venue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from agent_sdk import Agent, NewContractPart, connect
from tests.cli.conftest import Call
from tests.cli.program import Serving, run_json

DAY = 86_400.0


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with auctions of a second, and two agents."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "min_auction_seconds=1")
    with Serving(data) as serving:
        for name in ("poster", "worker"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        run_json("agent", "add", "nobody", "--owner", "nobody", "--data", data)
        yield serving


def acting(venue: Serving, name: str) -> tuple[object, ...]:
    """Return the flags to act as an agent."""
    return ("--data", venue.data, "--creds", venue.data / "creds" / f"{name}.creds")


def told(call: Call, *arguments: object) -> Any:
    """Return what a command prints as JSON."""
    done = call(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def act(venue: Serving, name: str, what: Callable[[Agent], Awaitable[Any]]) -> Any:
    """Do something as an agent that the command line does not offer."""

    async def acting_so() -> Any:
        async with connect(venue.facts["url"], venue.data / "creds" / f"{name}.creds") as agent:
            return await what(agent)

    return asyncio.run(acting_so())


def test_a_task_goes_from_post_to_pay(call: Call, venue: Serving) -> None:
    """Every step is a command, and tells what there is to tell as JSON; the winner is explained in words."""
    as_poster, as_worker = acting(venue, "poster"), acting(venue, "worker")
    terms = ("--effort", "90m", "--reserve", 20, "--due-in", "1d", "--closes-in", "2s")
    task = told(call, "task", "post", "mend it", *terms, "--quality-bonus", "2.5", *as_poster)
    number = task["id"]
    assert (task["effort_minutes"], task["reserve"], task["state"]) == (90, "20.000000", "open")
    assert number in [found["id"] for found in told(call, "task", "list", *as_worker)]
    assert "mend it" in call("task", "list", "--mine", *as_poster).stdout
    assert told(call, "task", "bid", number, "12.5", *as_worker)["held"] == "2.000000"
    shown = call("task", "show", number, *as_poster).stdout
    assert "sealed until the auction closes" in shown
    assert "12.5" not in shown
    lines = call("task", "follow", number, "--seconds", "4", *as_poster).stdout.splitlines()
    assert lines[0].endswith("open")
    assert "worker for 20.000000: the only bid won, and is paid the reserve" in lines[-1]
    (settlement,) = told(call, "settlement", "list", *as_worker)
    assert call("settlement", "show", settlement["id"], *as_worker).stdout.count("worker") == 1
    told(call, "settlement", "deliver", settlement["id"], "pr/7", *as_worker)
    assert told(call, "settlement", "show", settlement["id"], *as_poster)["reference"] == "pr/7"
    assert told(call, "settlement", "confirm", settlement["id"], *as_poster)["state"] == "completed"
    task = told(call, "task", "show", number, *as_worker)
    assert (task["state"], task["winner"], task["price"]) == ("completed", "worker", "20.000000")
    assert "nothing to settle" in call("settlement", "list", *as_worker).stdout
    (rated,) = told(call, "reputation", "worker", "--domain", "work", *as_poster)
    assert float(rated["score"]) > 50
    assert "itself" in call("reputation", "worker", *as_poster).stdout


def test_a_task_is_canceled(call: Call, venue: Serving) -> None:
    as_poster = acting(venue, "poster")
    terms = ("--effort", "1h", "--reserve", 5, "--due-in", "2d")
    number = told(call, "task", "post", "never mind", *terms, *as_poster)["id"]
    assert told(call, "task", "cancel", number, *as_poster)["state"] == "canceled"
    (line,) = call("task", "follow", number, *as_poster).stdout.splitlines()
    assert line.endswith("canceled")


def test_a_settlement_is_given_up(call: Call, venue: Serving) -> None:
    as_poster, as_worker = acting(venue, "poster"), acting(venue, "worker")
    terms = ("--effort", "1h", "--reserve", 10, "--due-in", "1d", "--closes-in", "2s")
    number = told(call, "task", "post", "too hard", *terms, *as_poster)["id"]
    call("task", "bid", number, 8, *as_worker)
    call("task", "follow", number, "--seconds", "4", *as_poster)
    (settlement,) = told(call, "settlement", "list", *as_worker)
    assert told(call, "settlement", "give-up", settlement["id"], "no access", *as_worker)["state"] == "failed"
    assert told(call, "task", "show", number, *as_poster)["state"] == "failed"


def test_contracts_and_disputes_are_shown(call: Call, venue: Serving) -> None:
    as_poster, as_worker = acting(venue, "poster"), acting(venue, "worker")

    async def propose(agent: Agent) -> int:
        part = NewContractPart(name="tests", assignee="worker", share=10, deliver_in=DAY)
        return await agent.contracts.propose("the parser", [part], sign_in=3_600, evaluate_in=DAY)

    number = act(venue, "poster", propose)
    act(venue, "worker", lambda agent: agent.contracts.sign(number))
    (contract,) = told(call, "contract", "list", *as_worker)
    assert (contract["total"], contract["state"]) == ("10.000000", "bound")
    shown = call("contract", "show", number, *as_poster).stdout
    assert "worker for 10.000000, bond 2.000000" in shown
    assert "not certain yet" in shown
    assert told(call, "contract", "show", number, *as_poster)["condition"]["type"] == "all"

    settlement = told(call, "contract", "show", number, *as_poster)["parts"][0]["settlement"]
    told(call, "settlement", "deliver", settlement, *as_worker)
    dispute = act(venue, "poster", lambda agent: agent.disputes.open("settlements", settlement, "untested")).id
    (listed,) = told(call, "dispute", "list", *as_worker)
    assert (listed["id"], listed["disputer"]) == (dispute, "poster")
    shown = call("dispute", "show", dispute, *as_worker).stdout
    assert f"settlements:{settlement}" in shown
    assert "none yet" in shown


def test_leases_are_shown(call: Call, venue: Serving) -> None:
    as_worker = acting(venue, "worker")
    assert "no running leases" in call("lease", "list", *as_worker).stdout

    async def let(operator: Agent) -> None:
        await operator.admin.register_asset("core", decimals=0)
        terms = {"settlement": "lease", "term_seconds": 3_600}
        await operator.admin.create_market("cores", "core", tick="0.01", reference_price=5, **terms)
        await operator.admin.issue_asset("core", "poster", 2)

    act(venue, "operator", let)
    act(venue, "poster", lambda agent: agent.sell("cores", 2, 5))
    act(venue, "worker", lambda agent: agent.buy("cores", 2, 5))
    (lease,) = told(call, "lease", "list", "--market", "cores", *as_worker)
    assert (lease["quantity"], lease["rent"]) == ("2", "10.000000")
    shown = call("lease", "show", lease["id"], *as_worker).stdout
    assert "2 core" in shown
    assert "5.000000 per unit and term" in shown


def test_packages_go_from_open_to_award(call: Call, venue: Serving) -> None:
    """A team bids for both items and signs; a process of the venue finds the winners, and they are explained."""
    as_poster, as_worker, as_nobody = (acting(venue, name) for name in ("poster", "worker", "nobody"))
    told(call, "agent", "add", "cat", "--owner", "cat", "--endowment", 1, "--data", venue.data)
    items = ("--item", "parser=5", "--item", "lexer=5")
    opened = told(call, "package", "open", "both", *items, "--deliver-in", "1d", "--closes-in", "8s", *as_poster)
    number = opened["id"]
    assert [item["reserve"] for item in opened["items"]] == ["5.000000", "5.000000"]
    assert "both" in call("package", "list", *as_worker).stdout
    flags = ("--package", "lexer,parser=6", "--package", "parser=4", "--member", "worker=1", "--member", "cat=1")
    assert told(call, "package", "bid", number, *flags, *as_worker) == {"version": 1, "held": "0.000000"}
    as_cat = acting(venue, "cat")
    assert "parser,lexer=6.000000; parser=4.000000" in call("package", "bids", *as_cat).stdout
    assert told(call, "package", "sign", number, "worker", "--version", 1, *as_cat)["version"] == 1
    shown = call("package", "show", number, *as_poster).stdout
    assert "sealed until the auction ends" in shown
    assert "worker" not in shown
    lines = call("package", "follow", number, "--seconds", "30", *as_poster).stdout.splitlines()
    assert lines[0].endswith("open")
    assert "worker won parser, lexer: bid 6.000000, is paid 10.000000 (worker 5.000000, cat 5.000000)" in lines[-1]
    shown = call("package", "show", number, *as_nobody).stdout
    assert "the solver found that nothing is better" in " ".join(shown.split())
    assert told(call, "package", "show", number, *as_nobody)["winners"][0]["payment"] == "10.000000"


def test_packages_are_taken_back(call: Call, venue: Serving) -> None:
    as_poster, as_worker = acting(venue, "poster"), acting(venue, "worker")
    flags = ("--item", "a=1", "--deliver-in", "1d", "--direction", "sale", "--pricing", "pay_as_bid")
    number = told(call, "package", "open", "never mind", *flags, *as_poster)["id"]
    assert told(call, "package", "bid", number, "--package", "a=3", *as_worker)["held"] == "3.000000"
    assert told(call, "package", "withdraw", number, *as_worker)["state"] == "withdrawn"
    assert number not in [bid["auction"] for bid in told(call, "package", "bids", *as_worker)]
    assert "no sealed bids" in call("package", "bids", *acting(venue, "nobody")).stdout
    assert told(call, "package", "cancel", number, *as_poster)["state"] == "canceled"
    (line,) = call("package", "follow", number, *as_poster).stdout.splitlines()
    assert line.endswith("canceled")


def test_nobody_owes_anything(call: Call, venue: Serving) -> None:
    assert told(call, "liens", "--data", venue.data) == []
    assert "Nobody owes anything" in call("liens", "--data", venue.data).stdout
    assert "Nothing is known of nobody" in call("reputation", "nobody", "--data", venue.data).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("task", "show", 999), "there is no task 999, or it ended long ago; see `exchange task list`"),
        (("task", "follow", 999), "there is no task 999"),
        (("task", "bid", 999, 5), "unknown_task"),
        (("task", "cancel", 999), "unknown_task"),
        (("task", "post", "x", "--effort", "1s", "--reserve", 5, "--due-in", "1d"), "--effort"),
        (("task", "post", "x", "--effort", "1h", "--reserve", "0.0000001", "--due-in", "1d"), "reserve"),
        (("settlement", "show", 999), "there is no settlement 999 in which this agent has a part"),
        (("settlement", "deliver", 999), "there is no settlement 999"),
        (("settlement", "confirm", 999), "unknown_settlement"),
        (("lease", "show", 999), "there is no running lease 999"),
        (("contract", "show", 999), "there is no contract 999"),
        (
            ("package", "show", 999),
            "there is no package auction 999, or it ended long ago",
        ),
        (("package", "bid", 999, "--package", "a=3"), "unknown_auction"),
        (("package", "bid", 999, "--package", "a"), "--package 'a' is not understood; write it like parser,lexer=30"),
        (("package", "bid", 999, "--package", "a=b"), "'b' is no number"),
        (("package", "bid", 999, "--package", "a=1", "--member", "ann=x"), "is no whole number; write it like ann=2"),
        (("package", "open", "x", "--item", "a=1", "--item", "a=2", "--deliver-in", "1d"), "a name of its own"),
        (("package", "sign", 999, "ann", "--version", 1), "unknown_auction"),
        (("dispute", "show", 999), "there is no dispute 999"),
        (("reputation", "absent"), "absent"),
    ],
)
def test_mistakes_are_told(call: Call, venue: Serving, arguments: tuple[object, ...], message: str) -> None:
    """A mistake ends with exit 1 and says which value was wrong and what to do."""
    done = call(*arguments, *acting(venue, "worker"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_spans_are_told_by_the_usage(call: Call, venue: Serving) -> None:
    done = call("task", "post", "x", "--effort", "soon", "--reserve", 5, "--due-in", "1d", *acting(venue, "poster"))
    assert done.returncode == 2
    assert "effort" in done.stderr
