"""Answer queries about agents, balances, assets and the conservation of money."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.admin import (
    AgentsResult,
    AgentView,
    AssetsResult,
    AssetView,
    BalancesResult,
    BalanceView,
    ConservationResult,
    ConservationRow,
    GetBalances,
    GetConservation,
    GetSpendLimits,
    ListAgents,
    ListAssets,
    SpendLimitsResult,
    SpendLimitView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.admin.mechanism import Admin
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the directory and the ledger; change nothing."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._context = admin.context
        self._sorted: list[str] = []

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            GetBalances: self.get_balances,
            ListAgents: self.list_agents,
            ListAssets: self.list_assets,
            GetConservation: self.get_conservation,
            GetSpendLimits: self.get_spend_limits,
        }

    def get_balances(self, agent: AgentRecord, query: GetBalances) -> BalancesResult:
        """Return the balances of the asker, of its owner's other agents, or for an operator of anyone."""
        target = agent if query.agent is None else self._context.agents.get(query.agent)
        if target is None or (target.owner != agent.owner and "operator" not in agent.roles):
            message = f"no agent {query.agent} whose balances you may see"
            raise NotFound(message)
        account = self._context.ledger.accounts[target.agent_id]
        return BalancesResult(
            agent=target.agent_id,
            balances=[
                BalanceView(balance.asset.name, balance.available, balance.held)
                for balance in account.balances.values()
            ],
        )

    def list_agents(self, agent: AgentRecord, query: ListAgents) -> AgentsResult:
        """Return a page of agents by id: for an operator all, else those of the asker's owner."""
        agents = self._context.agents
        names = self._names() if "operator" in agent.roles else sorted(self._admin.fleets[agent.owner])
        start = bisect_right(names, query.after) if query.after else 0
        page = names[start : start + query.limit]
        return AgentsResult(
            agents=[_view_agent(agents[name]) for name in page],
            next=page[-1] if start + len(page) < len(names) else None,
        )

    def _names(self) -> list[str]:
        """Return the ids of all agents in order; agents only ever join, so their number tells whether it is stale."""
        if len(self._sorted) != len(self._context.agents):
            self._sorted = sorted(self._context.agents)
        return self._sorted

    def list_assets(self, agent: AgentRecord, query: ListAssets) -> AssetsResult:
        """Return the registered assets."""
        del agent, query
        return AssetsResult(
            assets=[
                AssetView(asset.name, asset.decimals, asset.issuer, asset.issued)
                for asset in self._context.ledger.assets.values()
            ]
        )

    def get_conservation(self, agent: AgentRecord, query: GetConservation) -> ConservationResult:
        """Return per asset what was issued and the running sums per kind of account."""
        del agent, query
        return ConservationResult(
            rows=[
                ConservationRow(
                    asset=asset.name,
                    issued=asset.issued,
                    by_kind={kind: total.amount for kind, total in asset.totals.items()},
                    difference=asset.difference(),
                )
                for asset in self._context.ledger.assets.values()
            ]
        )

    def get_spend_limits(self, agent: AgentRecord, query: GetSpendLimits) -> SpendLimitsResult:
        """Return the limits that bind the asker; what is used is as of the last movement."""
        del query
        meters = self._context.ledger.meters
        found = [meters.get(("agent", agent.agent_id)), meters.get(("owner", agent.owner))]
        return SpendLimitsResult(
            limits=[
                SpendLimitView(
                    scope=meter.scope,
                    subject=meter.subject,
                    total=meter.total,
                    total_used=meter.spent + meter.held,
                    per_period=meter.per_period,
                    period_used=meter.period_spent + meter.held,
                    period_seconds=meter.period_us // 1_000_000,
                )
                for meter in found
                if meter is not None
            ]
        )


def _view_agent(agent: AgentRecord) -> AgentView:
    return AgentView(
        agent=agent.agent_id,
        owner=agent.owner,
        roles=list(agent.roles),
        state=agent.state,
        skills=list(agent.skills),
    )
