"""``exchange package``: auction several things at once, bid for packages of them, and see why who won has won."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ForSeconds, ask, follow, print_all, print_done, print_one, when
from exchange.cli._output import CliError, Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Agent, Package, PackageAuction, PackageWinner

__all__ = ["bid_", "bids_", "cancel_", "follow_", "list_", "open_", "show_", "sign_", "withdraw_"]

_FINAL: Final = ("awarded", "unawarded", "canceled")


def open_(
    title: str,
    /,
    *,
    item: tuple[str, ...],
    deliver_in: timedelta,
    closes_in: timedelta = timedelta(seconds=65),
    direction: Literal["procurement", "sale"] = "procurement",
    pricing: Literal["vcg", "pay_as_bid"] = "vcg",
    detail: str = "",
    attester: str | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Auction several things at once; in a procurement the reserves go into escrow.

    Parameters
    ----------
    title
        What it is all about.
    item
        Item with its reserve, such as parser=20: the most that is paid for it, in a sale the least that is asked.
        Repeat it for every item.
    deliver_in
        Time from now until all is to be delivered, such as 2d.
    closes_in
        Time from now until the auction closes, at least 1m (default: 65s).
    direction
        Whether work is bought, or rights are sold (default: procurement).
    pricing
        Whether truth pays best, or winners are paid what they bid (default: vcg).
    detail
        All that bidders need to know.
    attester
        Agent that scores, and may confirm.
    """
    items = dict(_read_item(text) for text in item)
    if len(items) != len(item):
        message = f"--item {item[-1]}: every item has a name of its own"
        raise CliError(message)

    async def post(agent: Agent) -> PackageAuction:
        opened = await agent.packages.open(
            title,
            items,
            deliver_in=deliver_in.total_seconds(),
            closes_in=closes_in.total_seconds(),
            direction=direction,
            pricing=pricing,
            detail=detail,
            attester=attester,
        )
        return await agent.packages.get(opened.id)

    auction = ask(venue, post)
    print_done(
        auction,
        json,
        f"auction {auction.id} of {len(items)} items takes bids until {when(auction.closes_at_us)}.",
        f"Follow it with `exchange package follow {auction.id}`.",
    )


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the auctions that have not ended."""
    print_all(
        ask(venue, lambda agent: agent.packages.list()),
        json,
        ("auction", "title", "poster", "state", "kind", ">items", "closes", "due"),
        lambda found: (
            found.id, found.title, found.poster, found.state, f"{found.direction}, {found.pricing}", len(found.items),
            when(found.closes_at_us), when(found.deliver_by_us),
        ),
        empty="There are no package auctions; `exchange package open` opens one.",
    )  # fmt: skip


def show_(auction: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one auction, and once it was awarded, why who won has won.

    Parameters
    ----------
    auction
        Number of the auction.
    """
    found = ask(venue, lambda agent: agent.packages.get(auction), _missing(auction))
    print_one(
        found,
        json,
        (
            ("auction", found.id),
            ("title", found.title),
            ("detail", found.detail),
            ("poster", found.poster),
            ("state", found.state),
            ("kind", f"{found.direction}, {found.pricing}"),
            ("items", ", ".join(f"{item.name} (reserve {item.reserve:f})" for item in found.items)),
            ("closes", when(found.closes_at_us)),
            ("due", when(found.deliver_by_us)),
            ("attester", found.attester),
            ("bids", found.bids),
            ("why", explain(found)),
            *((f"{winner.bidder} won", _award(found, winner)) for winner in found.winners),
            ("outcome", found.outcome),
        ),
    )


def explain(auction: PackageAuction) -> str | None:
    """Say in words how the winners came about, as far as everybody may know."""
    if auction.state == "open":
        return "bids are sealed until the auction ends"
    if auction.state == "determining":
        return "no bid can change any more; the winners are being determined"
    if auction.state == "unawarded":
        return "there was no bid that counts"
    if auction.surplus is None:
        return None
    better = f"{auction.surplus:f} better than the reserves"
    if auction.optimal:
        choice = f"these awards together are {better}, and the solver found that nothing is better"
    else:
        choice = f"these awards together are {better}; whether anything is better was not found out in time"
    if auction.priced == "vcg":
        return f"{choice}; each winner's payment counts what all others gain by it"
    return f"{choice}; each winner {'is paid' if auction.direction == 'procurement' else 'pays'} what it bid"


def _award(auction: PackageAuction, winner: PackageWinner) -> str:
    verb = "is paid" if auction.direction == "procurement" else "pays"
    text = f"{', '.join(winner.items)}: bid {winner.price:f}, {verb} {winner.payment:f}"
    if len(winner.parts) > 1:
        text += f" ({', '.join(f'{name} {part:f}' for name, part in winner.parts.items())})"
    return text


def bid_(
    auction: int,
    /,
    *,
    package: tuple[str, ...],
    member: tuple[str, ...] = (),
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Bid, sealed, for packages of which at most one is awarded; a later bid takes the place of an earlier one.

    Parameters
    ----------
    auction
        Number of the auction.
    package
        Items and a price for all of them together, such as parser,lexer=30; repeat it for alternatives.
    member
        Member of a team with its weight in what is paid, such as ann=2, this agent among them; repeat it for all. The
        others have to sign before the close.
    """
    packages = [_read_package(text) for text in package]
    team = dict(_read_member(text) for text in member)
    placed = ask(venue, lambda agent: agent.packages.bid(auction, packages, team=team))
    print_done(placed, json, f"bid on auction {auction}, version {placed.version}, sealed; {placed.held:f} held.")


def bids_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the agent's own sealed bids, and those of teams that it may sign."""
    print_all(
        ask(venue, lambda agent: agent.packages.bids()),
        json,
        ("auction", "bidder", ">version", "packages", "team", "signed", ">held"),
        lambda found: (
            found.auction, found.bidder, found.version,
            "; ".join(f"{','.join(each.items)}={each.price:f}" for each in found.alternatives),
            ", ".join(f"{each.agent}={each.weight}" for each in found.team), ", ".join(found.signed), f"{found.held:f}",
        ),
        empty="There are no sealed bids; `exchange package bid` makes one.",
    )  # fmt: skip


def sign_(
    auction: int,
    bidder: str,
    /,
    *,
    version: Annotated[int, Parameter(validator=Number(gte=1))],
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Agree, as a member of its team, to a bid that `exchange package bids` shows.

    Parameters
    ----------
    auction
        Number of the auction.
    bidder
        Agent that made the bid.
    version
        Version of the bid that was read.
    """
    signed = ask(venue, lambda agent: agent.packages.sign(auction, bidder, version=version))
    print_done(signed, json, f"signed the bid of {bidder} on auction {auction}; {signed.held:f} held.")


def withdraw_(auction: int, bidder: str | None = None, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take a bid back before the close.

    Parameters
    ----------
    auction
        Number of the auction.
    bidder
        Agent that made the bid, if that is another member of the team (default: this agent).
    """
    ask(venue, lambda agent: agent.packages.withdraw_bid(auction, bidder))
    print_done(
        {"auction": auction, "bidder": bidder, "state": "withdrawn"},
        json,
        f"the bid on auction {auction} is withdrawn.",
    )


def cancel_(auction: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take an auction back while it is open.

    Parameters
    ----------
    auction
        Number of the auction.
    """
    ask(venue, lambda agent: agent.packages.cancel(auction))
    print_done({"auction": auction, "state": "canceled"}, json, f"auction {auction} is canceled; its escrow is back.")


def follow_(
    auction: int,
    /,
    *,
    seconds: ForSeconds = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Tell every change of an auction until it has ended, or Ctrl-C. With --json each is a line of its own.

    Parameters
    ----------
    auction
        Number of the auction.
    seconds
        Stop after so many seconds (default: never).
    """

    def line(found: PackageAuction) -> str:
        awards = [f"{winner.bidder} won {_award(found, winner)}" for winner in found.winners]
        return "; ".join((f"auction {auction}: {found.state}", *awards))

    follow(
        venue,
        lambda agent: agent.packages.get(auction),
        line,
        _FINAL,
        seconds=seconds,
        json=json,
        missing=_missing(auction),
    )


def _missing(auction: int) -> str:
    return f"there is no package auction {auction}, or it ended long ago; see `exchange package list`"


def _split(flag: str, text: str, example: str) -> tuple[str, str]:
    name, sign, value = text.rpartition("=")
    if not sign or not name or not value:
        message = f"{flag} {text!r} is not understood; write it like {example}"
        raise CliError(message)
    return name, value


def _amount(flag: str, text: str, value: str, example: str) -> Decimal:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        message = f"{flag} {text!r}: {value!r} is no number; write it like {example}"
        raise CliError(message)
    return amount


def _read_item(text: str) -> tuple[str, Decimal]:
    name, value = _split("--item", text, "parser=20")
    return name, _amount("--item", text, value, "parser=20")


def _read_package(text: str) -> Package:
    from agent_sdk import Package

    names, value = _split("--package", text, "parser,lexer=30")
    return Package(names.split(","), _amount("--package", text, value, "parser,lexer=30"))


def _read_member(text: str) -> tuple[str, int]:
    name, value = _split("--member", text, "ann=2")
    if not value.isdecimal():
        message = f"--member {text!r}: the weight {value!r} is no whole number; write it like ann=2"
        raise CliError(message)
    return name, int(value)
