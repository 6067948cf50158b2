"""Nothing that a venue writes for people or programs to read holds a secret, whatever happens to it."""

from __future__ import annotations

import asyncio
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from agent_sdk import connect
from exchange.adapters.credentials import Keyring
from exchange.adapters.logging import redact
from tests.cli.program import TIMEOUT_S, Serving, run

PASSWORD = "hunter2-hunter2"  # noqa: S105 - of nobody
SEED = re.compile(r"S[UAON][A-Z2-7]{56}")
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.([\w-]+)")


def secrets_in(directory: Path) -> set[str]:
    """Return the seeds, and the signatures of the users' tokens, in the files of a directory."""
    found: set[str] = set()
    for file in directory.rglob("*"):
        if file.suffix in {".nk", ".creds"}:
            text = file.read_text()
            found.update(SEED.findall(text))
            found.update(match[1] for match in TOKEN.finditer(text))
    return found


async def live(serving: Serving, said: list[str]) -> None:
    """Let agents come and go, rightly and wrongly, while their credentials are changed."""
    url, data = serving.facts["url"], serving.data

    async def call(*arguments: object) -> None:
        done = await asyncio.to_thread(run, *arguments)
        said.extend((done.stdout, done.stderr))

    await call("agent", "add", "alice", "--owner", "acme", "--data", data)
    await call("agent", "add", "alice", "--owner", "acme", "--data", data, "--json")
    creds = data / "creds" / "alice.creds"
    async with connect(url, creds) as alice:
        said.append(repr(alice))
        await call("agent", "rotate", "alice", "--grace", "1h", "--data", data, "--json")
        await call("agent", "rotate", "alice", "--data", data)
        await alice.balances()
    strange = data.parent / "other" / "strange.creds"
    Keyring.create(strange.parent).write_agent_creds("alice", strange)
    broken = data.parent / "broken.creds"
    broken.write_text(creds.read_text().replace("-----BEGIN USER", "-----BEGAN USER"))
    for wrong in (strange, broken, data / "keys" / "operator.nk"):
        await call("status", "--nats", url, "--creds", wrong)
        await call("agent", "add", "bob", "--owner", "acme", "--data", data, "--out", wrong)
    for secret in ("nats://gateway:" + PASSWORD + "@127.0.0.1:1", url.replace("//", f"//alice:{PASSWORD}@")):
        await call("status", "--nats", secret, "--creds", creds)
        await call("status", "--nats", secret, "--data", data)
        await call("serve", "--nats", secret, "--data", data.parent / "third", "--creds", creds)
        await call("init", "--nats", secret, "--data", data.parent / "third")
    await call("agent", "revoke", "alice", "--data", data)
    await call("agent", "reconcile", "--data", data)
    await call("status", "--nats", url, "--creds", creds)
    await call("doctor", "--data", data)
    await call("verify", "--data", data)
    with urllib.request.urlopen(serving.facts["metrics_url"], timeout=TIMEOUT_S) as answer:  # noqa: S310
        said.append(answer.read().decode())


@pytest.mark.slow
def test_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    """A venue's life at log level debug: no log, output, status file or metric holds a seed, a token or a password."""
    data = tmp_path / "venue"
    said: list[str] = []
    done = run("init", "--data", data, "--json")
    said += [done.stdout, done.stderr]
    for number in (signal.SIGKILL, signal.SIGTERM):
        with Serving(data, "--log-level", "debug", "--json") as serving:
            if number == signal.SIGKILL:
                asyncio.run(live(serving, said))
            said += [(data / "run.json").read_text(), serving.ready_file.read_text()]
            said += [*serving.stop(number)[1:], serving.log_file.read_text()]
    said += [file.read_text(errors="replace") for file in data.rglob("*.log")]
    said += [file.read_text() for file in data.glob("*.json")]
    secrets = secrets_in(tmp_path)
    assert len(secrets) > 15
    text = "\n".join(said)
    assert "alice" in text
    assert [secret[:12] for secret in secrets if secret in text] == []
    assert SEED.findall(text) == []
    assert [match[0][:40] for match in TOKEN.finditer(text)] == []
    assert [line for line in text.splitlines() if PASSWORD in line] == []


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("nats://bob:secret@10.0.0.1:4222 is away", "nats://[redacted]@10.0.0.1:4222 is away"),
        ("tls://token@host", "tls://[redacted]@host"),
        ("http://127.0.0.1:9464/metrics @ noon", "http://127.0.0.1:9464/metrics @ noon"),
        ("SU" + "A" * 56, "[redacted]"),
    ],
)
def test_what_is_masked(text: str, safe: str) -> None:
    """Seeds, tokens, and what stands before the host of a URL; nothing else."""
    assert redact(text) == safe
