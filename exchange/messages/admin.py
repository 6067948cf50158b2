"""Speak about agents, owners, budgets, assets and halts: family ``admin``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    AgentId,
    Amount,
    AssetId,
    BasisPoints,
    Command,
    CommandId,
    Event,
    MarketId,
    Outcome,
    OwnerId,
    PositiveAmount,
    Query,
    Result,
    Role,
)

__all__ = [
    "AgentRegistered",
    "AgentStateChanged",
    "AgentView",
    "AgentsResult",
    "AssetChanged",
    "AssetView",
    "AssetsResult",
    "BalanceView",
    "BalancesResult",
    "ConservationResult",
    "ConservationRow",
    "Genesis",
    "GetBalances",
    "GetConservation",
    "GetQuarantine",
    "GetSpendLimits",
    "HaltAgent",
    "HaltMarket",
    "HaltVenue",
    "IssueAsset",
    "ListAgents",
    "ListAssets",
    "QuarantineCommand",
    "QuarantineResult",
    "QuarantinedView",
    "RegisterAgent",
    "RegisterAsset",
    "RegisterOutcome",
    "ReleaseCommand",
    "ResumeAgent",
    "ResumeMechanism",
    "RetireAsset",
    "RevokeAgent",
    "SetSpendLimit",
    "Settings",
    "SpendLimitReached",
    "SpendLimitView",
    "SpendLimitsResult",
    "SuspendAgent",
    "SuspendMechanism",
    "SuspendedView",
]

Skill = Annotated[str, Meta(min_length=1, max_length=64)]
AgentState = Literal["active", "halted", "suspended", "revoked"]
HaltState = Literal["open", "cancel_only", "halted"]
SuspensionState = Literal["cancel_only", "halted"]
Family = Annotated[str, Meta(min_length=1, max_length=32)]
Digest = Annotated[str, Meta(min_length=1, max_length=64)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold the limits and defaults that rules read; journaled with the genesis.

    Amounts are in the credit's smallest unit.
    """

    endowment: Amount = 100_000_000
    owner_endowment_cap: Amount = 10_000_000_000
    max_agents: PositiveAmount = 100_000
    max_markets: PositiveAmount = 20_000
    max_open_orders: PositiveAmount = 10_000
    max_sessions: PositiveAmount = 256
    max_fills_per_command: PositiveAmount = 1_000
    max_cancels_per_command: PositiveAmount = 10_000
    max_deadlines_per_batch: PositiveAmount = 2_000
    act_grace_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    dispute_window_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 86_400
    confirm_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 86_400
    work_lease_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    min_auction_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    decline_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    urgency_premium_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 250_000
    critical_floor: Amount = 10_000_000
    max_open_tasks: PositiveAmount = 1_000
    max_bids_per_task: PositiveAmount = 1_000
    dispute_deposit_min: PositiveAmount = 1_000_000
    dispute_deposit_bp: BasisPoints = 500
    dispute_panel: Literal[1, 3, 5] = 3
    dispute_draw_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 10
    ruling_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 172_800
    replacement_ruling_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 86_400
    arbitrator_stake_min: PositiveAmount = 50_000_000
    arbitrator_stake_seconds: Annotated[int, Meta(ge=0, le=2_592_000)] = 604_800
    arbitrator_forfeit_bp: BasisPoints = 500
    max_arbitrators: PositiveAmount = 1_000
    max_open_contracts: PositiveAmount = 1_000
    lease_notice_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600
    max_lease_terms: PositiveAmount = 12
    max_turn_bids_per_owner: PositiveAmount = 100
    rating_window_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 604_800
    help_start_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
    max_help_offers: PositiveAmount = 50
    max_offers_per_topic: PositiveAmount = 1_000
    max_help_topics: PositiveAmount = 32
    determine_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30
    max_package_auctions: PositiveAmount = 100
    max_package_bids: PositiveAmount = 2_000
    max_modules: PositiveAmount = 100_000
    max_modules_per_owner: PositiveAmount = 10_000
    max_module_dependencies: PositiveAmount = 64
    max_module_grants: PositiveAmount = 32
    max_module_rentals: PositiveAmount = 32
    max_module_bids: PositiveAmount = 1_000
    max_open_claims: PositiveAmount = 3
    max_claims_per_module: PositiveAmount = 100
    max_module_checks: PositiveAmount = 10
    module_check_stake: PositiveAmount = 10_000_000
    homestead_lapse_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 1_209_600
    foreclosure_auction_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 86_400
    harberger_deposit_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 2_592_000
    harberger_grace_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 86_400
    harberger_warning_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 259_200
    write_token_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600
    max_open_goods: PositiveAmount = 20
    max_pledges: Annotated[int, Meta(ge=1, le=1_000)] = 1_000
    prediction_liquidity: Annotated[int, Meta(ge=1_000, le=10**15)] = 10_000_000
    max_open_predictions: PositiveAmount = 1_000
    max_prediction_traders: Annotated[int, Meta(ge=1, le=5_000)] = 500
    max_share_orders: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    max_share_orders_per_owner: PositiveAmount = 100
    max_open_debts: PositiveAmount = 1_000
    # What may be voted on, of the commons.
    harberger_rate_bp: BasisPoints = 500
    coupling_rate: Amount = 10_000_000
    max_coupling_tax: Amount = 100_000_000
    context_switch_rate: Amount = 1_000_000
    blocking_rate: Amount = 2_000_000
    debt_rate: Amount = 1_000_000
    knowledge_hoarding_rate: Amount = 1_000_000
    debt_hour_rate: Amount = 5_000_000
    crisis_overdue_hours_milli: Amount = 40_000
    crisis_overdue_bp: BasisPoints = 2_000
    # Externalities.
    externality_stake: Amount = 50_000_000
    max_externality_levy: PositiveAmount = 1_000_000_000
    externality_report_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 2_592_000
    max_open_reports: PositiveAmount = 1_000
    change_bond_min: PositiveAmount = 5_000_000
    change_bond_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 604_800
    max_declared_changes: PositiveAmount = 1_000
    dependency_age_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 604_800
    # How it is voted, and what the daily rule aims at; a target of 0 leaves the rate to votes.
    voting: Literal["one_owner", "one_agent", "credits", "quadratic"] = "one_owner"
    max_votes_per_owner: PositiveAmount = 5
    proposal_deposit: Amount = 10_000_000
    voting_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] = 259_200
    enactment_lock_seconds: Annotated[int, Meta(ge=0, le=2_592_000)] = 86_400
    quorum_bp: BasisPoints = 2_000
    max_open_proposals: PositiveAmount = 20
    max_open_proposals_per_owner: PositiveAmount = 3
    public_fund_cap_bp: BasisPoints = 2_000
    urgent_empty_target: Amount = 5
    critical_failed_target: Amount = 1
    coupling_target: Amount = 500
    context_switch_target: Amount = 20
    blocking_target: Amount = 40
    debt_target: Amount = 40
    knowledge_hoarding_target: Amount = 10


class Genesis(Command, tag="admin.genesis", kw_only=True):
    """Create the venue: the supply of credits in ``treasury`` and the first operator. Record 1, once."""

    supply: PositiveAmount
    operator: AgentId
    settings: Settings = Settings()


class RegisterAgent(Command, tag="admin.register_agent", kw_only=True):
    """Admit an agent. The endowment (default: the venue's) is paid from ``treasury``."""

    agent: AgentId
    owner: OwnerId
    roles: Annotated[list[Role], Meta(min_length=1, max_length=5)] = msgspec.field(
        default_factory=lambda: list[Role](("trader",))
    )
    endowment: Amount | None = None
    skills: Annotated[list[Skill], Meta(max_length=64)] = msgspec.field(default_factory=list)


class SuspendAgent(Command, tag="admin.suspend_agent", kw_only=True):
    """Stop an agent from taking on new obligations; what it has stays."""

    agent: AgentId


class ResumeAgent(Command, tag="admin.resume_agent", kw_only=True):
    """Let a suspended or halted agent trade again."""

    agent: AgentId


class RevokeAgent(Command, tag="admin.revoke_agent", kw_only=True):
    """End an agent for good: cancel its orders and pass on what is left."""

    agent: AgentId


class HaltAgent(Command, tag="admin.halt_agent", kw_only=True):
    """Pull the kill switch on one agent: ``SuspendAgent``, also for its owner's other agents to give."""

    agent: AgentId


class HaltVenue(Command, tag="admin.halt_venue", kw_only=True):
    """Set the state of the whole venue; ``open`` lifts a halt."""

    state: HaltState


class HaltMarket(Command, tag="admin.halt_market", kw_only=True):
    """Set the state of one market; ``open`` lifts a halt, by a call auction after ``auction_seconds``."""

    market: MarketId
    state: HaltState
    auction_seconds: Annotated[int, Meta(ge=0, le=604_800)] = 0


class SuspendMechanism(Command, tag="admin.suspend_mechanism", kw_only=True):
    """Let the deadlines of a mechanism rest and refuse what would take on something new, or (``halted``) everything.

    The venue itself says so of a mechanism with a ``deadline`` that broke the engine, by an ``error``.
    """

    family: Family
    state: SuspensionState = "cancel_only"
    deadline: Annotated[str, Meta(max_length=500)] = ""
    error: Annotated[str, Meta(max_length=500)] = ""


class ResumeMechanism(Command, tag="admin.resume_mechanism", kw_only=True):
    """Let a suspended mechanism work again; what was due meanwhile follows at once, in order."""

    family: Family


class QuarantineCommand(Command, tag="admin.quarantine_command", kw_only=True):
    """Refuse a command that broke the engine when it ran; the venue itself says so, nobody else."""

    digest: Digest
    agent: AgentId
    command: CommandId
    tag: Annotated[str, Meta(max_length=64)]
    error: Annotated[str, Meta(max_length=500)] = ""
    is_certain: bool = True


class ReleaseCommand(Command, tag="admin.release_command", kw_only=True):
    """Take a command out of quarantine."""

    digest: Digest


class SetSpendLimit(Command, tag="admin.set_spend_limit", kw_only=True):
    """Limit net spending plus present holds, of one ``agent`` or of a whole ``owner``.

    ``total`` counts from now on, ``per_period`` over any ``period_seconds``; absent means no limit.
    """

    agent: AgentId | None = None
    owner: OwnerId | None = None
    total: Amount | None = None
    per_period: Amount | None = None
    period_seconds: Annotated[int, Meta(ge=60, le=31_536_000)] = 86_400


class RegisterAsset(Command, tag="admin.register_asset", kw_only=True):
    """Register an asset; only ``issuer`` (default: who registers it) may issue and retire it."""

    asset: AssetId
    decimals: Annotated[int, Meta(ge=0, le=9)] = 0
    issuer: AgentId | None = None


class IssueAsset(Command, tag="admin.issue_asset", kw_only=True):
    """Create units of an asset on an agent's account (its issuer only)."""

    asset: AssetId
    agent: AgentId
    quantity: PositiveAmount


class RetireAsset(Command, tag="admin.retire_asset", kw_only=True):
    """Destroy available units of an asset on the issuer's own account."""

    asset: AssetId
    quantity: PositiveAmount


class RegisterOutcome(Outcome, tag="outcome"):
    """Answer a registration."""

    agent: str | None = None
    endowment: int = 0


class AgentRegistered(Event, tag="admin.agent_registered", kw_only=True):
    """Tell a new agent its first facts, and who registered it the same."""

    agent: str
    owner: str
    roles: list[str]
    endowment: int


class AgentStateChanged(Event, tag="admin.agent_state_changed", kw_only=True):
    """Tell that an agent was suspended, halted, resumed or revoked."""

    agent: str
    state: AgentState


class AssetChanged(Event, tag="admin.asset_changed", kw_only=True):
    """Tell that units of an asset were issued to or retired from the agent (negative)."""

    asset: str
    quantity: int


class SpendLimitReached(Event, tag="admin.spend_limit_reached", kw_only=True):
    """Tell that 80 or 100 per cent of a spend limit are used."""

    scope: Literal["agent", "owner"]
    subject: str
    percent: Literal[80, 100]
    used: int
    limit: int


# ── queries ─────────────────────────────────────────────────────────────────────────────────────


class GetBalances(Query, tag="admin.balances"):
    """Ask for the balances of the asking agent, or of another of the same owner."""

    agent: AgentId | None = None


class ListAgents(Query, tag="admin.agents"):
    """Ask for the registered agents, by id, a page at a time (operators: all; others: own owner's)."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


class ListAssets(Query, tag="admin.assets"):
    """Ask for the registered assets."""


class GetConservation(Query, tag="admin.conservation"):
    """Ask for the conservation proof: per asset what was issued and the sum per kind of account."""


class GetSpendLimits(Query, tag="admin.spend_limits"):
    """Ask for the spend limits that bind the asking agent, and how far they are used."""


class GetQuarantine(Query, tag="admin.quarantine"):
    """Ask for the quarantined commands and the suspended mechanisms (operators)."""


class BalanceView(msgspec.Struct):
    """Describe one balance in the asset's smallest unit."""

    asset: str
    available: int
    held: int


class BalancesResult(Result, tag="balances", kw_only=True):
    """Answer ``GetBalances``."""

    agent: str
    balances: list[BalanceView]


class AgentView(msgspec.Struct, kw_only=True):
    """Describe a registered agent."""

    agent: str
    owner: str
    roles: list[str]
    state: AgentState
    skills: list[str]


class AgentsResult(Result, tag="agents", kw_only=True):
    """Answer ``ListAgents``."""

    agents: list[AgentView]
    next: str | None = None


class AssetView(msgspec.Struct):
    """Describe a registered asset."""

    asset: str
    decimals: int
    issuer: str | None
    issued: int


class AssetsResult(Result, tag="assets", kw_only=True):
    """Answer ``ListAssets``."""

    assets: list[AssetView]


class ConservationRow(msgspec.Struct, kw_only=True):
    """Prove one asset: ``difference`` = ``issued`` − the sum over all accounts, and must be 0."""

    asset: str
    issued: int
    by_kind: dict[str, int]
    difference: int


class ConservationResult(Result, tag="conservation", kw_only=True):
    """Answer ``GetConservation``."""

    rows: list[ConservationRow]


class SpendLimitView(msgspec.Struct, kw_only=True):
    """Describe one spend limit; amounts are in the credit's smallest unit."""

    scope: Literal["agent", "owner"]
    subject: str
    total: int | None
    total_used: int
    per_period: int | None
    period_used: int
    period_seconds: int


class SpendLimitsResult(Result, tag="spend_limits", kw_only=True):
    """Answer ``GetSpendLimits``."""

    limits: list[SpendLimitView]


class QuarantinedView(msgspec.Struct, kw_only=True):
    """Describe a quarantined command; not ``is_certain``: one of a batch of which nobody could tell which it was."""

    digest: str
    agent: str
    owner: str
    command: str
    tag: str
    error: str
    since_us: int
    is_certain: bool


class SuspendedView(msgspec.Struct, kw_only=True):
    """Describe a suspended mechanism."""

    family: str
    state: SuspensionState
    since_us: int
    detail: str


class QuarantineResult(Result, tag="quarantine", kw_only=True):
    """Answer ``GetQuarantine``."""

    commands: list[QuarantinedView]
    mechanisms: list[SuspendedView]
