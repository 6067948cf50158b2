"""``exchange task``: post tasks, bid for them, and see why who won has won."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ForSeconds, ask, follow, print_all, print_done, print_one, when
from exchange.cli._names import Amount, MaybeAmount
from exchange.cli._output import CliError, Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Agent, Task

__all__ = ["bid_", "cancel_", "follow_", "list_", "post_", "show_"]

_FINAL: Final = ("completed", "failed", "unawarded", "canceled")
_UNDECIDED: Final = {
    "open": "bids are sealed until the auction closes",
    "offered": "a standing bid won, and may still be declined",
    "unawarded": "no bid could win; nothing is shown of an auction without an award",
    "canceled": "it was taken back before an award",
}


def post_(
    title: str,
    /,
    *,
    effort: timedelta,
    reserve: Amount,
    due_in: timedelta,
    closes_in: timedelta = timedelta(seconds=65),
    skill: tuple[str, ...] = (),
    detail: str = "",
    direction: Literal["procurement", "sale"] = "procurement",
    pricing: Literal["second_price", "first_price"] = "second_price",
    max_price: MaybeAmount = None,
    reward: MaybeAmount = None,
    bond: MaybeAmount = None,
    quality_bonus: MaybeAmount = None,
    efficiency_bonus: MaybeAmount = None,
    attester: str | None = None,
    min_reputation: Annotated[int, Parameter(validator=Number(gte=0, lte=100))] = 0,
    max_rounds: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Auction a task; what it may cost goes into escrow.

    Parameters
    ----------
    title
        What is to be done.
    effort
        How long the work takes, such as 90m or 4h.
    reserve
        Most that is paid, in credits (in a sale: least that is asked).
    due_in
        Time from now until it is due, such as 2d.
    closes_in
        Time from now until the auction closes, at least 1m (default: 65s).
    skill
        Skill that a bidder must have; repeat it for several.
    detail
        All that a worker needs to know.
    direction
        Whether the lowest price wins and is paid, or the highest bid wins and pays (default: procurement).
    pricing
        Whether the best losing bid or the winner's own is the price (default: second_price).
    max_price
        Most that urgency may raise the reserve to.
    reward
        In a sale: what the winner is paid when it is done.
    bond
        What the worker pledges (default: 10 % of the reserve).
    quality_bonus
        Bonus for the quality, by the attester's score.
    efficiency_bonus
        Bonus for being done sooner than the effort.
    attester
        Agent that scores, and may confirm.
    min_reputation
        Least reputation of a bidder, of 100 (default: 0).
    max_rounds
        How often the auction may be opened (default: 1).
    """
    minutes = round(effort.total_seconds() / 60)
    if minutes < 1:
        message = f"--effort {effort} is less than a minute; write it like 90m or 4h"
        raise CliError(message)
    terms: dict[str, Any] = {
        "detail": detail, "direction": direction, "pricing": pricing, "max_price": max_price, "reward": reward,
        "bond": bond, "quality_bonus": quality_bonus, "efficiency_bonus": efficiency_bonus, "attester": attester,
        "min_reputation": min_reputation, "max_rounds": max_rounds,
    }  # fmt: skip

    async def post(agent: Agent) -> Task:
        posted = await agent.tasks.post(
            title,
            effort_minutes=minutes,
            reserve=reserve,
            deadline_in=due_in.total_seconds(),
            closes_in=closes_in.total_seconds(),
            skills=skill,
            **terms,
        )
        return await agent.tasks.get(posted.id)

    task = ask(venue, post)
    print_done(
        task,
        json,
        f"task {task.id} takes bids until {when(task.closes_at_us)}, reserve {task.reserve:f}.",
        f"Follow it with `exchange task follow {task.id}`.",
    )


def list_(*, skill: str | None = None, mine: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the open auctions, or what the agent has posted.

    Parameters
    ----------
    skill
        Only tasks that ask for this skill.
    mine
        What this agent posted and has not ended, instead.
    """
    tasks = ask(venue, lambda agent: agent.tasks.list(skill, mine=mine))
    print_all(
        tasks,
        json,
        ("task", "title", "poster", "state", ">reserve", ">minutes", "skills", "closes", "due"),
        lambda task: (
            task.id, task.title, task.poster, task.state, f"{task.reserve:f}", task.effort_minutes,
            ", ".join(task.skills), when(task.closes_at_us), when(task.deadline_us),
        ),
        empty="There are no such tasks; `exchange task post` opens one.",
    )  # fmt: skip


def show_(task: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one task, and once it was awarded, why who won has won.

    Parameters
    ----------
    task
        Number of the task.
    """
    found = ask(venue, lambda agent: agent.tasks.get(task), _missing(task))
    print_one(
        {**msgspec.to_builtins(found), "why": explain(found)} if json else found,
        json,
        (
            ("task", found.id),
            ("title", found.title),
            ("detail", found.detail),
            ("poster", found.poster),
            ("state", found.state),
            ("kind", f"{found.direction}, {found.pricing}"),
            ("round", f"{found.round} of {found.max_rounds}"),
            ("reserve", f"{found.reserve:f}"),
            ("skills", ", ".join(found.skills)),
            ("closes", when(found.closes_at_us)),
            ("due", when(found.deadline_us)),
            ("done for", found.origin),
            ("own bid", found.own_bid),
            ("winner", found.winner),
            ("price", found.price),
            ("bids", found.bids),
            ("why", explain(found)),
            ("settlement", found.settlement),
            ("outcome", found.outcome),
        ),
    )


def explain(task: Task) -> str | None:
    """Say in words how winner and price came about, as far as everybody may know."""
    if task.winner is None:
        return _UNDECIDED.get(task.state)
    is_procurement = task.direction == "procurement"
    side, verb = ("lowest", "is paid") if is_procurement else ("highest", "pays")
    # Nothing tells whether it was the floor that decided.
    floor = "; critical work is paid no less than the venue's floor" if task.critical and is_procurement else ""
    if task.pricing == "first_price":
        return f"the {side} bid won, and {verb} what it bid; of equal bids the earlier one{floor}"
    if task.bids == 1:
        return f"the only bid won, and {verb} the reserve{floor}"
    return f"the {side} of {task.bids} bids won, and {verb} the best losing bid, which the reserve bounds{floor}"


def bid_(task: int, price: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Bid for a task, sealed; a later bid takes the place of an earlier one.

    Parameters
    ----------
    task
        Number of the task.
    price
        Price in credits; in a second-price auction the best is what the work costs you.
    """
    placed = ask(venue, lambda agent: agent.tasks.bid(task, price))
    print_done(placed, json, f"bid on task {task}: {price:f}, sealed; {placed.held:f} held.")


def cancel_(task: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take a task back while its auction is open.

    Parameters
    ----------
    task
        Number of the task.
    """
    ask(venue, lambda agent: agent.tasks.cancel(task))
    print_done({"task": task, "state": "canceled"}, json, f"task {task} is canceled; its escrow is back.")


def follow_(
    task: int,
    /,
    *,
    seconds: ForSeconds = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Tell every change of a task until it has ended, or Ctrl-C. With --json each is a line of its own.

    Parameters
    ----------
    task
        Number of the task.
    seconds
        Stop after so many seconds (default: never).
    """

    def line(found: Task) -> str:
        won = "" if found.winner is None else f"; {found.winner} for {found.price:f}: {explain(found)}"
        return f"task {task}, round {found.round}: {found.state}{won}"

    follow(venue, lambda agent: agent.tasks.get(task), line, _FINAL, seconds=seconds, json=json, missing=_missing(task))


def _missing(task: int) -> str:
    return f"there is no task {task}, or it ended long ago; see `exchange task list`"
