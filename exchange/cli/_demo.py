"""``exchange demo``: a whole venue with traders, for a while."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
import inspect
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._output import CliError, Json, console, print_json

__all__ = ["demo"]


def demo(
    *,
    seconds: Annotated[float, Parameter(validator=Number(gt=0, lte=3_600))] = 20,
    agents: Annotated[int, Parameter(validator=Number(gte=2, lte=1_000))] = 20,
    strategy: Literal["zic", "zip", "mixed"] = "mixed",
    periods: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 5,
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
        How many traders, half of them buyers (default: 20).
    strategy
        How they trade (default: mixed).
    periods
        How many trading periods (default: 5).
    seed
        Same seed, same traders (default: 1).
    data
        Directory to keep the venue in (default: a temporary one).
    """
    settings: dict[str, Any] = {
        "seconds": seconds,
        "agents": agents,
        "strategy": strategy,
        "periods": periods,
        "seed": seed,
    }
    if data is not None:
        report = _run(settings, data)
    else:
        with tempfile.TemporaryDirectory(prefix="exchange-demo-") as scratch:
            report = _run(settings, Path(scratch) / "venue")
    if json:
        print_json(report.to_json())
    else:
        console().print(report)
    return 0 if report.succeeded else 1


def _run(settings: dict[str, Any], data: Path) -> Any:
    try:
        from exchange.demo.run import run_demo
    except ModuleNotFoundError as error:
        if error.name != "exchange.demo.run":
            raise
        message = "this installation comes without the demo"
        raise CliError(message) from None
    result = run_demo(data=data, **settings)
    return asyncio.run(result) if inspect.iscoroutine(result) else result
