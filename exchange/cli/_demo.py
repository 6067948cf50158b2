"""``exchange demo``: a whole venue with traders, for a while."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._output import Json, console, print_json

__all__ = ["demo"]


def demo(
    *,
    seconds: Annotated[float, Parameter(validator=Number(gt=0, lte=3_600))] = 20,
    agents: Annotated[int, Parameter(validator=Number(gte=2, lte=1_000))] = 22,
    strategy: Literal["zic", "zip", "mixed"] = "zip",
    periods: Annotated[int | None, Parameter(validator=Number(gte=1, lte=100))] = None,
    seed: int = 1,
    data: Path | None = None,
    json: Json = False,
) -> int:
    """Run a venue with traders whose equilibrium is known, and report how near they came.

    The venue is a real one: an embedded nats-server, a journal, agents with credentials of their own. At the
    end the journal is replayed and the ledger counted; exit with 1 if anything does not add up.

    Parameters
    ----------
    seconds
        How long to trade, all periods together (default: 20).
    agents
        How many traders, half of them buyers (default: 22).
    strategy
        How they trade (default: zip).
    periods
        How many trading periods (default: by the seconds).
    seed
        Same seed, same traders (default: 1).
    data
        Directory to keep the venue and the agents' audit trails in, absent or empty (default: a temporary one).
    """
    from exchange.demo.run import run_demo

    report = run_demo(
        seconds=seconds, agents=agents, strategy=strategy, seed=seed, periods=periods, data=data, json=json
    )
    if json:
        print_json(report.to_json())
    else:
        console().print(report)
    return 0 if report.succeeded else 1
