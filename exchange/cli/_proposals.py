"""``exchange proposal``: propose, vote, and see what comes of it."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ForSeconds, ask, follow, print_all, print_done, print_one, when
from exchange.cli._names import Amount
from exchange.cli._output import CliError, Json
from exchange.cli._parameters import plain
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_sdk import Agent, OpenedProposal, Proposal

__all__ = ["follow_", "fund_", "list_", "open_", "open_share_", "open_subsidy_", "open_work_", "show_", "vote_"]

_FINAL: Final = ("enacted", "rejected", "no_quorum", "unfunded", "impossible")
_CREDIT: Final = 1_000_000
_WHY: Final = {
    "voting": "votes are taken",
    "passed": "it was voted for, and waits for its lock",
    "enacted": "it was done",
    "rejected": "not more than half of what was voted was for it",
    "no_quorum": "too few have voted; the deposit went to the public fund",
    "unfunded": "the public fund had less by then",
    "impossible": "what it was for is no longer there",
}


def open_(
    parameter: str, value: Amount, /, *, detail: str = "", venue: Venue | None = None, json: Json = False
) -> None:
    """Propose another value of a parameter, for a deposit.

    Parameters
    ----------
    parameter
        Name of the parameter; `exchange parameter list` shows all.
    value
        In the parameter's unit: whole credits for amounts.
    detail
        Why.
    """
    _opened(venue, lambda agent: agent.governance.propose_change(parameter, value, detail=detail), json)


def open_work_(
    title: str,
    /,
    *,
    effort: timedelta,
    reserve: Amount,
    bidding: timedelta = timedelta(days=1),
    work: timedelta = timedelta(days=7),
    skill: tuple[str, ...] = (),
    attester: str | None = None,
    detail: str = "",
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Propose that the public fund pays for a task; this agent confirms what is delivered.

    Parameters
    ----------
    title
        What is to be done.
    effort
        How long it takes, such as 90m or 2h.
    reserve
        The most that is paid, in credits.
    bidding
        How long bids are taken once it is enacted (default: a day).
    work
        How long there is after that (default: 7 days).
    skill
        A skill that a worker must have; may be repeated.
    attester
        An attester that confirms, too.
    detail
        More about it.
    """
    minutes = round(effort.total_seconds() / 60)
    if minutes < 1:
        message = f"the effort is at least a minute, not {effort.total_seconds():g} s"
        raise CliError(message)
    _opened(
        venue,
        lambda agent: agent.governance.propose_work(
            title,
            effort_minutes=minutes,
            reserve=reserve,
            bidding_seconds=round(bidding.total_seconds()),
            work_seconds=round(work.total_seconds()),
            skills=skill,
            attester=attester,
            detail=detail,
        ),
        json,
    )


def open_subsidy_(
    good: int, amount: Amount, /, *, detail: str = "", venue: Venue | None = None, json: Json = False
) -> None:
    """Propose that the public fund gives towards a public good.

    Parameters
    ----------
    good
        Number of the public good.
    amount
        In credits.
    detail
        Why.
    """
    _opened(venue, lambda agent: agent.governance.propose_subsidy(good, amount, detail=detail), json)


def open_share_(amount: Amount, /, *, detail: str = "", venue: Venue | None = None, json: Json = False) -> None:
    """Propose to share an amount of the public fund among all owners, alike.

    Parameters
    ----------
    amount
        In credits.
    detail
        Why.
    """
    _opened(venue, lambda agent: agent.governance.propose_share(amount, detail=detail), json)


def _opened(venue: Venue | None, propose: Callable[[Agent], Awaitable[OpenedProposal]], json: bool) -> None:
    opened = ask(venue, propose)
    print_done(
        opened,
        json,
        f"proposal {opened.id} is voted on; {opened.deposit:f} deposited.",
        f"Follow it with `exchange proposal follow {opened.id}`.",
    )


def vote_(
    proposal: int,
    /,
    *,
    against: bool = False,
    votes: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 1,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Vote for a proposal, for the agent's owner; its last vote counts.

    Parameters
    ----------
    proposal
        Number of the proposal.
    against
        Vote against it.
    votes
        How many, where votes are paid for: v of them cost v times v credits in all.
    """
    cast = ask(venue, lambda agent: agent.governance.vote(proposal, in_favour=not against, votes=votes))
    paid = f"; {plain(cast.paid)} paid" if cast.paid else ""
    side = "against" if against else "for"
    print_done(cast, json, f"voted {side} proposal {proposal}, with weight {cast.weight}{paid}.")


def list_(*, ended: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the proposals that have not ended, or those that have.

    Parameters
    ----------
    ended
        Those that have ended, instead.
    """
    print_all(
        ask(venue, lambda agent: agent.governance.list(ended=ended)),
        json,
        ("proposal", "what", "by", "state", ">for", ">against", ">quorum", "closes", "enacted"),
        lambda found: (
            found.id, what(found), found.proposer, found.state, _weight(found, found.weight_for),
            _weight(found, found.weight_against),
            f"{_weight(found, found.turnout)} of {_weight(found, found.quorum_weight)}",
            when(found.closes_at_us), when(found.enacts_at_us),
        ),
        empty="There are no such proposals; `exchange proposal open` opens one.",
    )  # fmt: skip


def show_(proposal: int, /, *, ballots: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """Show one proposal, and how it stands.

    Parameters
    ----------
    proposal
        Number of the proposal.
    ballots
        Show how owners have voted, instead, while it is voted.
    """
    if ballots:
        rows = ask(venue, lambda agent: agent.governance.ballots(proposal), _missing(proposal))
        print_all(
            rows,
            json,
            ("owner", "by", "vote", ">weight"),
            lambda ballot: (ballot.owner, ballot.agent, "for" if ballot.in_favour else "against", ballot.weight),
            empty="There are no votes to show: nobody has voted, or it is not voted on any more.",
        )
        return
    found = ask(venue, lambda agent: agent.governance.get(proposal), _missing(proposal))
    voted = {None: None, True: "for", False: "against"}[found.my_vote]
    print_one(
        found,
        json,
        (
            ("proposal", found.id),
            ("what", what(found)),
            ("detail", found.detail),
            ("by", f"{found.proposer} of {found.owner}"),
            ("state", f"{found.state}: {_WHY[found.state]}"),
            ("present", None if found.present is None else plain(found.present)),
            ("weights", found.voting),
            ("for", _weight(found, found.weight_for)),
            ("against", _weight(found, found.weight_against)),
            ("voted", f"{_weight(found, found.turnout)} of {_weight(found, found.total_weight)}"),
            ("quorum", _weight(found, found.quorum_weight)),
            ("own vote", voted),
            ("closes", when(found.closes_at_us)),
            ("enacted", when(found.enacts_at_us)),
            ("task", found.task),
            ("deposit", plain(found.deposit)),
        ),
    )


def fund_(*, venue: Venue | None = None, json: Json = False) -> None:
    """Show the public fund: what it has, what is shared, and when."""
    found = ask(venue, lambda agent: agent.governance.fund())
    print_one(
        found,
        json,
        (
            ("available", plain(found.available)),
            ("cap", f"{plain(found.cap)}; what is above is shared each month"),
            ("fees", f"{plain(found.fees)} come in when the day ends"),
            ("in shares", f"{plain(found.in_shares)} on its way to owners"),
            ("owners", found.owners),
            ("supply", plain(found.supply)),
            ("circulating", plain(found.circulating)),
            ("day ends", when(found.day_ends_us)),
            ("month ends", when(found.shares_at_us)),
        ),
    )


def follow_(
    proposal: int,
    /,
    *,
    seconds: ForSeconds = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Tell every change of a proposal until it has ended, or Ctrl-C. With --json each is a line of its own.

    Parameters
    ----------
    proposal
        Number of the proposal.
    seconds
        Stop after so many seconds (default: never).
    """

    def line(found: Proposal) -> str:
        sums = f"{_weight(found, found.weight_for)} for, {_weight(found, found.weight_against)} against"
        return (
            f"proposal {found.id} ({what(found)}): {found.state}; {sums}, quorum {_weight(found, found.quorum_weight)}"
        )

    missing = _missing(proposal)
    follow(
        venue, lambda agent: agent.governance.get(proposal), line, _FINAL, seconds=seconds, json=json, missing=missing
    )


def what(found: Proposal) -> str:
    """Say in words what is proposed."""
    amount = "" if found.amount is None else plain(found.amount)
    if found.value is not None:
        return f"{found.parameter} = {plain(found.value)}"
    if found.kind == "work":
        return f"work for {amount}: {found.title}"
    return f"{amount} for good {found.good}" if found.kind == "subsidy" else f"share {amount}"


def _weight(found: Proposal, weight: int) -> str:
    """Write a weight: credits in whole credits, heads and votes as they are."""
    return f"{weight / _CREDIT:g}" if found.voting == "credits" else str(weight)


def _missing(proposal: int) -> str:
    return f"there is no proposal {proposal}, or it ended long ago; see `exchange proposal list`"
