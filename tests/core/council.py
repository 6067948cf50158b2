"""Build the scene that tests of governance start from: owners, what they propose, and how they vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.governance import Governance
from exchange.messages.admin import Settings
from exchange.messages.base import VENUE_AGENT
from exchange.messages.governance import (
    BeginGovernance,
    GetFund,
    GetProposal,
    ListParameters,
    ProposeChange,
    Vote,
)
from exchange.testing import OPERATOR, SECOND_US, Venue

if TYPE_CHECKING:
    from exchange.messages.governance import FundResult, ParameterView, ProposalView
    from exchange.testing import Answer

__all__ = ["CREDIT", "DAY_US", "HOUR_US", "Council"]

CREDIT: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US


class Council(Venue):
    """Be a venue of ten owners, ``o0`` to ``o9``, with an agent of 100 credits each; its days have begun."""

    def __init__(self, *, owners: int = 10, begins: bool = True, **options: Any) -> None:
        settings = {name: options.pop(name) for name in list(options) if name in Settings.__struct_fields__}
        super().__init__(settings=Settings(**settings), **options)
        self.register(*(f"o{n}" for n in range(owners)), endowment=100 * CREDIT)
        if begins:
            self.begin()

    def begin(self) -> Answer:
        """Begin the days, as the daemon has it done that begins to lead."""
        return self.send(VENUE_AGENT, BeginGovernance(id="governance.2", valid_until_us=self.time_us))

    @property
    def governance(self) -> Governance:
        found = self.engine.mechanisms["governance"]
        assert isinstance(found, Governance)
        return found

    def propose(self, agent: str = "o0", parameter: str = "endowment", value: int = 7 * CREDIT) -> int:
        """Propose another value; return the number of the proposal."""
        return int(self.must(agent, ProposeChange, parameter=parameter, value=value).data["proposal"])

    def vote(self, agents: str, *, against: str = "", proposal: int = 1, votes: int = 1) -> None:
        """Vote for it, and against it: the names of agents, with spaces between."""
        for names, in_favour in ((agents, True), (against, False)):
            for name in names.split():
                self.must(name, Vote, proposal=proposal, in_favour=in_favour, votes=votes)

    def try_to_vote(self, agent: str, *, in_favour: bool = True, proposal: int = 1, votes: int = 1) -> Answer:
        return self.submit(agent, Vote, proposal=proposal, in_favour=in_favour, votes=votes)

    def close(self, proposal: int = 1) -> ProposalView:
        """Let the vote end, and return the proposal."""
        self.advance_to(self.view_proposal(proposal).closes_at_us)
        return self.view_proposal(proposal)

    def enact(self, proposal: int = 1) -> ProposalView:
        """Let the lock end, too, and return the proposal."""
        enacts_at_us = self.close(proposal).enacts_at_us
        assert enacts_at_us is not None
        self.advance_to(enacts_at_us)
        return self.view_proposal(proposal)

    def view_proposal(self, proposal: int = 1, agent: str = OPERATOR) -> ProposalView:
        return self.engine.query(agent, GetProposal(proposal=proposal)).proposal  # type: ignore[attr-defined,no-any-return]

    def parameter(self, name: str = "endowment") -> ParameterView:
        return self.engine.query(OPERATOR, ListParameters(parameter=name)).parameters[0]  # type: ignore[attr-defined,no-any-return]

    def fund(self) -> FundResult:
        found: FundResult = self.engine.query(OPERATOR, GetFund())  # type: ignore[assignment]
        return found

    def purse(self, agent: str) -> int:
        """Return what an agent has available, in whole credits."""
        return self.balance(agent)[0] // CREDIT

    def endow_fund(self, amount: int) -> None:
        """Move credits from the treasury to the public fund, as levies would have over time."""
        ledger = self.engine.ledger
        ledger.transfer(ledger.balance("treasury", "credit"), ledger.balance("public_fund", "credit"), amount)

    def pay_fees(self, amount: int) -> None:
        """Move credits from the treasury to the fees, as trades would have over a day."""
        ledger = self.engine.ledger
        ledger.transfer(ledger.balance("treasury", "credit"), ledger.balance("fees", "credit"), amount)

    def told(self, agent: str, tag: str) -> list[Any]:
        """Return the events of a tag that an agent heard."""
        return [event for event in self.events(agent) if event.__struct_config__.tag == tag]

    def reload(self) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(REGISTRY)
        engine.load(dumped)
        assert engine.dump() == dumped
        assert engine.check_invariants() == []
        self.engine = engine
