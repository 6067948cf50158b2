"""Hold one proposal, and how owners have voted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from exchange.messages.governance import ProposalKind, ProposalState

__all__ = ["Ballot", "Proposal", "Terms"]

_BP: Final = 10_000


class Terms(NamedTuple):
    """Hold what is proposed; what another kind of proposal has is empty."""

    kind: ProposalKind
    detail: str
    parameter: str = ""
    value: int = 0
    title: str = ""
    amount: int = 0
    """Of the public fund's money; a task costs at most so much."""
    good: int = 0
    effort_minutes: int = 0
    bidding_seconds: int = 0
    work_seconds: int = 0
    skills: tuple[str, ...] = ()
    attester: str | None = None


class Ballot(NamedTuple):
    """Hold an owner's vote. ``turnout`` is what it counts towards the quorum; ``paid`` are the most votes paid for."""

    agent: str
    in_favour: bool
    weight: int
    turnout: int
    paid: int = 0


class Proposal:
    """Be one proposal, from its opening until it was enacted or failed, and for a while after."""

    __slots__ = (
        "ballots", "closes_at_us", "deadline_id", "deposit", "enacts_at_us", "number", "opened_us", "owner",
        "proposer", "registered", "state", "task", "terms", "total", "turnout", "voters", "weight_against",
        "weight_for", "weights",
    )  # fmt: skip

    def __init__(self, number: int, proposer: str, owner: str, terms: Terms, opened_us: int) -> None:
        self.number = number
        self.proposer = proposer
        self.owner = owner
        self.terms = terms
        self.opened_us = opened_us
        self.closes_at_us = 0
        self.enacts_at_us: int | None = None
        self.deposit = 0
        self.state: ProposalState = "voting"
        self.deadline_id = 0
        """That of the close, then that of the enactment."""
        self.registered = 0
        """How many agents there were when it was proposed: later ones do not count."""
        self.total = 0
        """The weight of all who may vote, as of then."""
        self.weights: dict[str, int] = {}
        """What each owner had, where credits count."""
        self.ballots: dict[str, Ballot] = {}
        """By owner, while it is voted."""
        self.weight_for = 0
        self.weight_against = 0
        self.turnout = 0
        self.voters = 0
        self.task: int | None = None
        """The task that was opened for it."""

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"governance:{self.number}"

    def put(self, owner: str, ballot: Ballot | None) -> None:
        """Count an owner's vote in the place of its last one; None counts it no more."""
        for each, sign in ((self.ballots.get(owner), -1), (ballot, 1)):
            if each is None:
                continue
            self.turnout += sign * each.turnout
            self.voters += sign
            if each.in_favour:
                self.weight_for += sign * each.weight
            else:
                self.weight_against += sign * each.weight
        if ballot is None:
            self.ballots.pop(owner, None)
        else:
            self.ballots[owner] = ballot

    def quorum(self, quorum_bp: int) -> int:
        """Return the least weight that must have voted, rounded up."""
        return -(-self.total * quorum_bp // _BP)

    def has_quorum(self, quorum_bp: int) -> bool:
        """Return whether enough have voted; without anybody, never."""
        return self.turnout > 0 and self.turnout >= self.quorum(quorum_bp)

    def has_majority(self) -> bool:
        """Return whether more than half of what was voted is for it: a tie fails."""
        return self.weight_for > self.weight_against

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.proposer, self.owner, list(self.terms), self.opened_us, self.closes_at_us,
            self.enacts_at_us, self.deposit, self.state, self.deadline_id, self.registered, self.total,
            list(self.weights.items()), [[owner, *ballot] for owner, ballot in self.ballots.items()],
            self.weight_for, self.weight_against, self.turnout, self.voters, self.task,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Proposal:
        """Return the proposal of which ``dump`` gave the state."""
        number, proposer, owner, fields, opened_us = state[:5]
        # Compiled, it takes no list where a tuple is due.
        values: list[Any] = [tuple(field) if isinstance(field, list) else field for field in fields]
        proposal = Proposal(number, proposer, owner, Terms(*values), opened_us)
        proposal.closes_at_us, proposal.enacts_at_us, proposal.deposit, proposal.state = state[5:9]
        proposal.deadline_id, proposal.registered, proposal.total, weights, ballots = state[9:14]
        (
            proposal.weight_for, proposal.weight_against, proposal.turnout, proposal.voters, proposal.task,
        ) = state[14:]  # fmt: skip
        proposal.weights = dict(weights)
        for name, *ballot in ballots:
            proposal.ballots[name] = Ballot(*ballot)
        return proposal
