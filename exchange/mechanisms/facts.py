"""Name the facts by which mechanisms react to each other, without importing each other."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "AgentAdmitted",
    "AgentEnded",
    "DebtIssued",
    "DisputeDecided",
    "DisputeOpened",
    "DisputeTerms",
    "EvidenceGiven",
    "ExternalityFinal",
    "GoodSubsidised",
    "MarketStateOrdered",
    "MechanismStateOrdered",
    "ParameterChanged",
    "PayersTerms",
    "PredictionFinal",
    "SettlementAccepted",
    "SettlementAgreed",
    "SettlementCalledOff",
    "SettlementDelivered",
    "SettlementFailed",
    "SettlementFinal",
    "SettlementOpened",
    "SettlementTerms",
    "SwitchLapsed",
    "TaskFinal",
    "TaskOpened",
    "TaskOrdered",
    "UnitsLeased",
    "UrgentAuctionClosed",
    "VenueReopened",
]


class AgentAdmitted(NamedTuple):
    """An agent was registered."""

    agent: str


class AgentEnded(NamedTuple):
    """An agent was revoked: what it has must be wound up."""

    agent: str


class VenueReopened(NamedTuple):
    """The venue is open again after a halt."""


class MarketStateOrdered(NamedTuple):
    """An operator set the state of a market."""

    market: str
    state: Literal["open", "cancel_only", "halted"]
    auction_seconds: int


class MechanismStateOrdered(NamedTuple):
    """A mechanism was suspended, in part or whole, or resumed; the engine sees to it."""

    family: str
    state: Literal["open", "cancel_only", "halted"]


class SwitchLapsed(NamedTuple):
    """An agent did not renew its dead man's switch: what binds it to nothing yet is withdrawn."""

    agent: str


# ── settlements ─────────────────────────────────────────────────────────────────────────────────


class SettlementTerms(NamedTuple):
    """Say what a payer and a provider agreed on; amounts are in the credit's smallest unit.

    Past ``deliver_by_us`` a delivery costs ``late_per_hour`` per started hour, for ``late_hours``. The ``attester`` may
    deliver or confirm in the place of a party. ``lease_seconds`` above 0: the provider has a work lease of so long,
    which it must renew. ``quantity`` units of ``asset`` go to the payer when it is completed, else back.
    ``unsecured_bond`` is not in escrow: the provider had nothing, and is debited by force if it fails.
    What goes back to the payer, or is forfeited to it, goes to the ``payer_account`` if there is one.
    """

    payer: str
    provider: str
    price: int
    bond: int
    deliver_by_us: int
    confirm_seconds: int = 86_400
    late_hours: int = 0
    late_per_hour: int = 0
    attester: str | None = None
    lease_seconds: int = 0
    asset: str = ""
    quantity: int = 0
    title: str = ""
    unsecured_bond: int = 0
    payer_account: str = ""

    @property
    def refund_account(self) -> str:
        """Return the account that takes what goes back to the payer."""
        return self.payer_account or self.payer

    def dump(self) -> list[object]:
        """Return the terms as plain data, as they were before there was a ``payer_account`` where there is none."""
        fields: list[object] = list(self)
        return fields if self.payer_account else fields[:-1]


class SettlementAgreed(NamedTuple):
    """Something is to be delivered: ``settlements`` opens a settlement, and owns the escrow from now on.

    ``origin`` is a cause such as ``tasks:17``; ``escrow`` the account that has price, bond and units, nothing else.
    """

    origin: str
    escrow: str
    terms: SettlementTerms


class SettlementOpened(NamedTuple):
    """A settlement was opened for an origin; ``fencing_token`` is 0 without a work lease."""

    origin: str
    settlement: int
    fencing_token: int


class SettlementDelivered(NamedTuple):
    """A provider, or the attester for it, says that it has delivered; not final yet."""

    origin: str
    settlement: int
    delivered_us: int


class SettlementFailed(NamedTuple):
    """Nothing was delivered in time, or the work lease lapsed; not final yet unless ``SettlementFinal`` follows."""

    origin: str
    settlement: int
    why: Literal["undelivered", "lease_lapsed", "given_up"]


class SettlementFinal(NamedTuple):
    """A settlement ended for good, and its money has moved.

    ``score`` (0 to 100) is the attester's, if it gave one; ``is_accepted``: its payer has confirmed it.
    """

    origin: str
    settlement: int
    terms: SettlementTerms
    outcome: Literal["completed", "failed"]
    paid: int
    delivered_us: int | None
    score: int | None
    is_accepted: bool


class SettlementCalledOff(NamedTuple):
    """A settlement without money of its own is not waited for any more: who opened it has settled what it was about."""

    settlement: int


class SettlementAccepted(NamedTuple):
    """Those for whom its payer stands have accepted what was delivered: the settlement is completed."""

    settlement: int


class PayersTerms(NamedTuple):
    """Say who pays for a settlement whose payer stands for many: agents of ``owners`` may read and dispute it.

    ``amount`` is what they pay. ``confirm_together``: none of them confirms alone; ``SettlementAccepted`` tells that
    they have.
    """

    owners: tuple[str, ...]
    amount: int
    confirm_together: bool


class TaskFinal(NamedTuple):
    """A task ended for good; ``is_called_off``: before anybody had it, by its poster or because that was revoked."""

    task: int
    is_completed: bool
    poster: str
    is_critical: bool = False
    is_called_off: bool = False


class TaskOrdered(NamedTuple):
    """A mechanism has work done: ``tasks`` opens a procurement task, and owns the ``escrow``'s money from now on.

    That money is all the task may cost: the ``reserve`` is lowered to it, and what it has more is for urgency.
    ``origin`` is a cause such as ``debts:3``; ``poster`` the agent that confirms in the place of a payer. What is not
    spent, and what a worker forfeits, goes to ``refund``: an account of the venue, of an agent, or another escrow,
    which can be owed a bond even after the task. The owners in ``excluded_owners`` may not bid.
    """

    origin: str
    escrow: str
    poster: str
    refund: str
    title: str
    detail: str
    skills: tuple[str, ...]
    effort_minutes: int
    reserve: int
    closes_at_us: int
    deadline_us: int
    excluded_owners: tuple[str, ...] = ()
    attester: str | None = None


class TaskOpened(NamedTuple):
    """A task was opened for the ``origin`` of a ``TaskOrdered``; ``TaskFinal`` follows when it has ended."""

    origin: str
    task: int


class UrgentAuctionClosed(NamedTuple):
    """A round of a task with a premium for urgency closed, with or without an award."""

    task: int
    is_awarded: bool
    poster: str


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


class DisputeTerms(NamedTuple):
    """Say of something that may be disputed now: who is for it and who against, and what it is about.

    ``claimant`` wins when the dispute is upheld, ``respondent`` when it is not; both are agents. ``amount`` is what the
    deposit is a share of. Agents of the owners in ``excluded`` do not judge, nor do those of the two. ``matter`` is the
    cause of what is decided, such as ``tasks:17``: others may know by it who has something to gain.
    """

    claimant: str
    respondent: str
    amount: int
    excluded: tuple[str, ...] = ()
    matter: str = ""


class DisputeOpened(NamedTuple):
    """Somebody disputes what ``family`` knows as ``number``: it is frozen until it is decided."""

    family: str
    number: int
    dispute: int
    disputer: str


class DisputeDecided(NamedTuple):
    """A dispute was decided; not ``upheld``: what silence would have brought happens."""

    family: str
    number: int
    dispute: int
    upheld: bool


# ── leases ──────────────────────────────────────────────────────────────────────────────────────


class UnitsLeased(NamedTuple):
    """A trade in a lease market: ``escrow`` has rent, compensation and the lessor's units, and goes to ``leases``.

    ``value`` is the rent for the whole term; ``compensation`` what the lessor forfeits by revoking.
    """

    market: str
    trade_id: int
    escrow: str
    lessee: str
    lessor: str
    asset: str
    quantity: int
    price: int
    value: int
    compensation: int
    term_seconds: int


# ── reputation ──────────────────────────────────────────────────────────────────────────────────


class EvidenceGiven(NamedTuple):
    """Facts speak for or against an agent in a domain such as ``forecast``, by a ``score`` of 0 to 100.

    ``stake`` is what was at stake, in the credit's smallest unit. ``rater`` is the agent on the other side, if there is
    one: it counts less the more often its owner has been the other side of the agent's.
    """

    agent: str
    domain: str
    score: int
    stake: int
    rater: str | None = None


# ── the commons ─────────────────────────────────────────────────────────────────────────────────


class ParameterChanged(NamedTuple):
    """A parameter of the venue, a field of its settings, has another value from now on."""

    name: str
    before: int
    after: int


class DebtIssued(NamedTuple):
    """An agent has taken on technical debt of so much interest a month; ``beneficiaries`` suffer by weight."""

    token: int
    issuer: str
    interest_hours_milli: int
    beneficiaries: tuple[tuple[str, int], ...]


class ExternalityFinal(NamedTuple):
    """A levy on what one agent does to another is final: ``units`` as its ``kind`` counts them, ``amount`` in credits.

    ``source`` is the agent that pays; ``target`` the agent that is compensated, None where that is the public.
    """

    kind: str
    units: int
    amount: int
    source: str
    target: str | None


class PredictionFinal(NamedTuple):
    """A prediction market ended for good: with an ``outcome``, or void or without an award (None)."""

    market: int
    outcome: str | None


class GoodSubsidised(NamedTuple):
    """Public money in ``escrow`` goes to the proposal of a public good, and is answered for by ``assurance`` now."""

    good: int
    escrow: str
    amount: int
