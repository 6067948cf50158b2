"""``exchange debt``: take on technical debt, sell it, repay it, and see who owes what to whom."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from exchange.cli._asking import ask, print_all, print_done, print_one, when
from exchange.cli._names import Amount
from exchange.cli._output import CliError, Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_sdk import Agent, Debt

__all__ = [
    "auction_", "bid_", "choose_interest_", "confirm_", "decline_", "issue_", "list_", "offer_", "repay_", "show_",
    "sign_", "take_", "totals_", "withdraw_bid_", "withdraw_sale_",
]  # fmt: skip


# ── issuing ─────────────────────────────────────────────────────────────────────────────────────


def issue_(
    feature: str,
    /,
    *,
    principal_hours: Amount,
    beneficiary: tuple[str, ...],
    matures_in: timedelta,
    interest_hours: Amount = Decimal(0),
    sign_in: timedelta = timedelta(days=1),
    detail: str = "",
    attester: str | None = None,
    skill: tuple[str, ...] = (),
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Propose to owe clean-up work; it exists when all beneficiaries have signed, or the attester for them.

    Parameters
    ----------
    feature
        What is to be cleaned up.
    principal_hours
        Hours of work that it takes now.
    beneficiary
        Agent that suffers from it with its weight, such as ann=3; repeat it for all.
    matures_in
        Time from now until it is to be repaid, such as 180d.
    interest_hours
        Hours that a month of waiting adds (default: none).
    sign_in
        Time from now to sign it (default: 1d).
    detail
        All that whoever does the work needs to know.
    attester
        Agent that may sign for all beneficiaries, and confirms repayments.
    skill
        Skill that a paydown asks of who does the work; repeat it for all.
    """
    beneficiaries = dict(_read_beneficiary(text) for text in beneficiary)
    if len(beneficiaries) != len(beneficiary):
        message = f"--beneficiary {beneficiary[-1]}: name every agent once"
        raise CliError(message)

    async def issue(agent: Agent) -> Debt:
        token = await agent.debts.issue(
            feature,
            principal_hours,
            beneficiaries=beneficiaries,
            matures_in=matures_in.total_seconds(),
            interest_hours_per_month=interest_hours,
            sign_in=sign_in.total_seconds(),
            detail=detail,
            attester=attester,
            skills=skill,
        )
        return await agent.debts.get(token)

    found = ask(venue, issue)
    print_done(
        found,
        json,
        f"debt {found.id} of {found.principal_hours:f} h waits for signatures until {when(found.sign_by_us)}.",
    )


def _read_beneficiary(text: str) -> tuple[str, int]:
    name, equals, weight = text.partition("=")
    if not name or (equals and not weight.isdecimal()) or weight == "0":
        message = f"--beneficiary {text}: give an agent with a whole weight above 0, such as ann=3"
        raise CliError(message)
    return name, int(weight or 1)


def sign_(token: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Agree to a debt, as a beneficiary, or as its attester for all of them.

    Parameters
    ----------
    token
        Number of the debt.
    """
    _do(venue, token, json, lambda agent: agent.debts.sign(token), "signed")


def decline_(token: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Let a debt lapse that does not exist yet.

    Parameters
    ----------
    token
        Number of the debt.
    """
    _do(venue, token, json, lambda agent: agent.debts.decline(token), "declined")


def choose_interest_(
    token: int, choice: Literal["paid", "added"], /, *, venue: Venue | None = None, json: Json = False
) -> None:
    """Say, as the holder, what becomes of interest from now on.

    Parameters
    ----------
    token
        Number of the debt.
    choice
        Whether it is paid in credits when it falls due, or added to the hours owed.
    """
    is_paid = choice == "paid"
    told = "interest is paid from now on" if is_paid else "interest is added to the hours owed from now on"
    _do(venue, token, json, lambda agent: agent.debts.choose_interest(token, is_paid=is_paid), told)


# ── selling and taking over ─────────────────────────────────────────────────────────────────────


def offer_(
    token: int,
    pay: Amount,
    /,
    *,
    taker: str | None = None,
    lasts: timedelta | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Pay whoever takes a debt over, hour by hour as it is repaid; it goes into escrow.

    Parameters
    ----------
    token
        Number of the debt.
    pay
        What is paid, in credits.
    taker
        Agent that may take it (default: anybody).
    lasts
        How long it stands, such as 7d (default: until the debt matures, or for 366 days if that has been).
    """
    seconds = None if lasts is None else lasts.total_seconds()
    number = ask(venue, lambda agent: agent.debts.offer(token, pay, taker=taker, lasts=seconds))
    print_done(
        {"token": token, "offer": number}, json, f"offer {number}: take it with `exchange debt take {token} {number}`."
    )


def auction_(
    token: int,
    max_pay: Amount,
    /,
    *,
    closes_in: timedelta = timedelta(seconds=65),
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Let sealed bids decide who takes a debt over: the lowest wins, and is paid the next lowest.

    Parameters
    ----------
    token
        Number of the debt.
    max_pay
        Most that is paid, in credits; it goes into escrow.
    closes_in
        Time from now until it closes, at least 1m (default: 65s).
    """
    seconds = closes_in.total_seconds()
    _do(venue, token, json, lambda agent: agent.debts.auction(token, max_pay, closes_in=seconds), "takes bids")


def withdraw_sale_(token: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take back an offer, or an auction before its close.

    Parameters
    ----------
    token
        Number of the debt.
    """
    _do(venue, token, json, lambda agent: agent.debts.withdraw_sale(token), "is not for sale any more")


def take_(token: int, offer: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take a debt over on an offer.

    Parameters
    ----------
    token
        Number of the debt.
    offer
        Number of the offer: its terms cannot change meanwhile.
    """
    _do(venue, token, json, lambda agent: agent.debts.take(token, offer), "is yours to repay")


def bid_(token: int, pay: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Bid, sealed, to take a debt over: the best bid is what the work costs you.

    Parameters
    ----------
    token
        Number of the debt.
    pay
        What you want to be paid, in credits.
    """
    _do(venue, token, json, lambda agent: agent.debts.bid(token, pay), f"bid of {pay}, sealed")


def withdraw_bid_(token: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Withdraw the owner's bid before the close.

    Parameters
    ----------
    token
        Number of the debt.
    """
    _do(venue, token, json, lambda agent: agent.debts.withdraw_bid(token), "bid withdrawn")


# ── repaying ────────────────────────────────────────────────────────────────────────────────────


def repay_(
    token: int, hours: Amount, reference: str = "", /, *, venue: Venue | None = None, json: Json = False
) -> None:
    """Say, as the holder, that so many hours of the work are done; they count when they are confirmed.

    Parameters
    ----------
    token
        Number of the debt.
    hours
        Hours of the debt that are repaid.
    reference
        Where the work is.
    """
    claim = ask(venue, lambda agent: agent.debts.repay(token, hours, reference))
    print_done(
        {"token": token, "claim": claim}, json, f"claim {claim}: confirm it with `exchange debt confirm {claim}`."
    )


def confirm_(claim: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Confirm a repayment, as a beneficiary or as the debt's attester.

    Parameters
    ----------
    claim
        Number of the claim.
    """
    ask(venue, lambda agent: agent.debts.confirm(claim))
    print_done({"claim": claim, "confirmed": True}, json, f"claim {claim}: confirmed.")


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


def list_(*, for_sale: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the debts that have not ended which the agent has to do with.

    Parameters
    ----------
    for_sale
        List those that can be taken over instead.
    """
    print_all(
        ask(venue, lambda agent: agent.debts.list(for_sale=for_sale)),
        json,
        ("debt", "feature", "issuer", "holder", "state", ">hours owed", "matures", ">in escrow", "for sale"),
        lambda found: (
            found.id, found.feature, found.issuer, found.holder, found.state, f"{found.owed_hours:f}",
            when(found.maturity_us), f"{found.in_escrow:f}", _sale(found),
        ),
        empty="Nothing is for sale." if for_sale else "There are no debts.",
    )  # fmt: skip


def show_(token: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one debt: who owes what to whom, and what is on its way.

    Parameters
    ----------
    token
        Number of the debt.
    """
    found = ask(venue, lambda agent: agent.debts.get(token), _missing(token))
    print_one(
        found,
        json,
        (
            ("debt", found.id),
            ("feature", found.feature),
            ("detail", found.detail),
            ("issuer", found.issuer),
            ("holder", found.holder),
            ("state", found.state),
            ("principal", f"{found.principal_hours:f} h"),
            ("interest", f"{found.interest_hours_per_month:f} h a month"),
            ("owed", f"{found.owed_hours:f} h, of which interest {found.accrued_hours:f} h"),
            ("next interest", when(found.interest_due_us)),
            ("matures", when(found.maturity_us)),
            ("an hour is", f"{found.hour_rate:f}"),
            ("beneficiaries", ", ".join(f"{name}={weight}" for name, weight in found.beneficiaries.items())),
            ("attester", found.attester),
            ("signed", ", ".join(found.signed)),
            ("sign by", when(found.sign_by_us)),
            ("in escrow", f"{found.in_escrow:f}"),
            ("for sale", _sale(found)),
            ("repayment", _claim(found)),
            ("paydown", _paydown(found)),
            ("outcome", found.outcome),
        ),
    )


def totals_(*, venue: Venue | None = None, json: Json = False) -> None:
    """Show what all debts come to, and how far that is from a crisis."""
    found = ask(venue, lambda agent: agent.debts.totals())
    part = found.crisis_overdue_bp / 100
    print_one(
        found,
        json,
        (
            ("debts", found.debts),
            ("owed", f"{found.outstanding_hours:f} h"),
            ("overdue", f"{found.overdue_hours:f} h"),
            (
                "crisis from",
                f"{found.crisis_overdue_hours:f} h overdue, if that is more than {part:g} % of what is owed",
            ),
            ("is a crisis", "yes" if found.is_crisis else "no"),
            ("looked at next", when(found.checked_at_us)),
        ),
    )


def _sale(found: Debt) -> str:
    sale = found.sale
    if sale is None:
        return ""
    if sale.kind == "auction":
        own = "" if sale.own_bid is None else f", own bid {sale.own_bid:f}"
        return f"auction, at most {sale.pay:f}, until {when(sale.closes_at_us)}{own}"
    taker = "" if sale.taker is None else f" to {sale.taker}"
    return f"offer {sale.offer} of {sale.pay:f}{taker}, until {when(sale.until_us)}"


def _claim(found: Debt) -> str:
    claim = found.claim
    if claim is None:
        return ""
    facts = [f"claim {claim.claim} of {claim.hours:f} h by {claim.by}", claim.state]
    if claim.reference:
        facts.append(claim.reference)
    if claim.confirmed_by:
        facts.append(f"confirmed by {' and '.join(claim.confirmed_by)}")
    if claim.until_us is not None:
        facts.append(f"until {when(claim.until_us)}")
    return ", ".join(facts)


def _paydown(found: Debt) -> str:
    paydown = found.paydown
    if paydown is None:
        return ""
    if paydown.task is not None:
        return f"task {paydown.task} is about {paydown.hours:f} h"
    return f"{paydown.amount:f} for {paydown.hours:f} h is collected until {when(paydown.collect_until_us)}"


def _do(venue: Venue | None, token: int, json: bool, act: Callable[[Agent], Awaitable[Any]], told: str) -> None:
    async def done(agent: Agent) -> Debt:
        await act(agent)
        return await agent.debts.get(token)

    found = ask(venue, done)
    print_done(found, json, f"debt {token}: {told}.")


def _missing(token: int) -> str:
    return f"there is no debt {token}, or it ended long ago; see `exchange debt list`"
