"""Run the real program in a process of its own, and wait for what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

TIMEOUT_S = 30.0
ROOT = Path(__file__).parents[2]


def environment(**extra: str) -> dict[str, str]:
    """Return the environment without what would tell the program about another venue."""
    told = ("NATS_URL", "EXCHANGE_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    return env | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"} | extra


def run(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "exchange", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=env or environment(),
        check=False,
    )


def run_json(*arguments: object) -> Any:
    """Run a command that must succeed with ``--json`` and return what it printed."""
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Serving:
    """Keep ``exchange serve`` running on free ports for a block."""

    def __init__(self, data: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        self._env = env or environment()
        self.ready_file = data.parent / f"{data.name}.ready.json"
        self.log_file = data.parent / f"{data.name}.log"
        self._flags = flags
        self.facts: dict[str, Any] = {}
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.ready_file.unlink(missing_ok=True)
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "exchange", "serve", "--data", str(self.data), "--port", "0"),
                    *("--metrics-port", "0", "--ready-file", str(self.ready_file), *self._flags),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env,
            )
        deadline = time.monotonic() + TIMEOUT_S
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.01)
        self.facts = json.loads(self.ready_file.read_text())
        return self

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what was printed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, output

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
