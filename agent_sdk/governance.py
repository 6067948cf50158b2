"""Propose, vote, and see what owners have decided."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from agent_sdk.governance_models import Ballot, CastVote, OpenedProposal, Parameter, Proposal, PublicFund
from agent_sdk.markets import credits_from
from agent_sdk.money import to_credits, to_units
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import governance as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_sdk.money import Number
    from exchange.messages.base import Command

__all__ = ["Governance"]

_CREDITS = "credits"


def _value(value: int | None, unit: str | None) -> Decimal | None:
    if value is None:
        return None
    return credits_from(value) if unit == _CREDITS else Decimal(value)


def _parameter(view: wire.ParameterView) -> Parameter:
    unit = view.unit
    values = {name: _value(getattr(view, name), unit) for name in ("value", "low", "high", "next_value")}
    return read(Parameter, view, name=view.parameter, **values)


class Governance(Namespace):
    """Decide together. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    # ── proposing ───────────────────────────────────────────────────────────────────────────────

    async def propose_change(self, parameter: str, value: Number, *, detail: str = "") -> OpenedProposal:
        """Propose another value of a parameter: in whole credits where its unit is ``credits``, else in that unit.

        Raises:
            Constitution: It is no parameter, and is not voted on.
            ValueOutOfBounds: The detail says from where to where it may be.

        """
        units = await self._units()
        if units.get(parameter) == _CREDITS:
            raw = 0 if value == 0 else to_credits(value, parameter)
        else:
            raw = 0 if value == 0 else to_units(value, 0, parameter)
        return await self._open(wire.ProposeChange, parameter=parameter, value=raw, detail=detail)

    async def propose_work(
        self,
        title: str,
        *,
        effort_minutes: int,
        reserve: Number,
        bidding_seconds: int | None = None,
        work_seconds: int | None = None,
        skills: Sequence[str] = (),
        attester: str | None = None,
        detail: str = "",
    ) -> OpenedProposal:
        """Propose that the public fund pays for a task, at most ``reserve``; this agent confirms what is delivered.

        Once it is enacted it is auctioned for ``bidding_seconds`` (default: a day), and is to be done ``work_seconds``
        (a week) after that.
        """
        return await self._open(
            wire.ProposeWork,
            title=title,
            effort_minutes=effort_minutes,
            reserve=to_credits(reserve, "reserve"),
            bidding_seconds=bidding_seconds,
            work_seconds=work_seconds,
            skills=list(skills),
            attester=attester,
            detail=detail,
        )

    async def propose_subsidy(self, good: int, amount: Number, *, detail: str = "") -> OpenedProposal:
        """Propose that the public fund gives an amount towards a public good that is being pledged for."""
        raw = to_credits(amount, "amount")
        return await self._open(wire.ProposeSubsidy, good=good, amount=raw, detail=detail)

    async def propose_share(self, amount: Number, *, detail: str = "") -> OpenedProposal:
        """Propose to share an amount of the public fund among all owners, alike."""
        return await self._open(wire.ProposeShare, amount=to_credits(amount, "amount"), detail=detail)

    async def _open(self, kind: type[Command], **fields: object) -> OpenedProposal:
        outcome = await self._give(kind, wire.ProposalOutcome, **fields)
        return OpenedProposal(id=outcome.proposal, deposit=credits_from(outcome.deposit))

    async def vote(self, proposal: int, *, in_favour: bool, votes: int = 1) -> CastVote:
        """Vote for the agent's owner, in the place of its last vote.

        ``votes`` counts where votes are paid for: v of them cost v² credits in all, which nobody gives back.
        """
        fields = {"proposal": proposal, "in_favour": in_favour, "votes": votes}
        outcome = await self._give(wire.Vote, wire.VoteOutcome, **fields)
        return CastVote(weight=outcome.weight, paid=credits_from(outcome.paid))

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def parameters(self) -> list[Parameter]:
        """Return every parameter that may be voted on."""
        result = await self._connection.query(wire.ListParameters(), wire.ParametersResult)
        return [_parameter(view) for view in result.parameters]

    async def parameter(self, name: str) -> Parameter:
        """Return one parameter.

        Raises:
            NotFound: There is none of that name.

        """
        result = await self._connection.query(wire.ListParameters(parameter=name), wire.ParametersResult)
        return _parameter(result.parameters[0])

    async def _units(self) -> dict[str, str]:
        """Return the unit of every parameter."""
        result = await self._connection.query(wire.ListParameters(), wire.ParametersResult)
        return {view.parameter: view.unit for view in result.parameters}

    async def get(self, proposal: int) -> Proposal:
        """Return one proposal, and how the agent's owner has voted.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        result = await self._connection.query(wire.GetProposal(proposal=proposal), wire.ProposalResult)
        return _proposal(result.proposal, await self._units() if result.proposal.parameter else {})

    async def ballots(self, proposal: int) -> list[Ballot]:
        """Return how owners have voted on a proposal that is being voted on."""

        async def ask(after: int) -> wire.BallotsResult:
            return await self._connection.query(wire.ListBallots(proposal=proposal, after=after), wire.BallotsResult)

        return [read(Ballot, view) for view in await page_through(ask, "ballots")]

    async def fund(self) -> PublicFund:
        """Return what the public fund has, and when its days and months end."""
        return read(PublicFund, await self._connection.query(wire.GetFund(), wire.FundResult))

    async def list(self, *, ended: bool = False) -> list[Proposal]:
        """Return the proposals that have not ended, or those that have, the oldest first."""

        async def ask(after: int) -> wire.ProposalsResult:
            return await self._connection.query(wire.ListProposals(after=after, ended=ended), wire.ProposalsResult)

        units = await self._units()
        return [_proposal(view, units) for view in await page_through(ask, "proposals")]


def _proposal(view: wire.ProposalView, units: dict[str, str]) -> Proposal:
    unit = units.get(view.parameter or "")
    values = {name: _value(getattr(view, name), unit) for name in ("value", "present")}
    return read(Proposal, view, id=view.proposal, **values)
