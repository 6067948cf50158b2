"""Externalities on the command line of a real venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exchange.messages.property import RegisterModule
from tests.cli.program import Serving, run_json
from tests.cli.test_work import act, acting, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_sdk import Agent
    from tests.cli.conftest import Call

COUPLING = ("report", "coupling", "--source", "ann", "--reference", "x")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue where ben's module depends on ann's, from the beginning."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "dependency_age_seconds=0")
    with Serving(data) as serving:
        for name in ("ann", "ben"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        run_json("agent", "add", "ci", "--owner", "ci", "--role", "attester", "--endowment", 200, "--data", data)

        async def register(operator: Agent) -> None:
            for module, owner, dependencies in (("base", "ann", []), ("bens", "ben", ["base"])):
                fields = {"module": module, "owner": owner, "dependencies": dependencies}
                await operator.externalities._give(RegisterModule, **fields)

        act(serving, "operator", register)
        yield serving


def test_a_change_is_declared_reported_and_accepted(call: Call, venue: Serving) -> None:
    as_ann, as_ben, as_ci = (acting(venue, name) for name in ("ann", "ben", "ci"))
    assert told(call, "externality", "declare", "base", "--bond", "12.5", *as_ann)["change"] == 1
    assert "12.500000" in call("externality", "changes", "--module", "base", *as_ben).stdout
    terms = ("--source", "ann", "--reference", "shop a..b", "--module", "base", "--affected", "bens=50")
    found = told(call, "externality", "report", "coupling", *terms, *as_ci)
    assert (found["externality"], found["amount"], found["held"], found["stake"]) == (
        1,
        "5.000000",
        "5.000000",
        "50.000000",
    )
    assert "ben" in call("externality", "list", *as_ben).stdout
    shown = call("externality", "show", 1, *as_ben).stdout
    assert "severity 50, 5.000000 for ben" in shown
    assert "change 1" in shown
    assert told(call, "externality", "accept", 1, *as_ann) == {"externality": 1, "accepted": True}
    assert told(call, "externality", "show", 1, *as_ben)["outcome"] == "accepted"
    assert "no levies" in call("externality", "list", *as_ben).stdout
    terms = ("--source", "ann", "--reference", "queue/7", "--target", "ben", "--units", 3, "--ago", "2h")
    assert "costs ann 6.000000" in call("externality", "report", "blocking", *terms, *as_ci).stdout


def test_rates_are_told(call: Call, venue: Serving) -> None:
    as_ann = acting(venue, "ann")
    assert told(call, "externality", "rates", *as_ann)["stake"] == "50.000000"
    assert "started hour" in call("externality", "rates", *as_ann).stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((*COUPLING, "--affected", "bens"), "severity from 1 to 100"),
        (
            ("report", "coupling", "--source", "ann", "--reference", "x", "--affected", "bens=101"),
            "severity from 1 to 100",
        ),
        (
            ("report", "coupling", "--source", "ann", "--reference", "x", "--affected", "a=1", "--affected", "a=2"),
            "once",
        ),
        (COUPLING, "module"),
        (("show", 99), "there is no externality 99"),
        (("accept", 99), "unknown_externality"),
        (("declare", "nothing", "--bond", 5), "unknown_module"),
    ],
)
def test_mistakes_are_explained(call: Call, venue: Serving, arguments: tuple[object, ...], hint: str) -> None:
    done = call("externality", *arguments, *acting(venue, "ci" if arguments[0] == "report" else "ann"))
    assert done.returncode != 0
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
