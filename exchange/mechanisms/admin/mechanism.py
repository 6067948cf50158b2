"""Admit agents, keep their budgets, pull kill switches: family ``admin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from exchange.ledger import SpendMeter
from exchange.mechanisms.admin.queries import Queries
from exchange.mechanisms.admin.suspending import Suspending
from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, EngineBroken, Mechanism
from exchange.mechanisms.facts import AgentAdmitted, AgentEnded, MarketStateOrdered, VenueReopened
from exchange.messages.admin import (
    AgentRegistered,
    AgentStateChanged,
    AssetChanged,
    Genesis,
    GetQuarantine,
    HaltAgent,
    HaltMarket,
    HaltVenue,
    IssueAsset,
    QuarantineCommand,
    RegisterAgent,
    RegisterAsset,
    RegisterOutcome,
    ReleaseCommand,
    ResumeAgent,
    ResumeMechanism,
    RetireAsset,
    RevokeAgent,
    SetSpendLimit,
    SpendLimitReached,
    SuspendAgent,
    SuspendMechanism,
)
from exchange.messages.base import (
    CREDIT,
    CREDIT_DECIMALS,
    MAX_AMOUNT,
    RESERVED_AGENT_IDS,
    VENUE_AGENT,
    Command,
    Outcome,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exchange.ledger import Balance
    from exchange.mechanisms.base import AgentState
    from exchange.messages.base import Query, Result, Role

__all__ = ["Admin"]

_SECOND_US = 1_000_000


class MarketDirectory(Protocol):
    """Say what this mechanism needs to know about markets."""

    def has_market(self, market_id: str) -> bool:
        """Return whether a market exists."""


class Admin(Mechanism):
    """Keep the directory of agents and assets, and the states of agents and venue."""

    family: ClassVar[str] = "admin"
    summary: ClassVar[str] = "agents, owners, roles, assets, hard budgets, spend limits, kill switches"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._markets: MarketDirectory | None = None
        # What each owner's agents were endowed with.
        self.endowed: dict[str, int] = {}
        self.fleets = context.fleets
        self._queries = Queries(self)
        self.suspending = Suspending(context)
        context.react(SpendMeter, self._report_spending)

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the directory of markets, and what there is to suspend."""
        self.suspending.connect(mechanisms)
        self._markets = mechanisms.get("orders")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            Genesis: CommandRule(self.genesis, "operator", opens=False),
            RegisterAgent: CommandRule(self.register_agent, "operator", opens=False),
            SuspendAgent: CommandRule(self.suspend_agent, "operator", opens=False),
            ResumeAgent: CommandRule(self.resume_agent, None, opens=False),
            RevokeAgent: CommandRule(self.revoke_agent, "operator", opens=False),
            HaltAgent: CommandRule(self.halt_agent, None, opens=False),
            HaltVenue: CommandRule(self.halt_venue, "operator", opens=False),
            HaltMarket: CommandRule(self.halt_market, "operator", opens=False),
            SuspendMechanism: CommandRule(self.suspending.suspend_mechanism, "operator", opens=False),
            ResumeMechanism: CommandRule(self.suspending.resume_mechanism, "operator", opens=False),
            QuarantineCommand: CommandRule(self.suspending.quarantine_command, "operator", opens=False),
            ReleaseCommand: CommandRule(self.suspending.release_command, "operator", opens=False),
            SetSpendLimit: CommandRule(self.set_spend_limit, None, opens=False),
            RegisterAsset: CommandRule(self.register_asset, "operator", opens=False),
            IssueAsset: CommandRule(self.issue_asset, None, opens=False),
            RetireAsset: CommandRule(self.retire_asset, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {**self._queries.readers(), GetQuarantine: self.suspending.get_quarantine}

    # ── agents ──────────────────────────────────────────────────────────────────────────────────

    def genesis(self, agent: AgentRecord, command: Genesis) -> Outcome:
        """Create the supply and the first operator; only the venue itself may, and only once."""
        ledger = self.context.ledger
        if agent.agent_id != VENUE_AGENT or ledger.assets:
            return self.context.reject(command, Reason.NOT_PERMITTED, "the genesis happens once, in record 1")
        self.context.settings = command.settings
        self.context.deadlines.grace_us = command.settings.act_grace_seconds * _SECOND_US
        ledger.register_asset(CREDIT, CREDIT_DECIMALS, None)
        for name in ("treasury", "public_fund", "fees"):
            ledger.open_account(name, name)
        ledger.issue(ledger.balance("treasury", CREDIT), command.supply)
        self._admit(command.operator, "operator", ("operator",), (), 0)
        return self.context.accept(command)

    def register_agent(self, agent: AgentRecord, command: RegisterAgent) -> Outcome:
        """Admit an agent and pay its endowment from ``treasury``."""
        context = self.context
        settings = context.settings
        treasury = context.ledger.balance("treasury", CREDIT)
        endowment = settings.endowment if command.endowment is None else command.endowment
        endowed = self.endowed.get(command.owner, 0) + endowment
        if command.agent in context.agents or command.agent in context.ledger.accounts:
            return context.reject(command, Reason.AGENT_EXISTS, f"{command.agent} is registered")
        if command.agent in RESERVED_AGENT_IDS:
            return context.reject(command, Reason.AGENT_EXISTS, f"{command.agent} is the venue's own name")
        if len(context.agents) >= settings.max_agents:
            return context.reject(command, Reason.TOO_MANY_AGENTS, f"the venue admits {settings.max_agents}")
        if endowed > settings.owner_endowment_cap:
            return context.reject(
                command,
                Reason.ENDOWMENT_CAP,
                f"owner {command.owner} would be endowed with {endowed}, the cap is {settings.owner_endowment_cap}",
            )
        if endowment > treasury.available:
            return context.reject(
                command, Reason.INSUFFICIENT_CREDITS, f"the treasury has {treasury.available} available"
            )
        roles = tuple(dict.fromkeys(command.roles))
        record = self._admit(command.agent, command.owner, roles, tuple(command.skills), endowment)
        for listener in dict.fromkeys((record, agent)):
            self.context.emit(
                listener,
                AgentRegistered(agent=command.agent, owner=command.owner, roles=list(roles), endowment=endowment),
            )
        return RegisterOutcome(command.id, "accepted", context.time_us, None, None, command.agent, endowment)

    def _admit(
        self, agent_id: str, owner: str, roles: tuple[Role, ...], skills: tuple[str, ...], endowment: int
    ) -> AgentRecord:
        context = self.context
        ledger = context.ledger
        record = context.agents[agent_id] = AgentRecord(agent_id, owner, roles, skills)
        ledger.open_account(agent_id, "agent")
        credit = ledger.balance(agent_id, CREDIT)
        fleet = self.fleets.setdefault(owner, [])
        fleet.append(agent_id)
        self.endowed[owner] = self.endowed.get(owner, 0) + endowment
        if endowment:
            ledger.transfer(ledger.balance("treasury", CREDIT), credit, endowment)
        owner_meter = ledger.meters.get(("owner", owner))
        if owner_meter is not None:
            ledger.attach_meter(owner_meter, [credit])
        context.announce(AgentAdmitted(agent_id))
        return record

    def suspend_agent(self, agent: AgentRecord, command: SuspendAgent) -> Outcome:
        """Stop an agent from taking on new obligations."""
        return self._change_state(agent, command, command.agent, "suspended")

    def halt_agent(self, agent: AgentRecord, command: HaltAgent) -> Outcome:
        """Pull the kill switch on an agent: operators on any, others on those of their owner."""
        target = self.context.agents.get(command.agent)
        by_owner = not _is_operator(agent)
        if by_owner and (target is None or target.owner != agent.owner or target.state != "active"):
            return self.context.reject(
                command, Reason.NOT_PERMITTED, "only operators and its owner may halt it, while it is active"
            )
        outcome = self._change_state(agent, command, command.agent, "halted")
        if target is not None and outcome.status == "accepted":
            target.halted_by_owner = by_owner
        return outcome

    def resume_agent(self, agent: AgentRecord, command: ResumeAgent) -> Outcome:
        """Let an agent trade again: operators any, others what their owner halted, not themselves."""
        target = self.context.agents.get(command.agent)
        if not _is_operator(agent) and (
            target is None
            or target.owner != agent.owner
            or target is agent
            or agent.state != "active"
            or not (target.state == "halted" and target.halted_by_owner)
        ):
            return self.context.reject(command, Reason.NOT_PERMITTED, "only an operator may resume it")
        return self._change_state(agent, command, command.agent, "active")

    def revoke_agent(self, agent: AgentRecord, command: RevokeAgent) -> Outcome:
        """End an agent: its orders are canceled, what is left goes to its owner's oldest agent."""
        if command.agent == agent.agent_id:
            return self.context.reject(command, Reason.NOT_PERMITTED, "an operator cannot revoke itself")
        outcome = self._change_state(agent, command, command.agent, "revoked")
        if outcome.status == "accepted":
            self.context.announce(AgentEnded(command.agent))
            self.context.follow_up(self._pass_on, command.agent)
        return outcome

    def _change_state(self, agent: AgentRecord, command: Command, target_id: str, state: AgentState) -> Outcome:
        context = self.context
        target = context.agents.get(target_id)
        if target is None:
            return context.reject(command, Reason.UNKNOWN_AGENT, f"{target_id} is not registered")
        if target.state == "revoked":
            return context.reject(command, Reason.AGENT_REVOKED, f"{target_id} was revoked, for good")
        if target.state == state:
            return context.reject(command, Reason.NO_CHANGE, f"{target_id} is {state}")
        target.state = state
        for listener in dict.fromkeys((target, agent)):
            # The venue itself, when it revokes who floods, has no events.
            if listener.agent_id != VENUE_AGENT:
                context.emit(listener, AgentStateChanged(agent=target_id, state=state))
        return context.accept(command)

    def _pass_on(self, agent_id: str) -> None:
        """Give what a revoked agent has left to its owner's oldest agent, else to ``treasury``."""
        context = self.context
        owner = context.agents[agent_id].owner
        heirs = [name for name in self.fleets[owner] if context.agents[name].state != "revoked"]
        heir = heirs[0] if heirs else "treasury"
        ledger = context.ledger
        context.cashier.pay_liens(agent_id, ledger.balance(agent_id, CREDIT).available)
        for asset in list(ledger.accounts[agent_id].balances):
            source = ledger.balance(agent_id, asset)
            if source.held:
                message = f"revoked agent {agent_id} still holds {source.held} of {asset}"
                raise EngineBroken(message)
            if source.available:
                ledger.transfer(source, ledger.balance(heir, asset), source.available)

    # ── halts ───────────────────────────────────────────────────────────────────────────────────

    def halt_venue(self, agent: AgentRecord, command: HaltVenue) -> Outcome:
        """Set the state of the whole venue."""
        del agent
        if command.state == self.context.venue_state:
            return self.context.reject(command, Reason.NO_CHANGE, f"the venue is {command.state}")
        self.context.venue_state = command.state
        if command.state == "halted":
            self.context.deadlines.stop(VENUE_SCOPE)
        else:
            self.context.deadlines.work(VENUE_SCOPE)
        if command.state == "open":
            self.context.announce(VenueReopened())
        return self.context.accept(command)

    def halt_market(self, agent: AgentRecord, command: HaltMarket) -> Outcome:
        """Set the state of one market; the market itself follows."""
        del agent
        if self._markets is None or not self._markets.has_market(command.market):
            return self.context.reject(command, Reason.UNKNOWN_MARKET, f"no market {command.market}")
        self.context.announce(MarketStateOrdered(command.market, command.state, command.auction_seconds))
        return self.context.accept(command)

    # ── spend limits ────────────────────────────────────────────────────────────────────────────

    def set_spend_limit(self, agent: AgentRecord, command: SetSpendLimit) -> Outcome:
        """Limit the spending of an agent or an owner.

        An operator may set any. An owner's agents may limit each other but not themselves, and may
        set a first limit for the owner. What an operator set, only an operator changes.
        """
        context = self.context
        ledger = context.ledger
        problem = self._check_limit(agent, command)
        if problem is not None:
            return context.reject(command, *problem)
        if command.agent is not None:
            key, balances = ("agent", command.agent), [ledger.balance(command.agent, CREDIT)]
            meter = ledger.meters.get(key) or SpendMeter("agent", command.agent)
        else:
            owner = command.owner or ""
            key, balances = ("owner", owner), self._fleet_credits(owner)
            meter = ledger.meters.get(key) or SpendMeter("owner", owner)
        held = sum(balance.held for balance in balances)
        meter.by_operator = _is_operator(agent)
        meter.configure(command.total, command.per_period, command.period_seconds * _SECOND_US, held)
        ledger.attach_meter(meter, balances)
        ledger.metered[meter] = None
        return context.accept(command)

    def _check_limit(self, agent: AgentRecord, command: SetSpendLimit) -> tuple[Reason, str] | None:
        if (command.agent is None) == (command.owner is None):
            return Reason.MISSING_FIELD, "give agent or owner, not both"
        if command.agent is not None:
            target = self.context.agents.get(command.agent)
            if target is None:
                return Reason.UNKNOWN_AGENT, f"{command.agent} is not registered"
            meter = self.context.ledger.meters.get(("agent", command.agent))
            by_mate = target.owner == agent.owner and target is not agent and agent.state == "active"
            if _is_operator(agent) or (by_mate and not (meter is not None and meter.by_operator)):
                return None
            return (
                Reason.NOT_PERMITTED,
                "only an operator, or at first another agent of the owner, may set it",
            )
        if command.owner not in self.fleets:
            return Reason.UNKNOWN_AGENT, f"no agent of owner {command.owner} is registered"
        is_first = ("owner", command.owner) not in self.context.ledger.meters
        if _is_operator(agent) or (command.owner == agent.owner and is_first):
            return None
        return Reason.NOT_PERMITTED, "only an operator may change the limit of an owner"

    def _fleet_credits(self, owner: str) -> list[Balance]:
        return [self.context.ledger.balance(name, CREDIT) for name in self.fleets[owner]]

    def _report_spending(self, meter: SpendMeter) -> None:
        percent = meter.crossing()
        if percent is None:
            return
        listeners = [meter.subject] if meter.scope == "agent" else self.fleets[meter.subject]
        in_period = meter.per_period is not None and (
            meter.total is None
            or (meter.period_spent + meter.held) * meter.total > (meter.spent + meter.held) * meter.per_period
        )
        used = (meter.period_spent if in_period else meter.spent) + meter.held
        limit = meter.per_period if in_period else meter.total
        for name in listeners:
            self.context.emit(
                self.context.agents[name],
                SpendLimitReached(
                    scope=meter.scope, subject=meter.subject, percent=percent, used=used, limit=limit or 0
                ),
            )

    # ── assets ──────────────────────────────────────────────────────────────────────────────────

    def register_asset(self, agent: AgentRecord, command: RegisterAsset) -> Outcome:
        """Register an asset of which nothing exists yet."""
        context = self.context
        issuer = command.issuer or agent.agent_id
        if command.asset in context.ledger.assets:
            return context.reject(command, Reason.ASSET_EXISTS, f"asset {command.asset} exists")
        if issuer not in context.agents:
            return context.reject(command, Reason.UNKNOWN_AGENT, f"{issuer} is not registered")
        context.ledger.register_asset(command.asset, command.decimals, issuer)
        return context.accept(command)

    def issue_asset(self, agent: AgentRecord, command: IssueAsset) -> Outcome:
        """Create units on an agent's account; only the registered issuer may."""
        context = self.context
        problem = self._check_issuer(agent, command.asset)
        if problem is not None:
            return context.reject(command, *problem)
        target = context.agents.get(command.agent)
        if target is None or target.state == "revoked":
            return context.reject(command, Reason.UNKNOWN_AGENT, f"{command.agent} is not registered")
        asset = context.ledger.assets[command.asset]
        if asset.issued + command.quantity > MAX_AMOUNT:
            return context.reject(
                command, Reason.INVALID_QUANTITY, f"at most {MAX_AMOUNT} may exist, {asset.issued} do"
            )
        context.ledger.issue(context.ledger.balance(command.agent, command.asset), command.quantity)
        context.emit(target, AssetChanged(asset=command.asset, quantity=command.quantity))
        return context.accept(command)

    def retire_asset(self, agent: AgentRecord, command: RetireAsset) -> Outcome:
        """Destroy available units on the issuer's own account."""
        context = self.context
        problem = self._check_issuer(agent, command.asset)
        if problem is not None:
            return context.reject(command, *problem)
        balance = context.ledger.balance(agent.agent_id, command.asset)
        if balance.available < command.quantity:
            return context.reject(command, Reason.INSUFFICIENT_ASSET, f"{balance.available} available")
        context.ledger.issue(balance, -command.quantity)
        context.emit(agent, AssetChanged(asset=command.asset, quantity=-command.quantity))
        return context.accept(command)

    def _check_issuer(self, agent: AgentRecord, asset_name: str) -> tuple[Reason, str] | None:
        asset = self.context.ledger.assets.get(asset_name)
        if asset is None:
            return Reason.UNKNOWN_ASSET, f"no asset {asset_name}"
        if asset.issuer != agent.agent_id:
            return Reason.NOT_ISSUER, f"only {asset.issuer or 'nobody'} issues and retires {asset_name}"
        return None

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of the directory."""
        broken = []
        listed = [name for fleet in self.fleets.values() for name in fleet]
        if sorted(listed) != sorted(self.context.agents):
            broken.append("every_agent_is_in_one_fleet")
        broken.extend(
            f"revoked_agent_is_empty: {agent.agent_id}"
            for agent in self.context.agents.values()
            if agent.state == "revoked"
            and any(b.held for b in self.context.ledger.accounts[agent.agent_id].balances.values())
        )
        return broken

    def dump(self) -> object:
        """Return the state as plain data."""
        return [list(self.endowed.items()), list(self.fleets.items()), self.suspending.dump()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, and let the meters count again."""
        endowed, fleets, suspending = state
        self.suspending.load(suspending)
        self.endowed = dict(endowed)
        self.fleets.update((owner, list(agents)) for owner, agents in fleets)
        ledger = self.context.ledger
        # In the order in which they were set, as each balance has them.
        for meter in list(ledger.meters.values()):
            agents = [meter.subject] if meter.scope == "agent" else self.fleets[meter.subject]
            ledger.attach_meter(meter, [ledger.balance(agent, CREDIT) for agent in agents])


def _is_operator(agent: AgentRecord) -> bool:
    """Return whether an agent may do what operators may: a suspended one may not."""
    return "operator" in agent.roles and agent.state == "active"
