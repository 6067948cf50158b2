"""Answer queries about parameters, proposals and the public fund: everybody may know all of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.mechanisms.governance.parameters import PARAMETERS, Parameter
from exchange.messages.base import CREDIT
from exchange.messages.governance import (
    BallotsResult,
    BallotView,
    FundResult,
    GetFund,
    GetProposal,
    ListBallots,
    ListParameters,
    ListProposals,
    ParametersResult,
    ParameterView,
    ProposalResult,
    ProposalsResult,
    ProposalView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.governance.mechanism import Governance
    from exchange.mechanisms.governance.proposal import Proposal
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read governance; change nothing. Votes are public, so that everybody can count them."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance
        self._context = governance.context

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            ListParameters: self.list_parameters,
            GetProposal: self.get_proposal,
            ListProposals: self.list_proposals,
            ListBallots: self.list_ballots,
            GetFund: self.get_fund,
        }

    # ── parameters ──────────────────────────────────────────────────────────────────────────────

    def list_parameters(self, agent: AgentRecord, query: ListParameters) -> ParametersResult:
        """Describe every parameter, or the one that is asked for."""
        del agent
        wanted = list(PARAMETERS.values()) if query.parameter is None else [_known(query.parameter)]
        views = [self._parameter_view(parameter) for parameter in wanted]
        return ParametersResult(parameters=views, day_ends_us=self._governance.days.ends_us)

    def _parameter_view(self, parameter: Parameter) -> ParameterView:
        governance, settings = self._governance, self._context.settings
        coming = [each for each in governance.passed.values() if each.terms.parameter == parameter.name]
        first = min(coming, key=_enacted_first, default=None)
        target = getattr(settings, parameter.target) if parameter.target else 0
        return ParameterView(
            parameter=parameter.name,
            value=getattr(settings, parameter.name),
            low=parameter.low,
            high=parameter.high,
            unit=parameter.unit,
            summary=parameter.summary,
            is_dynamic=target > 0,
            target=target or None,
            observed=governance.rates.counts.get(parameter.name, 0) if target else None,
            since_us=governance.rates.since_us.get(parameter.name),
            next_value=None if first is None else first.terms.value,
            next_at_us=None if first is None else first.enacts_at_us,
        )

    # ── proposals ───────────────────────────────────────────────────────────────────────────────

    def _find(self, number: int) -> Proposal:
        governance = self._governance
        for proposals in (governance.voting, governance.passed, governance.ended):
            if number in proposals:
                return proposals[number]
        message = f"no proposal {number}"
        raise NotFound(message)

    def get_proposal(self, agent: AgentRecord, query: GetProposal) -> ProposalResult:
        """Describe one proposal, and how the asker's owner has voted."""
        return ProposalResult(proposal=self._view(self._find(query.proposal), agent.owner))

    def list_proposals(self, agent: AgentRecord, query: ListProposals) -> ProposalsResult:
        """Describe proposals by number, a page at a time."""
        governance = self._governance
        found = governance.ended if query.ended else {**governance.voting, **governance.passed}
        numbers = sorted(number for number in found if number > query.after)
        page = numbers[: query.limit]
        views = [self._view(found[number], agent.owner) for number in page]
        return ProposalsResult(proposals=views, next=page[-1] if len(numbers) > query.limit else None)

    def list_ballots(self, agent: AgentRecord, query: ListBallots) -> BallotsResult:
        """Describe how owners have voted, a page at a time."""
        del agent
        proposal = self._find(query.proposal)
        page = islice(proposal.ballots.items(), query.after, query.after + query.limit)
        views = [
            BallotView(owner=owner, agent=ballot.agent, in_favour=ballot.in_favour, weight=ballot.weight)
            for owner, ballot in page
        ]
        last = query.after + len(views)
        return BallotsResult(ballots=views, next=last if last < len(proposal.ballots) else None)

    def _view(self, proposal: Proposal, owner: str) -> ProposalView:
        governance, settings, terms = self._governance, self._context.settings, proposal.terms
        is_change, is_work = terms.kind == "change", terms.kind == "work"
        is_voting = proposal.state == "voting"
        ballot = proposal.ballots.get(owner)
        closes_at_us = self._context.deadlines.due_us(proposal.deadline_id) if is_voting else None
        return ProposalView(
            proposal=proposal.number,
            kind=terms.kind,
            proposer=proposal.proposer,
            owner=proposal.owner,
            state=proposal.state,
            opened_us=proposal.opened_us,
            closes_at_us=closes_at_us or proposal.closes_at_us,
            enacts_at_us=proposal.enacts_at_us,
            deposit=proposal.deposit,
            voting=settings.voting,
            weight_for=proposal.weight_for,
            weight_against=proposal.weight_against,
            turnout=proposal.turnout,
            quorum_weight=proposal.quorum(settings.quorum_bp),
            total_weight=proposal.total,
            voters=proposal.voters,
            parameter=terms.parameter if is_change else None,
            value=terms.value if is_change else None,
            present=getattr(settings, terms.parameter) if is_change else None,
            title=terms.title if is_work else None,
            amount=None if is_change else terms.amount,
            good=terms.good or None,
            effort_minutes=terms.effort_minutes if is_work else None,
            bidding_seconds=terms.bidding_seconds if is_work else None,
            work_seconds=terms.work_seconds if is_work else None,
            skills=list(terms.skills),
            attester=terms.attester,
            task=proposal.task,
            detail=terms.detail,
            my_weight=governance.weight(proposal, owner) if is_voting else 0,
            my_vote=None if ballot is None else ballot.in_favour,
        )

    # ── the fund ────────────────────────────────────────────────────────────────────────────────

    def get_fund(self, agent: AgentRecord, query: GetFund) -> FundResult:
        """Describe the public fund."""
        del agent, query
        governance, ledger = self._governance, self._context.ledger
        fund = governance.fund
        governance.electorate.follow()
        return FundResult(
            available=fund.available,
            cap=fund.cap,
            fees=ledger.balance("fees", CREDIT).available,
            supply=ledger.assets[CREDIT].issued,
            circulating=governance.circulating(),
            in_shares=sum(share.left for share in fund.shares.values()),
            owners=len(governance.electorate.traders),
            day_ends_us=governance.days.ends_us,
            shares_at_us=governance.days.month_ends_us,
        )


def _known(name: str) -> Parameter:
    parameter = PARAMETERS.get(name)
    if parameter is None:
        message = f"no parameter {name}; there are: {', '.join(PARAMETERS)}"
        raise NotFound(message)
    return parameter


def _enacted_first(proposal: Proposal) -> tuple[int, int]:
    return proposal.enacts_at_us or 0, proposal.number
