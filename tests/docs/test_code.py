"""Run the code that the documents show."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from exchange.cli._venue import RunFile
from exchange.testing import LocalExchange
from tests.cli.program import environment
from tests.docs.pages import PAGES, README, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]
RUNNABLE = [block for block in PYTHON if block.mark == "runnable"]
TIMEOUT_S = 30.0


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_blocks_compile(block: Block) -> None:
    """What is shown is Python; ``await`` may stand at the top."""
    compile(block.code, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.name)
def test_runnable_blocks_run(block: Block) -> None:
    """A program runs as it is; a fragment in a coroutine that has agents."""
    if "asyncio.run(" in block.code:
        exec(compile(block.code, block.name, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documents
        return
    names: dict[str, Any] = {}
    source = f"async def fragment(exchange, agent, other, operator):\n{textwrap.indent(block.code, '    ')}"
    exec(compile(source, block.name, "exec"), names)  # noqa: S102 - as before

    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S), LocalExchange() as exchange:
            await exchange.open_market("cpu", tick="0.01")
            agent, other = await exchange.agent("alice", credits=1_000), await exchange.agent("bob")
            operator = await exchange.operator()
            for name in ("alice", "bob"):
                await operator.admin.issue_asset("cpu", name, 100)
            await names["fragment"](exchange, agent, other, operator)

    asyncio.run(run())


def test_documents_have_runnable_blocks() -> None:
    """The marks are found: were they mistyped, nothing would be tested."""
    assert {block.page.name for block in RUNNABLE} == {"README.md", "sdk.md"}
    assert len(RUNNABLE) >= 10


def test_the_first_venue_works(tmp_path: Path) -> None:
    """The commands of the README, in their order, make a venue on which its agent trades and which verifies."""
    marked: dict[str, list[str]] = {mark: [] for mark in ("setup", "serve", "commands", "agent.py")}
    for block in blocks(README):
        kind, _, mark = block.mark.partition(": ")
        if kind == "venue":
            marked[mark].append(block.code)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("exchange", "-m exchange "), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        (programs / name).chmod(0o755)
    env = environment(PATH=f"{programs}:{os.environ['PATH']}", EXCHANGE_NATS__PORT="0", EXCHANGE_METRICS__PORT="0")
    (tmp_path / "agent.py").write_text(*marked["agent.py"])
    _shell(marked["setup"][0], tmp_path, env)
    (serve,) = marked["serve"]
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {serve}"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as serving:
        try:
            env["NATS_URL"] = _wait_for_url(serving, tmp_path / "venue")
            printed = "".join(_shell(commands, tmp_path, env) for commands in marked["commands"])
        finally:
            serving.terminate()
            serving.communicate(timeout=TIMEOUT_S)
    assert serving.returncode == 0
    assert "filled 2 at 5.00" in printed
    assert "insufficient_credits: needs 5000.00 credit, available 90.00" in printed
    assert "OrderFilled(" in printed
    assert "good: chain, outputs, invariants and conservation hold" in printed


def _shell(commands: str, directory: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", commands],
        cwd=directory, env=env, capture_output=True, text=True, timeout=2 * TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wait_for_url(serving: subprocess.Popen[bytes], data: Path) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    while (running := RunFile(data).read()) is None:
        assert serving.poll() is None, serving.communicate()[0].decode()
        assert time.monotonic() < deadline, "the venue does not open"
        time.sleep(0.02)
    return running.url
