"""Know who may vote, and with what weight: owners with an agent that may trade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.base import CREDIT

if TYPE_CHECKING:
    from exchange.mechanisms.base import Context

__all__ = ["Electorate"]


class Electorate:
    """Count owners and their agents as they come and go, so that nothing is searched when somebody proposes.

    No state: it follows from the directory of agents, where they stand in the order in which they were registered.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.owners: list[str] = []
        """Every owner there ever was, the oldest first."""
        self.traders: dict[str, int] = {}
        """How many agents that may trade, and were not revoked, each owner has."""
        self.capped = 0
        """The sum of those, counting no more of an owner than may vote."""
        self._places: dict[str, int] = {}
        """The place of every agent in the order of registration."""

    def follow(self) -> None:
        """Count whom it does not know yet: all, after a snapshot from before there was governance."""
        if len(self._places) < len(self._context.agents):
            for name in list(self._context.agents)[len(self._places) :]:
                self._admit(name)

    def admit(self, agent_id: str) -> None:
        """Count an agent that was registered."""
        if len(self._places) + 1 == len(self._context.agents):
            self._admit(agent_id)
        else:
            self.follow()

    def _admit(self, agent_id: str) -> None:
        agent = self._context.agents[agent_id]
        self._places[agent_id] = len(self._places)
        if self._context.fleets[agent.owner][0] == agent_id:
            self.owners.append(agent.owner)
        if agent.state != "revoked" and "trader" in agent.roles:
            self._count(agent.owner, 1)

    def end(self, agent_id: str) -> None:
        """Count an agent no more that was revoked."""
        agent = self._context.agents[agent_id]
        if agent_id in self._places and "trader" in agent.roles:
            self._count(agent.owner, -1)
        self.follow()

    def _count(self, owner: str, change: int) -> None:
        cap, before = self._context.settings.max_votes_per_owner, self.traders.get(owner, 0)
        after = before + change
        self.capped += min(after, cap) - min(before, cap)
        if after:
            self.traders[owner] = after
        else:
            del self.traders[owner]

    @property
    def registered(self) -> int:
        """Return how many agents were registered so far: who comes later has no vote on what is proposed now."""
        return len(self._places)

    def total(self) -> int:
        """Return the weight of all together, but for credits; where votes are paid for, it is counted in owners."""
        return self.capped if self._context.settings.voting == "one_agent" else len(self.traders)

    def weight(self, owner: str, registered: int) -> int:
        """Return an owner's weight in agents that were among the first ``registered``, and may trade now."""
        settings, agents = self._context.settings, self._context.agents
        cap = settings.max_votes_per_owner if settings.voting == "one_agent" else 1
        if owner not in self.traders:
            return 0
        found = 0
        for name in self._context.fleets[owner]:
            if found == cap or self._places[name] >= registered:
                break
            agent = agents[name]
            found += agent.state != "revoked" and "trader" in agent.roles
        return found

    def credits(self) -> dict[str, int]:
        """Return the credits of every owner that may vote: what its agents have available and on hold.

        It looks at every agent, once for each proposal; what is in escrow is nobody's until it is paid.
        """
        accounts, traders = self._context.ledger.accounts, self.traders
        sums: dict[str, int] = {}
        for name, agent in self._context.agents.items():
            balance = accounts[name].balances.get(CREDIT)
            if balance is not None and (amount := balance.available + balance.held):
                sums[agent.owner] = sums.get(agent.owner, 0) + amount
        return {owner: amount for owner, amount in sums.items() if owner in traders}

    def payee(self, owner: str) -> str:
        """Return the oldest agent, of an owner that may vote, that was not revoked."""
        agents = self._context.agents
        return next(name for name in self._context.fleets[owner] if agents[name].state != "revoked")
