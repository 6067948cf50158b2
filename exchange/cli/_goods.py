"""``exchange good``: propose public goods, pledge for them, and confirm what is delivered."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ForSeconds, ask, follow, print_all, print_done, print_one, when
from exchange.cli._names import MaybeAmount
from exchange.cli._output import CliError, Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk import Agent, Good, GoodPledge

__all__ = ["confirm_", "follow_", "list_", "pledge_", "pledges_", "propose_", "show_", "withdraw_"]

_FINAL: Final = ("completed", "failed", "not_reached", "revoked", "withdrawn", "dead_man")
_MEANING: Final = {
    "open": "it waits for pledges",
    "reached": "enough was pledged; it is being provided",
    "completed": "all was delivered",
    "failed": "not all was delivered; whoever gave for what was not has it back",
    "not_reached": "too little was pledged, and everybody has everything back",
    "revoked": "its proposer, provider or attester was revoked, and everybody has everything back",
    "withdrawn": "it was taken back before anybody pledged",
    "dead_man": "its proposer could not be reached, and nobody had pledged",
}

Owners = Annotated[int | None, Parameter(validator=Number(gte=1))]


def propose_(
    title: str,
    /,
    *,
    pledged_in: timedelta,
    deliver_in: timedelta,
    owners: Owners = None,
    credits: MaybeAmount = None,
    work: timedelta | None = None,
    cap_owners: Owners = None,
    cap_credits: MaybeAmount = None,
    cap_work: timedelta | None = None,
    provider: str | None = None,
    min_credits: MaybeAmount = None,
    min_work: timedelta | None = None,
    refund_bonus: MaybeAmount = None,
    hour_bond: MaybeAmount = None,
    attester: str | None = None,
    detail: str = "",
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Propose a good that takes so many owners, credits, or so much work; the bonus goes into escrow.

    Parameters
    ----------
    title
        What all will have.
    pledged_in
        Time from now for which pledges are taken, such as 3d.
    deliver_in
        Time from now until it is delivered, such as 10d.
    owners
        So many owners have to pledge. Give one of --owners, --credits and --work.
    credits
        So many credits have to be pledged; the provider gets them.
    work
        So much work has to be pledged, such as 40h.
    cap_owners
        Most owners that are taken (default: the threshold).
    cap_credits
        Most credits that are taken (default: the threshold); everybody gives less of its pledge then.
    cap_work
        Most work that is taken (default: the threshold).
    provider
        Agent that is paid the credits.
    min_credits
        Least pledge of credits; where owners count, what each gives.
    min_work
        Least pledge of work, such as 4h; where owners count, what each gives.
    refund_bonus
        Percent of the credits that you pay on top of the refunds if too little is pledged.
    hour_bond
        Bond for each hour of pledged work (default: 20 % of what the venue values an hour at).
    attester
        Agent that may confirm what is delivered.
    detail
        All that whoever pledges needs to know.
    """

    async def propose(agent: Agent) -> Good:
        caps = [cap for cap in (cap_owners, cap_credits, _minutes(cap_work, "--cap-work")) if cap is not None]
        proposed = await agent.assurance.propose(
            title,
            deadline_in=pledged_in.total_seconds(),
            deliver_in=deliver_in.total_seconds(),
            owners=owners,
            credits=credits,
            minutes=_minutes(work, "--work"),
            cap=caps[0] if caps else None,
            provider=provider,
            min_credits=min_credits,
            min_minutes=_minutes(min_work, "--min-work"),
            refund_bonus=refund_bonus,
            hour_bond=hour_bond,
            attester=attester,
            detail=detail,
        )
        return await agent.assurance.get(proposed.id)

    _check_one("threshold", {"--owners": owners, "--credits": credits, "--work": work}, needed=True)
    _check_one("cap", {"--cap-owners": cap_owners, "--cap-credits": cap_credits, "--cap-work": cap_work})
    for flag, value, cap in (
        ("--owners", owners, cap_owners), ("--credits", credits, cap_credits), ("--work", work, cap_work),
    ):  # fmt: skip
        if value is None and cap is not None:
            message = f"--cap-{flag[2:]} bounds what {flag} asks for, which is not given"
            raise CliError(message)
    good = ask(venue, propose)
    print_done(
        good,
        json,
        f"good {good.id} takes pledges until {when(good.deadline_us)}: {_counted(good, good.threshold)}.",
        f"Follow it with `exchange good follow {good.id}`.",
    )


def _check_one(what: str, given: dict[str, object], *, needed: bool = False) -> None:
    """Refuse several of what there is one of.

    Raises:
        CliError: there are several, or none where one is needed.
    """
    flags = [flag for flag, value in given.items() if value is not None]
    if len(flags) > 1 or (needed and not flags):
        found = " and ".join(flags) or "none"
        message = f"a good has one {what}: give exactly one of {', '.join(given)}, not {found}"
        raise CliError(message)


def _minutes(span: timedelta | None, flag: str) -> int | None:
    """Return a span in whole minutes.

    Raises:
        CliError: it is none.
    """
    if span is None:
        return None
    minutes, rest = divmod(span, timedelta(minutes=1))
    if rest or minutes < 1:
        message = f"{flag} {span} is no number of whole minutes; write it like 90m or 4h"
        raise CliError(message)
    return minutes


def pledge_(
    good: int,
    /,
    credits: MaybeAmount = None,
    *,
    work: timedelta | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Pledge credits, work, or both, for good: nothing takes it back.

    Parameters
    ----------
    good
        Number of the good.
    credits
        Credits that are pledged; they go into escrow.
    work
        Work that is pledged, such as 4h; a bond for it goes into escrow.
    """
    minutes = _minutes(work, "--work") or 0
    bond = ask(venue, lambda agent: agent.assurance.pledge(good, credits or 0, minutes=minutes))
    print_done(
        {"good": good, "credits": credits or 0, "minutes": minutes, "bond": bond},
        json,
        f"pledged for good {good}: {_given(credits, minutes)}" + (f", with a bond of {bond:f}." if bond else "."),
    )


def _given(credits_: Decimal | None, minutes: int) -> str:
    parts = [f"{credits_:f} credits"] if credits_ else []
    if minutes:
        parts.append(_hours(minutes))
    return " and ".join(parts) or "nothing"


def _hours(minutes: int) -> str:
    """Write minutes for people."""
    hours, rest = divmod(minutes, 60)
    return f"{hours}h" + (f"{rest}m" if rest else "") if hours else f"{rest}m"


def _counted(good: Good, value: Decimal) -> str:
    """Write an amount of what the threshold counts."""
    return _hours(int(value)) if good.unit == "minutes" else f"{value:f} {good.unit}"


def confirm_(good: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Accept what the provider delivered; owners with more than half of the pledged credits pay for it.

    Parameters
    ----------
    good
        Number of the good.
    """

    async def confirm(agent: Agent) -> Good:
        await agent.assurance.confirm(good)
        return await agent.assurance.get(good)

    found = ask(venue, confirm)
    print_done(
        found, json, f"confirmed good {good}: {found.confirmed:f} of {found.voting:f} credits; it is {found.state}."
    )


def withdraw_(good: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take back a good that this agent proposed, and for which nobody has pledged.

    Parameters
    ----------
    good
        Number of the good.
    """
    ask(venue, lambda agent: agent.assurance.withdraw(good))
    print_done(
        {"good": good, "state": "withdrawn"},
        json,
        f"good {good} is withdrawn; what was in escrow for the bonus is back.",
    )


def list_(*, mine: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the goods that have not ended.

    Parameters
    ----------
    mine
        Only those that this agent proposed, provides, attests or pledged for.
    """
    print_all(
        ask(venue, lambda agent: agent.assurance.list(mine=mine)),
        json,
        ("good", "title", "proposer", "state", ">raised", ">threshold", ">bonus", "pledges until", "due"),
        lambda good: (
            good.id, good.title, good.proposer, good.state, _counted(good, good.raised),
            _counted(good, good.threshold), f"{good.refund_bonus:f} %", when(good.deadline_us),
            when(good.deliver_by_us),
        ),
        empty="There are no such goods; `exchange good propose` proposes one.",
    )  # fmt: skip


def show_(good: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one good: what it takes, what is pledged, and what came of it.

    Parameters
    ----------
    good
        Number of the good.
    """
    found = ask(venue, lambda agent: agent.assurance.get(good), _missing(good))
    print_one(
        found,
        json,
        (
            ("good", found.id),
            ("title", found.title),
            ("detail", found.detail),
            ("proposer", found.proposer),
            ("provider", found.provider),
            ("attester", found.attester),
            ("state", f"{found.state}: {_MEANING[found.state]}"),
            ("raised", f"{_counted(found, found.raised)} of {_counted(found, found.threshold)}"),
            ("cap", _counted(found, found.cap)),
            ("least pledge", _given(found.min_credits, found.min_minutes)),
            ("pledges until", when(found.deadline_us)),
            ("due", when(found.deliver_by_us)),
            ("refund bonus", f"{found.refund_bonus:f} %" if found.refund_bonus else None),
            ("bond per hour", f"{found.hour_bond:f}" if found.hour_bond else None),
            ("pledges", f"{found.pledges}, by {found.owners} owners that count"),
            ("public money", f"{found.subsidy:f}" if found.subsidy else None),
            ("settlement", found.settlement),
            ("confirmed", f"{found.confirmed:f} of {found.voting:f} credits" if found.settlement else None),
            ("work done", _hours(found.delivered_minutes) if found.delivered_minutes else None),
            ("provider got", f"{found.paid:f}" if found.paid else None),
            ("bonus paid", f"{found.bonus:f}" if found.bonus else None),
        ),
    )


def pledges_(good: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """List who has pledged what for a good, what each gives of it, and what each has back and on top.

    Parameters
    ----------
    good
        Number of the good.
    """
    print_all(
        ask(venue, lambda agent: agent.assurance.pledges(good), _missing(good)),
        json,
        ("pledge", "agent", "owner", "pledged", ">bond", "gives", ">back", ">on top", "settlement", "note"),
        lambda pledge: (
            pledge.pledge, pledge.agent, pledge.owner, _given(pledge.credits, pledge.minutes), f"{pledge.bond:f}",
            _share(pledge), f"{pledge.refunded:f}", f"{pledge.bonus + pledge.earned:f}", pledge.settlement or "",
            "" if pledge.counts else "no owner that counts",
        ),
        empty="Nobody has pledged yet.",
    )  # fmt: skip


def _share(pledge: GoodPledge) -> str:
    if pledge.share is None or pledge.share_minutes is None:
        return "open"
    done = {None: "", True: ", done", False: ", not done"}[pledge.delivered]
    return _given(pledge.share, pledge.share_minutes) + done


def follow_(
    good: int,
    /,
    *,
    seconds: ForSeconds = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Tell every change of a good until it has ended; end it with Ctrl-C.

    Parameters
    ----------
    good
        Number of the good.
    seconds
        End after so many seconds.
    """

    def line(found: Good) -> str:
        raised = f"{_counted(found, found.raised)} of {_counted(found, found.threshold)}"
        return f"good {found.id}: {raised}, {found.state}: {_MEANING[found.state]}"

    follow(
        venue, lambda agent: agent.assurance.get(good), line, _FINAL, seconds=seconds, json=json, missing=_missing(good)
    )


def _missing(good: int) -> str:
    return f"there is no good {good}, or it ended long ago; see `exchange good list`"
