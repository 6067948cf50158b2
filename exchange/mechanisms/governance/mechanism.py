"""Let owners decide together, and rates follow their use: family ``governance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.facts import (
    AgentAdmitted,
    AgentEnded,
    ExternalityFinal,
    TaskFinal,
    TaskOpened,
    UrgentAuctionClosed,
)
from exchange.mechanisms.governance.days import Days, Rates
from exchange.mechanisms.governance.electorate import Electorate
from exchange.mechanisms.governance.enacting import Enacting
from exchange.mechanisms.governance.fund import FUND, Fund
from exchange.mechanisms.governance.invariants import broken_invariants
from exchange.mechanisms.governance.parameters import PARAMETERS
from exchange.mechanisms.governance.proposal import Ballot, Proposal, Terms
from exchange.mechanisms.governance.proposing import GoodDirectory, check_terms
from exchange.mechanisms.governance.queries import Queries
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import CREDIT, CREDIT_DECIMALS, VENUE_AGENT, Command, Outcome, Query, Result
from exchange.messages.governance import (
    BeginGovernance,
    EndReason,
    ProposalEnded,
    ProposalKind,
    ProposalOpened,
    ProposalOutcome,
    ProposalPassed,
    ProposeChange,
    ProposeShare,
    ProposeSubsidy,
    ProposeWork,
    Vote,
    VoteOutcome,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Governance"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 10**CREDIT_DECIMALS
_REMEMBERED: Final = 1_000
"""So many ended proposals can still be asked for."""

_INFLOWS: Final = (("fees",), ("votes",), ("deposits",), ("returned",))
_OUTFLOWS: Final = (("share",), ("work",), ("subsidy",))

Violation = tuple[Reason, str]


class Governance(Mechanism):
    """Take proposals and votes, enact what was voted for, and end the venue's days."""

    family: ClassVar[str] = "governance"
    summary: ClassVar[str] = "owners vote on parameters and the public fund; dynamic rates follow their use day by day"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.voting: dict[int, Proposal] = {}
        """The proposals that are being voted on."""
        self.passed: dict[int, Proposal] = {}
        """Those that were voted for, and wait to be enacted."""
        self.ended: dict[int, Proposal] = {}
        self.proposed: dict[str, int] = {}
        """How many proposals that have not ended each owner has."""
        self._last_number = 0
        self.goods: GoodDirectory | None = None
        self.tally = Tally(
            Figure("proposed_total", "Proposals opened.", ("kind",), words(ProposalKind)),
            Figure("proposals_total", "Proposals that ended.", ("outcome",), words(EndReason)),
            Figure("votes_total", "Votes taken, changed ones included."),
            Figure("vote_credits_total", "Whole credits paid for votes."),
            Figure("parameters_changed_total", "Changes of parameters.", ("cause",), (("vote",), ("daily_rule",))),
            Figure("fund_inflow_credits_total", "Whole credits that came in.", ("source",), _INFLOWS),
            Figure("fund_outflow_credits_total", "Whole credits that went out.", ("purpose",), _OUTFLOWS),
        )
        self.electorate = Electorate(context)
        self.days = Days(context)
        self.rates = Rates(context)
        self.fund = Fund(context, self.electorate, self.tally)
        self.enacting = Enacting(self)
        context.react(AgentAdmitted, self._note_newcomer)
        context.react(AgentEnded, self._note_end)
        context.react(UrgentAuctionClosed, self.rates.note_auction)
        context.react(TaskFinal, self.rates.note_task)
        context.react(ExternalityFinal, self.rates.note_externality)
        context.react(TaskOpened, self.enacting.note_task)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the public goods that may be subsidised."""
        self.goods = mechanisms.get("assurance")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family: whoever is stopped may still vote, as it may rule."""
        return {
            BeginGovernance: CommandRule(self.begin, "operator", opens=False),
            ProposeChange: CommandRule(self.propose, "trader", opens=True),
            ProposeWork: CommandRule(self.propose, "trader", opens=True),
            ProposeSubsidy: CommandRule(self.propose, "trader", opens=True),
            ProposeShare: CommandRule(self.propose, "trader", opens=True),
            Vote: CommandRule(self.vote, "trader", opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return Queries(self).readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "governance.close": self._close,
            "governance.enact": self.enacting.enact,
            "governance.end_day": self._end_day,
            "governance.pay_page": self.fund.pay_page,
        }

    # ── days ────────────────────────────────────────────────────────────────────────────────────

    def begin(self, agent: AgentRecord, command: BeginGovernance) -> Outcome:
        """Begin the first day; only the venue itself may, and only once.

        It is a command, so that records of before there were days are replayed without them.
        """
        if agent.agent_id != VENUE_AGENT:
            return self.context.reject(command, Reason.NOT_PERMITTED, "the venue itself begins governance")
        if self.days.begun_us is not None:
            return self.context.reject(command, Reason.NO_CHANGE, "governance has begun")
        self.days.begin()
        return self.context.accept(command)

    def _end_day(self) -> None:
        """Sweep the fees, move the dynamic rates, and share the surplus when a month is over."""
        is_month_over = self.days.go_on()
        self.electorate.follow()
        self.fund.sweep()
        changed = self.rates.end_day()
        self.tally.count("parameters_changed_total", "daily_rule", by=changed)
        if is_month_over:
            self.fund.recirculate()

    # ── who may vote ────────────────────────────────────────────────────────────────────────────

    def _note_newcomer(self, fact: AgentAdmitted) -> None:
        self.electorate.admit(fact.agent)

    def _note_end(self, fact: AgentEnded) -> None:
        """Weigh an owner's votes anew that has an agent less."""
        self.electorate.end(fact.agent)
        owner = self.context.agents[fact.agent].owner
        for proposal in self.voting.values():
            ballot = proposal.ballots.get(owner)
            if ballot is not None:
                self._weigh_anew(proposal, owner, ballot)

    def _weigh_anew(self, proposal: Proposal, owner: str, ballot: Ballot) -> None:
        weight = self.weight(proposal, owner)
        if not weight:
            proposal.put(owner, None)
        elif self.context.settings.voting != "quadratic":
            proposal.put(owner, ballot._replace(weight=weight, turnout=weight))

    def weight(self, proposal: Proposal, owner: str) -> int:
        """Return what an owner may throw in; where votes are paid for, 1."""
        weight = self.electorate.weight(owner, proposal.registered)
        if weight and self.context.settings.voting == "credits":
            return proposal.weights.get(owner, 0)
        return weight

    # ── proposing ───────────────────────────────────────────────────────────────────────────────

    def propose(self, agent: AgentRecord, command: Any) -> Outcome:
        """Take a proposal and its deposit, and let owners vote."""
        context, settings = self.context, self.context.settings
        terms = check_terms(context, command, self.goods)
        if not isinstance(terms, Terms):
            return context.reject(command, *terms)
        problem = self._check_count(agent) or context.cashier.check(agent, settings.proposal_deposit)
        if problem is not None:
            return context.reject(command, *problem)
        self._last_number = number = self._last_number + 1
        proposal = Proposal(number, agent.agent_id, agent.owner, terms, context.time_us)
        self.voting[number] = proposal
        self.proposed[agent.owner] = self.proposed.get(agent.owner, 0) + 1
        proposal.deposit = settings.proposal_deposit
        posting = context.cashier.posting(proposal.cause)
        posting.fund(agent.agent_id, escrow_of(proposal.cause), proposal.deposit)
        posting.post()
        self._call_to_vote(proposal)
        self.tally.count("proposed_total", terms.kind)
        event = ProposalOpened(
            proposal=number, kind=terms.kind, closes_at_us=proposal.closes_at_us, deposit=proposal.deposit
        )
        context.emit(agent, event)
        return ProposalOutcome(
            command.id, "accepted", context.stamp, proposal=number, deposit=proposal.deposit
        )  # fmt: skip

    def _check_count(self, agent: AgentRecord) -> Violation | None:
        settings = self.context.settings
        most, each = settings.max_open_proposals, settings.max_open_proposals_per_owner
        if len(self.voting) + len(self.passed) >= most:
            return Reason.TOO_MANY_PROPOSALS, f"{most} proposals wait for their end, and no more may"
        if self.proposed.get(agent.owner, 0) >= each:
            return Reason.TOO_MANY_PROPOSALS, f"{each} proposals of owner {agent.owner} wait for their end"
        return None

    def _call_to_vote(self, proposal: Proposal) -> None:
        """Fix who may vote with what weight: as of now, after the deposit."""
        context, electorate = self.context, self.electorate
        electorate.follow()
        proposal.registered = electorate.registered
        if context.settings.voting == "credits":
            proposal.weights = electorate.credits()
            proposal.total = sum(proposal.weights.values())
        else:
            proposal.total = electorate.total()
        proposal.closes_at_us = context.time_us + context.settings.voting_seconds * _SECOND_US
        proposal.deadline_id = context.deadlines.schedule_act(
            proposal.closes_at_us, "governance.close", VENUE_SCOPE, proposal.number
        )

    # ── voting ──────────────────────────────────────────────────────────────────────────────────

    def vote(self, agent: AgentRecord, command: Vote) -> Outcome:
        """Count the vote of an agent's owner, in the place of the one before; paid votes stay paid."""
        context, owner = self.context, agent.owner
        proposal = self.voting.get(command.proposal)
        if proposal is None:
            return self._reject_closed(command)
        is_paid = context.settings.voting == "quadratic"
        if command.votes != 1 and not is_paid:
            detail = f"votes are not paid for here: the weight follows from {context.settings.voting}"
            return context.reject(command, Reason.FIELD_NOT_ALLOWED, detail)
        self.electorate.follow()
        weight = self.weight(proposal, owner)
        if not weight:
            detail = f"owner {owner} had no weight in this vote when proposal {proposal.number} was opened"
            return context.reject(command, Reason.NO_WEIGHT, detail)
        before = proposal.ballots.get(owner)
        paid_votes = 0 if before is None else before.paid
        cost = _cost(command.votes) - _cost(paid_votes) if is_paid and command.votes > paid_votes else 0
        ballot = Ballot(agent.agent_id, command.in_favour, weight, weight)
        if is_paid:
            ballot = ballot._replace(weight=command.votes, paid=max(command.votes, paid_votes))
        if before == ballot:
            return context.reject(command, Reason.NO_CHANGE, "it has voted so already")
        problem = context.cashier.check(agent, cost)
        if problem is not None:
            detail = f"{command.votes} votes cost {whole_credits(cost)} more: {problem[1]}"
            return context.reject(command, problem[0], detail)
        posting = context.cashier.posting(proposal.cause)
        posting.transfer(agent.agent_id, FUND, cost)
        posting.post()
        proposal.put(owner, ballot)
        self.tally.count("votes_total")
        self.tally.count("vote_credits_total", by=cost)
        self.tally.count("fund_inflow_credits_total", "votes", by=cost)
        return VoteOutcome(command.id, "accepted", context.stamp, weight=ballot.weight, paid=cost)

    def _reject_closed(self, command: Vote) -> Outcome:
        known = self.passed.get(command.proposal) or self.ended.get(command.proposal)
        if known is not None:
            detail = f"proposal {known.number} is not voted on any more: {known.state}"
            return self.context.reject(command, Reason.WRONG_STATE, detail)
        return self.context.reject(command, Reason.UNKNOWN_PROPOSAL, f"no proposal {command.proposal}")

    def _close(self, number: int) -> None:
        """Count the votes; the deposit goes back if enough have voted, whatever they decided."""
        context, settings = self.context, self.context.settings
        proposal = self.voting.pop(number)
        proposal.deadline_id = 0
        has_quorum = proposal.has_quorum(settings.quorum_bp)
        escrow = escrow_of(proposal.cause)
        posting = context.cashier.posting(proposal.cause)
        if has_quorum:
            posting.give_back(escrow, proposal.proposer, proposal.deposit)
        else:
            posting.move(escrow, FUND, proposal.deposit)
            self.tally.count("fund_inflow_credits_total", "deposits", by=proposal.deposit)
        posting.post()
        proposal.ballots, proposal.weights = {}, {}
        if not has_quorum or not proposal.has_majority():
            self.finish(proposal, "rejected" if has_quorum else "no_quorum")
            return
        self.passed[number] = proposal
        proposal.state = "passed"
        proposal.enacts_at_us = context.time_us + settings.enactment_lock_seconds * _SECOND_US
        proposal.deadline_id = context.deadlines.schedule(proposal.enacts_at_us, "governance.enact", number)
        event = ProposalPassed(proposal=number, enacts_at_us=proposal.enacts_at_us)
        context.emit(context.agents[proposal.proposer], event)

    def finish(self, proposal: Proposal, outcome: EndReason) -> None:
        """Keep a proposal among those that ended, and tell who proposed it."""
        context, owner = self.context, proposal.owner
        proposal.state = outcome
        self.proposed[owner] -= 1
        if not self.proposed[owner]:
            del self.proposed[owner]
        self.ended[proposal.number] = proposal
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]
        self.tally.count("proposals_total", outcome)
        event = ProposalEnded(proposal=proposal.number, outcome=outcome, task=proposal.task or 0)
        context.emit(context.agents[proposal.proposer], event)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch: parameters, proposals, votes, the fund, what circulates."""
        settings, fund = self.context.settings, self.fund
        rows = self.tally.rows()
        for parameter in PARAMETERS.values():
            labels = {"parameter": parameter.name}
            value: int = getattr(settings, parameter.name)
            if parameter.unit == "credits":
                rows.append(("parameter_credits", "The present value of a parameter in credits.", labels, value))
            else:
                rows.append(("parameter", "The present value of a parameter, in its own unit.", labels, value))
        text = "Proposals that have not ended."
        rows.append(("open_proposals", text, {"state": "voting"}, len(self.voting)))
        rows.append(("open_proposals", text, {"state": "passed"}, len(self.passed)))
        rows.append(("electorate", "Owners that may vote.", {}, len(self.electorate.traders)))
        if CREDIT in self.context.ledger.assets:
            rows.append(("fund_credits", "Whole credits in the public fund.", {}, fund.available))
            rows.append(("fund_cap_credits", "Above so many whole credits it is shared each month.", {}, fund.cap))
            circulating = "Whole credits that agents and escrows have."
            rows.append(("circulating_credits", circulating, {}, self.circulating()))
        return rows

    def circulating(self) -> int:
        """Return the credits that agents and escrows have."""
        totals = self.context.ledger.assets[CREDIT].totals
        return totals["agent"].amount + totals["escrow"].amount

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of proposals, votes and shares."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of deposits, and of shares that are being paid."""
        deposits = [escrow_of(proposal.cause) for proposal in self.voting.values()]
        return deposits + [escrow_of(share.cause) for share in self.fund.shares.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            [proposal.dump() for proposal in (*self.voting.values(), *self.passed.values())],
            [proposal.dump() for proposal in self.ended.values()],
            self.days.dump(),
            self.rates.dump(),
            self.fund.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; who may vote follows from the directory of agents."""
        self._last_number, live, ended, days, rates, fund = state
        for fields in live:
            proposal = Proposal.load(fields)
            (self.voting if proposal.state == "voting" else self.passed)[proposal.number] = proposal
            self.proposed[proposal.owner] = self.proposed.get(proposal.owner, 0) + 1
        for fields in ended:
            proposal = Proposal.load(fields)
            self.ended[proposal.number] = proposal
        self.days.load(days)
        self.rates.load(rates)
        self.fund.load(fund)
        self.electorate.follow()


def _cost(votes: int) -> int:
    """Return what so many votes of an owner cost: the square, in whole credits (Lalley & Weyl 2018)."""
    return votes * votes * _CREDIT
