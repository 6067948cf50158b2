"""Look at everything that leaves a daemon, at the moment when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.simulation.loop import Program
    from tests.simulation.world import World

__all__ = ["Wire"]


class _Head(msgspec.Struct):
    """Read of a message what every check needs."""

    type: str
    id: str | None = None
    index: int | None = None
    epoch: int | None = None
    first: int = 0
    reason: str | None = None
    events: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Head).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Wire:
    """Check that nothing leaves before it is durable, and nothing that is not the reader's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.outcomes: dict[tuple[str, str], dict[bytes, None]] = {}
        """The outcomes that were sent, by agent and command id."""
        self.events: dict[tuple[str, int, bytes], None] = {}
        """The event messages that were sent: agent, first ``seq``, encoded events."""

    def hear(self, program: Program, subject: str, payload: bytes) -> None:
        """Look at one message."""
        world = self._world
        if subject.startswith("_INBOX."):
            self._hear_reply(program, subject, payload)
            return
        head = _decode(payload)
        index = head.index or 0
        if head.type == "events":
            agent = subject.rpartition(".")[2]
            self.events[agent, head.first, bytes(head.events)] = None
        if index > world.stream.last:
            world.violate("nothing_leaves_before_it_is_durable", f"{program.name}: {head.type} of record {index}")
        elif index and head.epoch is not None and head.epoch < world.stream.records[index - 1].epoch:
            world.violate("nothing_leaves_before_it_is_durable", f"{program.name}: {head.type} of a lost epoch")

    def _hear_reply(self, program: Program, subject: str, payload: bytes) -> None:
        world = self._world
        asker, asked_s = world.network.askers.get(subject, ("nobody", 0.0))
        if not subject.startswith(f"_INBOX.{asker}."):
            world.violate("answers_go_to_who_asked", f"{program.name} answers {asker} on {subject}")
            return
        if payload[:1] == b"[":
            for raw in _decode_array(payload):
                self._hear_outcome(program, asker, _decode(raw), bytes(raw))
            return
        head = _decode(payload)
        if head.type == "outcome":
            self._hear_outcome(program, asker, head, payload)
        elif head.type == "refusal":
            self._hear_refusal(program, asker, asked_s, head)
        elif head.index is not None and head.index != world.stream.last:
            # Whoever answers a query speaks for the venue: what is stored by then is what it must know.
            world.violate(
                "reads_are_current",
                f"{program.name} answers {head.type} as of {head.index}, stored is {world.stream.last}",
            )

    def _hear_outcome(self, program: Program, asker: str, head: _Head, payload: bytes) -> None:
        key = (asker, head.id or "")
        if key not in self._world.stream.sent:
            self._world.violate(
                "nothing_leaves_before_it_is_durable", f"{program.name} answers {key}, which is not stored"
            )
        self.outcomes.setdefault(key, {})[payload] = None

    def _hear_refusal(self, program: Program, asker: str, asked_s: float, head: _Head) -> None:
        """Look at a refusal: what it says of the venue must be true of what is stored."""
        world = self._world
        world.count("refusals")
        if head.reason == "unknown_agent" and world.registered.get(asker, asked_s) < asked_s:
            world.violate("refusals_are_true", f"{program.name} does not know {asker}")
