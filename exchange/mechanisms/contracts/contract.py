"""Hold contracts, their parts, and what was attested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.mechanisms.contracts.conditions import leaves_of
from exchange.messages.contracts import Condition, Statement

if TYPE_CHECKING:
    from exchange.messages.contracts import ContractState

__all__ = ["Attestation", "Contract", "Part"]


_PREDICTIONS: Final = 15
"""Where they stand in the state of a contract, if they do, and after them when it was bound."""


class Part:
    """Be one part of a contract. ``state`` follows its settlement."""

    __slots__ = (
        "assignee",
        "attester",
        "bond",
        "deliver_by_us",
        "missed",
        "name",
        "settlement",
        "share",
        "state",
    )

    def __init__(
        self, name: str, assignee: str, share: int, bond: int, deliver_by_us: int, attester: str | None
    ) -> None:
        self.name = name
        self.assignee = assignee
        self.share = share
        self.bond = bond
        self.deliver_by_us = deliver_by_us
        self.attester = attester
        self.settlement = 0
        self.state = "open"
        """``open``, ``waiting`` (delivered or failing, not final), ``completed`` or ``failed``."""
        self.missed: dict[int, None] = {}
        """The times of the condition that passed before it was delivered."""

    def miss(self, by_us: int) -> None:
        """Note that a time of the condition has passed."""
        if self.state == "open":
            self.missed[by_us] = None

    def delivered_by(self, by_us: int | None) -> bool | None:
        """Return whether it was delivered before a time, and that is final; None while that is not certain."""
        # What was missed is certain before anything is final.
        if self.state == "failed" or by_us in self.missed:
            return False
        return True if self.state == "completed" else None

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.name, self.assignee, self.share, self.bond, self.deliver_by_us, self.attester,
            self.settlement, self.state, list(self.missed),
        ]  # fmt: skip

    @staticmethod
    def load(fields: Any) -> Part:
        """Return the part of which ``dump`` gave the state."""
        part = Part(*fields[:6])
        part.settlement, part.state, missed = fields[6:]
        part.missed = dict.fromkeys(missed)
        return part


class Attestation:
    """Hold what an attester said, and whether that is final."""

    __slots__ = ("deadline_id", "dispute", "holds", "is_final", "number", "statement")

    def __init__(self, number: int, statement: str, holds: bool) -> None:  # noqa: FBT001 - also from dumps
        self.number = number
        self.statement = statement
        self.holds = holds
        self.is_final = False
        self.deadline_id = 0
        self.dispute: int | None = None

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.number, self.statement, self.holds, self.is_final, self.deadline_id, self.dispute]

    @staticmethod
    def load(fields: Any) -> Attestation:
        """Return the attestation of which ``dump`` gave the state."""
        attestation = Attestation(*fields[:3])
        attestation.is_final, attestation.deadline_id, attestation.dispute = fields[3:]
        return attestation


class Contract:
    """Be one contract, from its proposal until it ended, and for a while after."""

    __slots__ = (
        "attestations", "bound_us", "condition", "deadline_id", "detail", "evaluate_by_us", "is_overdue", "number",
        "parts", "payer", "predictions", "sign_by_us", "signed", "state", "tasks", "time_ids", "title",
    )  # fmt: skip

    def __init__(
        self, number: int, payer: str, title: str, detail: str, condition: Any, sign_by_us: int, evaluate_by_us: int
    ) -> None:
        self.number = number
        self.payer = payer
        self.title = title
        self.detail = detail
        self.condition: Condition = condition
        self.sign_by_us = sign_by_us
        self.evaluate_by_us = evaluate_by_us
        self.state: ContractState = "proposed"
        self.bound_us = 0
        """When all had signed; 0 before, and of what was bound before parameters could change."""
        self.parts: list[Part] = []
        self.signed: dict[str, None] = {}
        self.attestations: dict[str, Attestation] = {}
        self.tasks: dict[int, bool | None] = {}
        """Whether the tasks that the condition is about were completed; None while that is not final."""
        self.predictions: dict[int, str | None] = {}
        """How the markets that the condition is about ended: "" without an outcome, None while that is not final."""
        self.deadline_id = 0
        """That of the signatures, then that of the last evaluation."""
        self.time_ids: list[int] = []
        """The deadlines of the times that the condition names."""
        self.is_overdue = False
        """Whether the last evaluation is past, and only what was on its way then still counts."""

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"contracts:{self.number}"

    @property
    def total(self) -> int:
        """Return the sum of the shares."""
        return sum(part.share for part in self.parts)

    def assignees(self) -> list[str]:
        """Return who has a part to deliver, each once."""
        return list(dict.fromkeys(part.assignee for part in self.parts))

    def listeners(self) -> list[str]:
        """Return payer and assignees, each once."""
        return list(dict.fromkeys((self.payer, *self.assignees())))

    def attesters(self) -> list[str]:
        """Return who is to attest a statement or a part, each once."""
        names = [leaf.attester for leaf in leaves_of(self.condition) if isinstance(leaf, Statement)]
        names += [part.attester for part in self.parts if part.attester is not None]
        return list(dict.fromkeys(names))

    def bond_of(self, assignee: str) -> int:
        """Return the sum of the bonds of an assignee."""
        return sum(part.bond for part in self.parts if part.assignee == assignee)

    def in_escrow(self) -> int:
        """Return what is in escrow: the shares, and the bonds of who has signed."""
        return self.total + sum(part.bond for part in self.parts if part.assignee in self.signed)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.payer, self.title, self.detail, msgspec.to_builtins(self.condition), self.sign_by_us,
            self.evaluate_by_us, self.state, [part.dump() for part in self.parts], list(self.signed),
            [attestation.dump() for attestation in self.attestations.values()], list(self.tasks.items()),
            self.deadline_id, self.time_ids, self.is_overdue, list(self.predictions.items()),
            self.bound_us,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Contract:
        """Return the contract of which ``dump`` gave the state."""
        number, payer, title, detail, condition, sign_by_us, evaluate_by_us = state[:7]
        converted: Any = msgspec.convert(condition, Condition)
        contract = Contract(number, payer, title, detail, converted, sign_by_us, evaluate_by_us)
        contract.state, parts, signed, attestations, tasks, contract.deadline_id = state[7:13]
        contract.time_ids, contract.is_overdue = list(state[13]), state[14]
        contract.parts = [Part.load(fields) for fields in parts]
        contract.signed = dict.fromkeys(signed)
        for fields in attestations:
            attestation = Attestation.load(fields)
            contract.attestations[attestation.statement] = attestation
        contract.tasks = dict(tasks)
        # What was proposed before there were prediction markets is about none.
        if len(state) > _PREDICTIONS:
            contract.predictions, contract.bound_us = dict(state[_PREDICTIONS]), state[_PREDICTIONS + 1]
        return contract
