"""The doctor finds what is wrong with a venue, running or stopped, says what to do, and changes nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal, stream_config
from exchange.adapters.poison_file import PoisonedDeadline, PoisonFile, PoisonNote
from exchange.adapters.snapshots import SnapshotStore
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon import Daemon, doctor
from exchange.daemon.creation import create_venue
from exchange.mechanisms.quarantine import quarantine_digest
from exchange.messages.orders import CancelOrder
from tests.cli.program import Serving, run, run_json
from tests.daemon.support import External
from tests.daemon.test_standby import settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Call


def bad(found: dict[str, Any]) -> list[str]:
    """Return what needs attention, in words."""
    return [f"{each['area']}: {each['text']}" for each in found["findings"] if each["level"] == "bad"]


def diagnose(data: Path, *arguments: str) -> dict[str, Any]:
    """Ask the doctor, who may find anything."""
    done = run("doctor", "--data", data, "--json", *arguments)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["good"] else 1), done.stderr
    return found


def listing(data: Path) -> dict[str, int]:
    """Return the files of a directory and when each was changed."""
    return {
        str(path): path.stat().st_mtime_ns for path in data.rglob("*") if path.is_file() and path.name != "run.json"
    }


def test_a_good_venue_is_good_running_and_stopped(tmp_path: Path) -> None:
    """Every area is looked at; of a stopped venue nothing changes by it."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    before = listing(data)
    found = diagnose(data)
    assert bad(found) == []
    assert listing(data) == before
    with Serving(data, "--accept-time"):
        found = diagnose(data)
    assert bad(found) == []
    areas = {each["area"] for each in found["findings"]}
    assert areas == {"daemon", "poison", "journal", "store", "snapshots", "time", "credentials"}
    said = run("doctor", "--data", data)
    assert said.returncode == 0
    assert "Nothing needs attention." in said.stdout
    assert "which is there" in said.stdout


def test_a_directory_that_is_none_is_an_error(tmp_path: Path, call: Call) -> None:
    """It says how to name the right one."""
    done = call("doctor", "--data", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "--data" in done.stderr


def test_the_time_is_accepted_for_once(tmp_path: Path, call: Call) -> None:
    """By a word in the directory, which it shows from then on."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    assert call("doctor", "--data", data, "--accept-time").returncode == 0
    assert VenueFiles(data).accept_time.exists()
    assert "takes the time as it is, once" in run("doctor", "--data", data).stdout


def note_of(agent: str, order_id: int, **fields: Any) -> PoisonNote:
    """Return a note about a command of an agent."""
    command = CancelOrder(id=f"s.{order_id}", valid_until_us=1, order_id=order_id)
    body = msgspec.msgpack.encode(command)
    return PoisonNote(
        **{
            "kind": "command", "family": "orders", "error": "Boom()", "index": 7, "epoch": 1,
            "time_us": 1_795_000_000_000_000, "noted_us": 0, "version": "0", "agent": agent,
            "command_id": command.id, "tag": "orders.cancel", "digest": quarantine_digest(agent, body),
            "body": body, **fields,
        }
    )  # fmt: skip


def test_notes_of_a_stopped_venue_are_shown_and_released(tmp_path: Path, call: Call) -> None:
    """Decoded, with who, when and why; what the journal knows already can only be released with the venue running."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    file = PoisonFile(VenueFiles(data).poison)
    fresh, journaled = note_of("alice", 1), note_of("bob", 2, is_journaled=True)
    bomb = note_of(
        "carol", 3, kind="deadline", digest="", deadline=PoisonedDeadline(1, 9, "orders.expire_order", ["x", 4])
    )
    for note in (fresh, journaled, bomb):
        file.add(note)
    found = diagnose(data)
    assert [each["digest"] for each in found["quarantined"]] == [fresh.digest, journaled.digest]
    assert found["quarantined"][0]["command"]["order_id"] == 1
    (first, second, third) = bad(found)
    assert "orders.cancel s.1 of alice broke the engine at 2026-11-18 11:06:40 UTC: Boom()" in first
    assert "s.2 of bob" in second
    assert "orders.expire_order(x, 4) broke the engine" in third
    said = run("doctor", "--data", data).stdout
    assert f"exchange doctor --release {fresh.digest}" in said
    assert f'{fresh.digest} is {{"type":"orders.cancel","id":"s.1"' in said
    assert call("doctor", "--data", data, "--release", fresh.digest[:8]).returncode == 0
    refused = call("doctor", "--data", data, "--release", journaled.digest)
    assert refused.returncode == 1
    assert "start the venue" in refused.stderr
    assert "no quarantined commands begin with" in call("doctor", "--data", data, "--release", fresh.digest).stderr
    assert len(diagnose(data)["quarantined"]) == 1


def test_a_journal_that_lost_records_is_noticed(tmp_path: Path) -> None:
    """By what was acknowledged here: it ends before it, or has another record there."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    mark = HighWaterFile(VenueFiles(data).high_water)
    mark.write(1, b"x" * 32)
    assert "not the one that was acknowledged here" in bad(diagnose(data))[0]
    mark.write(100, b"x" * 32)
    found = diagnose(data)
    assert "ends at record 1, but record 100 was acknowledged here" in bad(found)[0]
    # Removing the mark would hide the loss from the agents.
    assert [each["advice"] for each in found["findings"] if each["level"] == "bad"] == [
        "put the server's data back; if the loss is accepted, stop the daemons and run `exchange restore`"
    ]
    mark.close()


def test_bad_snapshots_are_noticed(tmp_path: Path) -> None:
    """Damaged ones, and those of another journal; a trimmed journal without any is worth a note."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    snapshots = VenueFiles(data).snapshots
    snapshots.mkdir()
    (snapshots / "1.snapshot").write_bytes(b"x" * 1_000)
    (problem,) = bad(diagnose(data))
    assert re.search(r"1\.snapshot: its 1000 bytes do not have the hash", problem)
    journal = doctor.Journaled(first=50, last=90, last_time_us=0, hashes={}, config={}, cluster={}, account={})
    (found,) = doctor.check_snapshots(SnapshotStore(tmp_path / "none"), journal)
    assert (found.level, "trimmed up to record 49" in found.text) == ("note", True)


async def test_a_stream_that_was_edited_is_noticed(tmp_path: Path) -> None:
    """Whatever lets the server forget records; the settings are those of a real server's answer."""
    external = External(tmp_path)
    await external.start()
    try:
        async with external.journal() as client:
            await create_venue(client)
            journal = Journal(client)
            await journal.open()
            found = await doctor.examine_journal(client, journal, [1])
            assert [each.level for each in doctor.check_stream(found)] == ["good"]
            assert set(found.hashes) == {1}
            config = found.config | {"discard": "old", "max_msgs": 1_000, "max_age": 10**12, "allow_direct": True}
            await client.request("$JS.API.STREAM.UPDATE.JOURNAL", msgspec.json.encode(config), timeout=5)
            found = await doctor.examine_journal(client, journal, [])
        said = [each.text for each in doctor.check_stream(found) if each.level == "bad"]
        assert len(said) == 4
        for words in ("discard is 'old', not 'new'", "max_msgs is 1000", "max_age is", "allow_direct is True"):
            assert any(words in each for each in said), words
    finally:
        await external.stop()


def server(**jetstream: Any) -> dict[str, Any]:
    """Return what a server says of itself."""
    config = {"max_storage": 1_000, "sync_always": True, "sync_interval": 120_000_000_000, **jetstream}
    return {"server": {"name": "one"}, "data": {"jetstream": {"config": config, "stats": {"storage": 790}}}}


def test_servers_that_are_full_or_lazy_are_noticed() -> None:
    """From 80 per cent on, also of what the account may use; and whoever does not write through at once."""
    assert [each.level for each in doctor.check_server({"storage": 1}, [server()])] == ["good"]
    lazy = list(doctor.check_server({}, [server(sync_always=False)]))
    assert [each.level for each in lazy] == ["good", "bad"]
    assert "every 120 s only" in lazy[1].text
    (full,) = doctor.check_server({}, [server(max_storage=900)])
    assert (full.level, "88% full" in full.text) == ("bad", True)
    account = {"storage": 80, "limits": {"max_storage": 100}}
    assert [each.level for each in doctor.check_server(account, None)] == ["bad", "note"]


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        ({"name": "two", "current": True}, None),
        ({"name": "two", "current": False, "lag": 7}, "7 records behind"),
        ({"name": "two", "current": True, "offline": True}, "offline"),
    ],
)
def test_a_replica_that_is_behind_is_noticed(replica: dict[str, Any], words: str | None) -> None:
    """One more that fails would stop the venue."""
    journal = doctor.Journaled(
        first=1, last=9, last_time_us=0, hashes={}, account={}, cluster={"name": "c", "replicas": [replica]},
        config=stream_config(3).as_dict(),
    )  # fmt: skip
    found = [each.text for each in doctor.check_stream(journal) if each.level == "bad"]
    assert ([each for each in found if words is None or words not in each], bool(found)) == ([], words is not None)


def test_credentials_that_expire_or_lie_open_are_noticed(tmp_path: Path) -> None:
    """Two weeks ahead; and what is no credential at all."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    files = VenueFiles(data)
    good = files.agent_creds("operator").read_text()
    for name, after_s in (("late", -60), ("soon", 86_400), ("fine", 30 * 86_400)):
        file = files.agent_creds(name)
        file.write_text(with_expiry(good, int(time.time()) + after_s))
        file.chmod(0o600)
    (files.creds / "none.creds").write_text("nothing")
    files.agent_creds("fine").chmod(0o644)
    found = [each for each in doctor.check_credentials(files.keys, files.creds) if each.level == "bad"]
    assert [re.sub(r"\S*/", "", each.text.partition(" at ")[0]) for each in found] == [
        "others can read fine.creds", "late.creds expired", found[2].text.replace(str(files.creds) + "/", ""),
        "soon.creds expires",
    ]  # fmt: skip
    assert "rotate late" in found[1].advice


def with_expiry(creds: str, expires_s: int) -> str:
    """Put a time of expiry into the token of a credential; nobody checks its signature here."""
    token = next(word for word in creds.split() if word.startswith("eyJ"))
    head, claims, signature = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    encoded = base64.urlsafe_b64encode(json.dumps(decoded | {"exp": expires_s}).encode()).rstrip(b"=").decode()
    return creds.replace(token, f"{head}.{encoded}.{signature}")


@pytest.mark.parametrize(
    ("past_s", "is_running", "level", "words"),
    [
        (1, True, "good", "the last record is of"),
        (60, True, "bad", "60 s old, though a daemon runs"),
        (60, False, "good", "the last record is of"),
        (7_200, False, "note", "--accept-time"),
        (-60, True, "bad", "60 s ahead of this machine's clock"),
    ],
)
def test_a_clock_that_is_off_is_noticed(past_s: int, is_running: bool, level: str, words: str) -> None:
    """Against the journal's time; a stopped venue is behind, which is worth a note before it is started."""
    time_us = int((time.time() - past_s) * 1e6)
    journal = doctor.Journaled(first=1, last=2, last_time_us=time_us, hashes={}, config={}, cluster={}, account={})
    (found,) = doctor.check_time(journal, is_running=is_running, is_permitted=False)
    assert found.level == level
    assert words in found.text + found.advice


async def test_a_venue_that_does_not_answer_is_noticed(tmp_path: Path) -> None:
    """A server that runs and nobody who leads: it says so, within seconds, and looks at the rest."""
    external = External(tmp_path)
    await external.start()
    try:
        async with external.journal() as client:
            await create_venue(client)
        done = run("doctor", "--data", external.files.data, "--nats", external.url, "--json")
        found = json.loads(done.stdout)
        assert any("does not answer an operator" in each for each in bad(found))
        assert any("the stream is as" in each["text"] for each in found["findings"])
    finally:
        await external.stop()


async def test_a_standby_is_looked_at_from_its_own_directory(tmp_path: Path) -> None:
    """Where no keys are, with the credentials that it was started with."""
    external = External(tmp_path)
    await external.start()
    try:
        async with external.journal() as client:
            await create_venue(client)
        daemon = Daemon(settings(external, "daemon", standby=False))
        await daemon.start()
        try:
            keys = external.keyring
            done = await run_beside(
                "doctor", "--data", daemon.files.data, "--nats", external.url, "--json", "--journal-creds",
                keys.journal_creds_path, "--creds", external.files.agent_creds("operator"),
            )  # fmt: skip
            found = json.loads(done.stdout)
            assert bad(found) == []
        finally:
            await daemon.stop()
    finally:
        await external.stop()


async def test_a_standby_without_keys_says_which_credentials_are_missing(tmp_path: Path) -> None:
    """Where it runs is known from its directory; nobody is sent to look at logs for a flag that was not given."""
    external = External(tmp_path)
    await external.start()
    data, keys = tmp_path / "standby", external.keyring
    try:
        async with external.journal() as client:
            await create_venue(client)
        flags = ("--nats", external.url, "--creds", str(keys.gateway_creds_path))
        with Serving(data, *flags, "--journal-creds", str(keys.journal_creds_path)):
            found = json.loads((await run_beside("doctor", "--data", data, "--json")).stdout)
            assert bad(found) == [
                f"journal: not looked at: {data} holds no keys: give --journal-creds, as to the daemon that runs here"
            ]
            assert any(each["text"].startswith("not asked what it has quarantined") for each in found["findings"])
            flags = ("--journal-creds", str(keys.journal_creds_path))
            found = json.loads((await run_beside("doctor", "--data", data, "--json", *flags)).stdout)
            assert bad(found) == []
    finally:
        await external.stop()


async def run_beside(*arguments: object) -> Any:
    """Run a command while a daemon of this process goes on."""
    return await asyncio.to_thread(run, *arguments)
