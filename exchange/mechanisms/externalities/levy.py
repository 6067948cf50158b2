"""Hold levies, what they are about, and the changes that were declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from exchange.mechanisms.cashier import escrow_of

if TYPE_CHECKING:
    from exchange.mechanisms.cashier import Cashier
    from exchange.messages.externalities import ExternalityKind, ExternalityState, HowFinal

__all__ = ["Affected", "Change", "Levy", "Share", "Suffering"]


class Affected(NamedTuple):
    """Be a module that suffers; ``beneficiary`` is empty if it does not count."""

    module: str
    severity: int
    beneficiary: str
    share: int


class Share(NamedTuple):
    """Be what one account is compensated by, and for how many units."""

    amount: int
    units: int


class Suffering:
    """Hold what was done, as it is reported and as it was assessed: never changed after that."""

    __slots__ = (
        "affected", "amount", "changed_us", "is_doubled", "kind", "module", "module_owner", "rate", "shares", "source",
        "target", "units",
    )  # fmt: skip

    def __init__(self, kind: ExternalityKind, source: str, module: str, target: str, changed_us: int) -> None:
        self.kind = kind
        self.source = source
        self.module = module
        """Empty where it is about none."""
        self.target = target
        """Empty where no single agent suffers."""
        self.changed_us = changed_us
        self.module_owner = ""
        """The agent that owned ``module`` then."""
        self.units = 0
        self.rate = 0
        self.amount = 0
        self.is_doubled = False
        self.affected: list[Affected] = []
        self.shares: dict[str, Share] = {}
        """By account; they add up to the amount and the units."""

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.kind, self.source, self.module, self.target, self.changed_us, self.module_owner, self.units,
            self.rate, self.amount, self.is_doubled, [list(each) for each in self.affected],
            [[name, *share] for name, share in self.shares.items()],
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Suffering:
        """Return what ``dump`` gave the state of."""
        found = Suffering(*state[:5])
        found.module_owner, found.units, found.rate, found.amount, found.is_doubled, affected, shares = state[5:]
        found.affected = [Affected(*fields) for fields in affected]
        found.shares = {name: Share(amount, units) for name, amount, units in shares}
        return found


class Levy:
    """Be one levy, from its report until its money has moved, and for a while after."""

    __slots__ = (
        "attester", "change", "deadline_id", "digest", "dispute", "from_bond", "lien", "number", "outcome", "reference",
        "reported_us", "stake", "state", "suffering",
    )  # fmt: skip

    def __init__(self, number: int, suffering: Suffering, attester: str, stake: int, reported_us: int) -> None:
        self.number = number
        self.suffering = suffering
        self.attester = attester
        """Empty where the venue itself knows it."""
        self.stake = stake
        self.reported_us = reported_us
        self.reference = ""
        self.digest = ""
        self.change = 0
        """The declared change that it is about."""
        self.from_bond = 0
        """How much of it the bond of that has paid."""
        self.lien = 0
        """What the source could not pay, and owes the escrow as long as the levy is not final."""
        self.state: ExternalityState = "open"
        self.outcome: HowFinal | None = None
        self.deadline_id = 0
        self.dispute = 0

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"externalities:{self.number}"

    @property
    def escrow(self) -> str:
        """Return the escrow that has the stake, and of the levy what could be collected."""
        return escrow_of(self.cause)

    def owed(self, cashier: Cashier) -> int:
        """Return what the source still owes of it, as long as it is not final."""
        lien = cashier.liens.get(self.lien)
        return 0 if lien is None else lien.amount

    def held(self, cashier: Cashier) -> int:
        """Return what waits in escrow of it, besides the stake."""
        return cashier.in_escrow(self.escrow) - self.stake

    def parties(self) -> list[str]:
        """Return source, attester and those to be compensated, each once; ``public_fund`` is no party."""
        names = (self.suffering.source, self.attester, *self.suffering.shares)
        return [name for name in dict.fromkeys(names) if name and name != "public_fund"]

    def key(self, owner: str) -> tuple[str, str, str, str, str]:
        """Return what is reported only once of a source's owner."""
        about = self.suffering
        return about.kind, owner, about.module, about.target, self.reference

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.suffering.dump(), self.attester, self.stake, self.reported_us, self.reference,
            self.digest, self.change, self.from_bond, self.lien, self.state, self.outcome, self.deadline_id,
            self.dispute,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Levy:
        """Return the levy of which ``dump`` gave the state."""
        number, suffering, attester, stake, reported_us = state[:5]
        levy = Levy(number, Suffering.load(suffering), attester, stake, reported_us)
        (
            levy.reference, levy.digest, levy.change, levy.from_bond, levy.lien, levy.state, levy.outcome,
            levy.deadline_id, levy.dispute,
        ) = state[5:]  # fmt: skip
        return levy


class Change:
    """Be a change that was declared; it is remembered for as long as it may be reported what it broke."""

    __slots__ = (
        "agent", "bond", "deadline_id", "declared_us", "is_open", "left", "levy", "module", "number", "returns_us",
    )  # fmt: skip

    def __init__(self, number: int, agent: str, module: str, bond: int, declared_us: int, returns_us: int) -> None:
        self.number = number
        self.agent = agent
        self.module = module
        self.bond = bond
        self.declared_us = declared_us
        self.returns_us = returns_us
        self.left = bond
        """What of the bond is still in its escrow."""
        self.is_open = True
        """Whether the bond is still there."""
        self.levy = 0
        """The levy that it answers for; a change answers for one."""
        self.deadline_id = 0

    @property
    def cause(self) -> str:
        """Return the cause under which its bond moves."""
        return f"externalities:change:{self.number}"

    @property
    def escrow(self) -> str:
        """Return the escrow that has the bond."""
        return escrow_of(self.cause)

    def covers(self, changed_us: int) -> bool:
        """Return whether it was declared before a change at ``changed_us``, and that in its time."""
        return self.declared_us <= changed_us < self.returns_us

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.agent, self.module, self.bond, self.declared_us, self.returns_us, self.left, self.is_open,
            self.levy, self.deadline_id,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Change:
        """Return the change of which ``dump`` gave the state."""
        change = Change(*state[:6])
        change.left, change.is_open, change.levy, change.deadline_id = state[6:]
        return change
