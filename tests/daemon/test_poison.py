"""What broke the engine is found out, noted and made known; by itself, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from exchange.adapters.poison_file import PoisonFile
from exchange.daemon.host import Host
from exchange.daemon.poison import ConservationBroken, Poisoned, Poisons
from exchange.engine import Engine, genesis_batch
from exchange.messages.admin import (
    IssueAsset,
    QuarantineCommand,
    RegisterAgent,
    RegisterAsset,
    ReleaseCommand,
    SuspendMechanism,
)
from exchange.messages.base import VENUE_AGENT, Command
from exchange.messages.orders import CreateMarket, PlaceOrder
from tests.faults.poisoned import plant

if TYPE_CHECKING:
    from pathlib import Path

    from exchange.daemon.host import Step

START_US = 1_795_000_000_000_000
SECOND_US = 1_000_000


class Desk:
    """Hold a host with bugs in its engine, and the notes of its data directory."""

    def __init__(self, directory: Path) -> None:
        self.host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0, engine=plant(Engine()))
        self.path = directory / "poison.json"
        self.poisons = Poisons(PoisonFile(self.path))
        self._numbers = 0
        genesis = genesis_batch("operator", START_US)
        self.host.apply(genesis.submissions, [], START_US, 0)
        self.apply(
            ("operator", RegisterAsset, {"asset": "cpu"}),
            ("operator", CreateMarket, {"market": "cpu", "base": "cpu", "tick": 1, "price_band_bp": 0}),
            *(("operator", RegisterAgent, {"agent": agent, "owner": agent}) for agent in ("alice", "bob")),
        )

    def apply(self, *commands: tuple[str, type[Command], dict[str, Any]], after_us: int = 1) -> Step:
        """Apply a batch as the leader does, and note what breaks."""
        submissions = []
        for agent, kind, fields in commands:
            self._numbers += 1
            command = kind(id=f"s.{self._numbers}", valid_until_us=self.host.engine.time_us + SECOND_US, **fields)
            submissions.append((agent, command, msgspec.msgpack.encode(command)))
        engine = self.host.engine
        try:
            step = self.host.apply(submissions, [], engine.time_us + after_us, engine.epoch)
            if engine.ledger.take_difference():
                raise ConservationBroken(step.batch, None, "not conserved")
        except Poisoned as poisoned:
            self.poisons.note(poisoned)
            raise
        return step


def order(agent: str, name: str = "", **fields: Any) -> tuple[str, type[Command], dict[str, Any]]:
    """Return an order of a name that may be poisonous."""
    return (
        agent,
        PlaceOrder,
        {"market": "cpu", "side": "buy", "quantity": 1, "price": 1, "client_order_id": name or None, **fields},
    )


def restarted(directory: Path) -> Desk:
    """Return a host as it was before the batch that broke, with the notes as they are on the disk."""
    return Desk(directory)


def test_the_command_is_noted(tmp_path: Path) -> None:
    """With sender, bytes, digest and where it broke; the file is nobody else's, and counts repetitions."""
    for times in (1, 2):
        desk = Desk(tmp_path)
        with pytest.raises(Poisoned, match=r"orders.place s.6 of bob broke the engine: .*Nothing of batch 3 has left"):
            desk.apply(order("alice"), order("bob", "raise"), order("alice", "raise"))
        (note,) = PoisonFile(desk.path).notes
        assert (note.kind, note.family, note.agent, note.command_id, note.times) == (
            "command", "orders", "bob", "s.6", times,
        )  # fmt: skip
        assert "place_badly" in note.traceback
        assert msgspec.msgpack.decode(note.body)["client_order_id"] == "raise"
    assert desk.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["poison.json"]


def test_the_next_leader_makes_it_known(tmp_path: Path) -> None:
    """By a command of the venue itself, once; then the gateway refuses those bytes."""
    with pytest.raises(Poisoned):
        Desk(tmp_path).apply(order("bob", "raise"))
    desk = restarted(tmp_path)
    (made,) = desk.poisons.commands(desk.host.engine)
    assert made[0] == VENUE_AGENT
    assert isinstance(made[1], QuarantineCommand)
    desk.host.begin_epoch(desk.host.engine.time_us + 1, [made])
    desk.poisons.settle()
    note = desk.poisons.notes[0]
    assert desk.host.engine.context.quarantine.find("bob", "bob", "orders", note.body)
    assert desk.poisons.commands(desk.host.engine) == []
    assert restarted(tmp_path).poisons.commands(desk.host.engine) == []


def test_a_deadline_rests_with_its_mechanism(tmp_path: Path) -> None:
    """In the first record of the epoch it does not fire, nor after."""
    desk = Desk(tmp_path)
    bomb = order("bob", "bomb", time_in_force="gtd", expires_at_us=START_US + SECOND_US)
    desk.apply(bomb)
    with pytest.raises(Poisoned, match=r"the deadline orders.expire_order\(bob, 1\)"):
        desk.apply(order("alice"), after_us=2 * SECOND_US)
    desk = restarted(tmp_path)
    desk.apply(bomb)
    (made,) = desk.poisons.commands(desk.host.engine)
    assert isinstance(made[1], SuspendMechanism)
    for _ in range(2):
        desk.host.begin_epoch(desk.host.engine.time_us + 2 * SECOND_US, [made])
    assert desk.host.engine.context.suspended == {"orders": "cancel_only"}


def test_a_counterfeiter_is_found_among_many(tmp_path: Path) -> None:
    """Of a batch after which money is not conserved, the one command is found in a copy of the state before."""
    batch = [order("alice", f"a{n}") for n in range(50)] + [order("bob", "counterfeit")] + [order("alice", "last")]
    with pytest.raises(ConservationBroken):
        Desk(tmp_path).apply(*batch)
    desk = restarted(tmp_path)
    assert [note.kind for note in desk.poisons.notes] == ["batch"]
    before = desk.host.engine.state_hash()
    desk.poisons.resolve(desk.host.engine)
    assert desk.host.engine.state_hash() == before
    (note,) = restarted(tmp_path).poisons.notes
    assert (note.kind, note.agent, note.is_certain) == ("command", "bob", True)
    assert msgspec.msgpack.decode(note.body)["client_order_id"] == "counterfeit"


def test_what_cannot_be_found_is_suspected(tmp_path: Path) -> None:
    """Where trying it out shows nothing, everything in the batch is refused, but counts against nobody."""
    desk = Desk(tmp_path)
    step = desk.apply(order("alice"), order("bob"))
    desk.poisons.note(Poisoned(step.batch, None, "a cosmic ray"))
    desk = restarted(tmp_path)
    desk.poisons.resolve(desk.host.engine)
    made = desk.poisons.commands(desk.host.engine)
    assert [(each[1].agent, each[1].is_certain) for each in made] == [("alice", False), ("bob", False)]


def test_a_suspect_of_another_version_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """What this version cannot read cannot run here, either; the others are suspected all the same."""
    desk = Desk(tmp_path)
    step = desk.apply(order("alice"))
    newer = msgspec.msgpack.encode({"type": "orders.not_yet", "id": "s.1", "valid_until_us": 1})
    desk.poisons.note(Poisoned(step.batch, None, "a cosmic ray"))
    desk.poisons.notes[0].suspects.insert(0, ("bob", newer))
    desk.poisons.resolve(desk.host.engine)
    assert [(note.kind, note.agent) for note in desk.poisons.notes] == [("command", "alice")]


def test_an_event_that_cannot_be_encoded_is_found(tmp_path: Path) -> None:
    """The batch broke when its events were collected, so it is tried out, too."""

    class Emitted:
        seq = venue_time_us = 0

    def emit_nonsense(agent: Any, command: Any) -> Any:
        engine.context.emit(agent, Emitted())  # type: ignore[arg-type]
        return engine.context.accept(command)

    for number in (1, 2):
        desk = restarted(tmp_path)
        engine = desk.host.engine
        engine._rules[IssueAsset] = (emit_nonsense, None, False)
        if number == 1:
            with pytest.raises(Poisoned):
                desk.apply(order("alice"), ("bob", IssueAsset, {"asset": "cpu", "agent": "bob", "quantity": 1}))
        else:
            desk.poisons.resolve(engine)
    assert [(note.tag, note.is_certain) for note in desk.poisons.notes] == [("admin.issue_asset", True)]


def test_a_warning_is_noted_once(tmp_path: Path) -> None:
    """A standby hears what its leader ended of; nonsense is none, and what is known is not counted again."""
    warnings: list[bytes] = []
    (tmp_path / "leader").mkdir()
    (tmp_path / "standby").mkdir()
    leader, standby = Desk(tmp_path / "leader"), Desk(tmp_path / "standby")
    leader.poisons = Poisons(PoisonFile(leader.path), warnings.append)
    with pytest.raises(Poisoned):
        leader.apply(order("bob", "raise"))
    for payload in (b"nonsense", b"\xff", *warnings, *warnings):
        standby.poisons.hear(payload)
    assert [(note.agent, note.is_heard, note.times) for note in standby.poisons.notes] == [("bob", True, 1)]
    assert len(standby.poisons.commands(standby.host.engine)) == 1


def test_what_was_undone_since_is_not_done_again(tmp_path: Path) -> None:
    """A standby that sees its leader make poison known, and an operator undo it, has nothing to say about it."""
    warnings: list[bytes] = []
    (tmp_path / "leader").mkdir()
    (tmp_path / "standby").mkdir()
    leader, standby = Desk(tmp_path / "leader"), Desk(tmp_path / "standby")
    leader.poisons = Poisons(PoisonFile(leader.path), warnings.append)
    with pytest.raises(Poisoned):
        leader.apply(order("bob", "raise"))
    standby.poisons.hear(warnings[0])
    back = restarted(tmp_path / "leader")
    followed = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    followed.load(back.host.snapshot())
    made = back.poisons.commands(back.host.engine)
    for step in (
        back.host.begin_epoch(back.host.engine.time_us + 1, made),
        back.apply(("operator", ReleaseCommand, {"digest": back.poisons.notes[0].digest})),
    ):
        assert b"accepted" in step.outputs.outcomes[0]
        followed.replay(step.body)
        standby.poisons.observe(followed.engine)
    assert standby.poisons.commands(followed.engine) == []
    assert PoisonFile(standby.path).notes == []


def test_notes_that_cannot_be_written_are_no_reason_not_to_start(tmp_path: Path) -> None:
    """What was found out is made known all the same."""
    desk = Desk(tmp_path)
    with pytest.raises(Poisoned):
        desk.apply(order("bob", "counterfeit"))
    desk = restarted(tmp_path)
    desk.path.with_name(f".{desk.path.name}.draft").mkdir()
    desk.poisons.resolve(desk.host.engine)
    assert len(desk.poisons.commands(desk.host.engine)) == 1
    desk.poisons.settle()


def test_no_memory_is_nobodys_fault(tmp_path: Path) -> None:
    """The daemon ends by it as it is, and quarantines nothing."""
    desk = Desk(tmp_path)

    def starve(agent: Any, command: Any) -> Any:
        raise MemoryError

    desk.host.engine._rules[PlaceOrder] = (starve, None, False)
    with pytest.raises(MemoryError):
        desk.apply(order("alice"))
    assert not desk.path.exists()


def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """Its notes are lost, and the next ones are written over it."""
    path = tmp_path / "poison.json"
    path.write_bytes(b'{"notes":[{"kind":')
    assert PoisonFile(path).notes == []
    with pytest.raises(Poisoned):
        Desk(tmp_path).apply(order("bob", "raise"))
    assert len(PoisonFile(path).notes) == 1
