"""``exchange module``: register, sell, auction, let and claim modules, and see whose they are and who may write."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from exchange.cli._asking import ask, print_all, print_done, print_one, when
from exchange.cli._module_work import abandon_claim_, accept_check_, attest_check_, attest_work_, claim_
from exchange.cli._names import Amount, MaybeAmount
from exchange.cli._output import Json
from exchange.cli._venue import Venue
from exchange.messages.property import Regime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

    from agent_sdk import Agent, Module, ModuleDeposit, RentalChange

__all__ = [
    "abandon_claim_", "accept_check_", "allocate_", "attest_check_", "attest_work_", "auction_", "auctions_", "bid_",
    "bids_", "buy_", "cancel_auction_", "claim_", "collect_rent_", "depend_", "end_rental_", "grant_", "let_",
    "list_", "may_write_", "offer_", "regime_", "register_", "release_", "rent_", "rentals_", "revoke_grant_",
    "show_", "state_value_", "top_up_", "withdraw_bid_", "withdraw_deposit_", "withdraw_let_", "withdraw_offer_",
]  # fmt: skip


def _changed(venue: Venue | None, json: Json, module: str, act: Callable[[Agent], Awaitable[int]], told: str) -> None:
    """Do what changes a module, and tell its fencing token."""
    token = ask(venue, act)
    print_done({"module": module, "fencing_token": token}, json, f"{told}; its fencing token is {token}.")


# ── modules and who may write ───────────────────────────────────────────────────────────────────


def register_(
    module: str,
    /,
    *,
    depends_on: tuple[str, ...] = (),
    owner: str | None = None,
    regime: Regime = "private",
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Register a module; it is nobody's, unless an operator gives it to an owner at once.

    Parameters
    ----------
    module
        Name of the module, such as shop.billing.
    depends_on
        Module that it depends on; repeat it for all.
    owner
        Agent that owns it from the beginning (operators).
    regime
        Private, or harberger: taxed on a stated value, for which anybody may buy it (operators).
    """
    _changed(
        venue, json, module,
        lambda agent: agent.property.register(module, dependencies=depends_on, owner=owner, regime=regime),
        f"module {module} is registered" + (f" for {owner}" if owner else ""),
    )  # fmt: skip


def depend_(module: str, /, *depends_on: str, venue: Venue | None = None, json: Json = False) -> None:
    """Say what a module depends on, all of it; what stays keeps its age.

    Parameters
    ----------
    module
        Name of the module.
    depends_on
        Modules that it depends on; none at all to forget all.
    """
    told = f"{module} depends on {', '.join(depends_on) or 'nothing'}"
    _changed(venue, json, module, lambda agent: agent.property.set_dependencies(module, depends_on), told)


def allocate_(module: str, agent: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Give a module to an agent (operators).

    Parameters
    ----------
    module
        Name of the module.
    agent
        Agent that owns it from now on.
    """
    _changed(venue, json, module, lambda me: me.property.allocate(module, agent), f"{module} belongs to {agent}")


def regime_(module: str, regime: Regime, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Put a module under another regime (operators).

    Parameters
    ----------
    module
        Name of the module.
    regime
        Private, or harberger.
    """
    _changed(venue, json, module, lambda me: me.property.set_regime(module, regime), f"{module} is {regime}")


def release_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Give a module up: it belongs to nobody then, and can be claimed.

    Parameters
    ----------
    module
        Name of the module.
    """
    _changed(venue, json, module, lambda me: me.property.release(module), f"{module} belongs to nobody")


def grant_(module: str, agent: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Let another agent write to a module, too.

    Parameters
    ----------
    module
        Name of the module.
    agent
        Agent that may write.
    """
    _changed(venue, json, module, lambda me: me.property.grant(module, agent), f"{agent} may write to {module}")


def revoke_grant_(module: str, agent: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Let an agent write no longer that was granted it.

    Parameters
    ----------
    module
        Name of the module.
    agent
        Agent that may not write any more.
    """
    told = f"{agent} may not write to {module} any more"
    _changed(venue, json, module, lambda me: me.property.revoke_grant(module, agent), told)


def may_write_(module: str, /, *, agent: str | None = None, venue: Venue | None = None, json: Json = False) -> int:
    """Say whether an agent may write to a module now, with which fencing token; exit code 1 if it may not.

    Parameters
    ----------
    module
        Name of the module.
    agent
        Agent to ask about (default: the one that asks).
    """
    found = ask(venue, lambda me: me.property.may_write(module, agent), _missing(module))
    may = "may write" if found.may_write else "may not write"
    until = f", until {when(found.until_us)}" if found.until_us else ""
    print_done(found, json, f"{found.agent} {may} to {module}{until}; the fencing token is {found.fencing_token}.")
    return 0 if found.may_write else 1


def _missing(module: str) -> str:
    return f"there is no module {module}; see `exchange module list`"


def list_(*, owner: str | None = None, unowned: bool = False, venue: Venue | None = None, json: Json = False) -> None:
    """List the modules by name.

    Parameters
    ----------
    owner
        Only those of this agent.
    unowned
        Only those of nobody.
    """
    print_all(
        ask(venue, lambda agent: agent.property.list(owner=owner, unowned=unowned)),
        json,
        ("module", "owner", "regime", ">value", ">deposit", "lasts until", ">offered for", "depends on"),
        lambda module: (
            module.id, module.owner or "", module.regime, _amount(module.value), _amount(module.deposit),
            when(module.exhausted_at_us) or "", _amount(module.price),
            ", ".join(each.module for each in module.dependencies),
        ),
        empty="There are no such modules; `exchange module register` registers one.",
    )  # fmt: skip


def _amount(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"


def show_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one module: whose it is, who may write, what it costs.

    Parameters
    ----------
    module
        Name of the module.
    """
    found = ask(venue, lambda agent: agent.property.get(module), _missing(module))
    print_one(found, json, _pairs(found))


def _pairs(module: Module) -> list[tuple[str, Any]]:
    sale = f"{_amount(module.price)}, to {module.buyer or 'anybody'}" if module.price is not None else None
    auction = f"closes {when(module.closes_at_us)}, reserve {_amount(module.reserve)}" if module.auction else None
    to_let = [f"offer {each.offer}: {each.price:f} for {each.term_seconds} s" for each in module.rental_offers]
    return [
        ("module", module.id),
        ("regime", module.regime),
        ("owner", module.owner or "nobody"),
        ("since", when(module.owner_since_us)),
        ("how", module.title),
        ("fencing token", module.fencing_token),
        ("depends on", ", ".join(each.module for each in module.dependencies)),
        ("granted to", ", ".join(module.grants)),
        ("writer", f"{module.writer}, until {when(module.handover_us)}" if module.writer else None),
        ("value", _amount(module.value)),
        ("deposit", _amount(module.deposit)),
        ("lasts until", when(module.exhausted_at_us)),
        ("value due", when(module.value_due_us)),
        ("for sale", sale),
        ("auction", auction),
        ("last price", _amount(module.last_price)),
        ("to let", "; ".join(to_let)),
        ("claimed by", ", ".join(each.agent for each in module.claims)),
    ]  # fmt: skip


# ── selling, auctions ───────────────────────────────────────────────────────────────────────────


def offer_(
    module: str, price: Amount, /, *, buyer: str | None = None, venue: Venue | None = None, json: Json = False
) -> None:
    """Offer a module for sale.

    Parameters
    ----------
    module
        Name of the module.
    price
        Credits that it costs.
    buyer
        The only agent that may buy it (default: anybody).
    """
    number = ask(venue, lambda agent: agent.property.offer(module, price, buyer=buyer))
    print_done(
        {"module": module, "offer": number},
        json,
        f"{module} is for sale for {price:f} to {buyer or 'anybody'} (offer {number}).",
    )


def withdraw_offer_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take the offer of a module back.

    Parameters
    ----------
    module
        Name of the module.
    """
    ask(venue, lambda agent: agent.property.withdraw_offer(module))
    print_done({"module": module, "offer": None}, json, f"{module} is not for sale any more.")


def buy_(
    module: str,
    /,
    *,
    max_price: Amount,
    new_value: MaybeAmount = None,
    deposit: MaybeAmount = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Buy a module that is offered, or of which a value is stated.

    Parameters
    ----------
    module
        Name of the module.
    max_price
        Most credits to pay.
    new_value
        Value that you state, where that is needed.
    deposit
        Credits from which the tax on that is taken: at first that of 30 days at least, unless the venue says otherwise.
    """
    # At a stated value nobody is asked whether to sell, so the former owner has time to finish.
    until_then = "" if new_value is None else ", and its former owner still writes to it for a while (see may-write)"
    _changed(
        venue, json, module,
        lambda me: me.property.buy(module, max_price=max_price, new_value=new_value, deposit=deposit or 0),
        f"{module} is bought{until_then}",
    )  # fmt: skip


def auction_(
    module: str, /, *, closes_in: timedelta, reserve: MaybeAmount = None, venue: Venue | None = None, json: Json = False
) -> None:
    """Auction a module: the highest sealed bid gets it at the second, or at the reserve.

    Parameters
    ----------
    module
        Name of the module.
    closes_in
        Time from now until the bids are opened, such as 2h.
    reserve
        Least price (default: none).
    """
    seconds = closes_in.total_seconds()
    ask(venue, lambda agent: agent.property.auction(module, reserve=reserve or 0, closes_in=seconds))
    print_done(
        {"module": module, "closes_in_seconds": seconds},
        json,
        f"{module} is auctioned; bid with `exchange module bid {module} PRICE`.",
    )


def cancel_auction_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take an auction back before it closes.

    Parameters
    ----------
    module
        Name of the module.
    """
    ask(venue, lambda agent: agent.property.cancel_auction(module))
    print_done({"module": module, "auction": None}, json, f"{module} is not auctioned any more.")


def auctions_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the auctions of modules that are open."""
    print_all(
        ask(venue, lambda agent: agent.property.auctions()),
        json,
        ("auction", "module", "seller", ">reserve", "closes"),
        lambda each: (each.id, each.module, each.seller or "foreclosed", f"{each.reserve:f}", when(each.closes_at_us)),
        empty="No modules are auctioned.",
    )


def bid_(module: str, price: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Bid, sealed, in the auction of a module.

    Parameters
    ----------
    module
        Name of the module.
    price
        Most credits to pay; they are held until the close.
    """
    ask(venue, lambda agent: agent.property.bid(module, price))
    print_done({"module": module, "price": f"{price:f}"}, json, f"bid {price:f} for {module}.")


def withdraw_bid_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take a bid back before the close.

    Parameters
    ----------
    module
        Name of the module.
    """
    ask(venue, lambda agent: agent.property.withdraw_bid(module))
    print_done({"module": module, "price": None}, json, f"the bid for {module} is taken back.")


def bids_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the agent's own sealed bids."""
    print_all(
        ask(venue, lambda agent: agent.property.bids()),
        json,
        ("module", "auction", ">price"),
        lambda bid: (bid.module, bid.auction, f"{bid.price:f}"),
        empty="There are no bids.",
    )


# ── rentals ─────────────────────────────────────────────────────────────────────────────────────


def let_(
    module: str,
    price: Amount,
    /,
    *,
    term: timedelta,
    exclusive: bool = False,
    renter: str | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Offer write access for a term.

    Parameters
    ----------
    module
        Name of the module.
    price
        Credits for the whole term.
    term
        How long it lasts, such as 7d.
    exclusive
        Whether nobody else may write meanwhile, the owner included.
    renter
        The only agent that may rent it (default: anybody).
    """
    seconds = round(term.total_seconds())
    fields: dict[str, Any] = {"term_seconds": seconds, "exclusive": exclusive, "renter": renter}
    number = ask(venue, lambda agent: agent.property.offer_rental(module, price, **fields))
    print_done(
        {"module": module, "offer": number},
        json,
        f"write access to {module} is to let for {price:f}; take it with `exchange module rent {number}`.",
    )


def withdraw_let_(offer: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take an offer of write access back; rentals that run go on.

    Parameters
    ----------
    offer
        Number of the offer.
    """
    ask(venue, lambda agent: agent.property.withdraw_rental_offer(offer))
    print_done({"offer": offer}, json, f"offer {offer} is taken back.")


def rent_(offer: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take an offer of write access: the rent goes into escrow.

    Parameters
    ----------
    offer
        Number of the offer.
    """
    _told_rental(ask(venue, lambda agent: agent.property.rent(offer)), json)


def end_rental_(rental: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """End a rental early; the unused rent comes back.

    Parameters
    ----------
    rental
        Number of the rental.
    """
    _told_rental(ask(venue, lambda agent: agent.property.end_rental(rental)), json)


def collect_rent_(rental: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Have the rent paid out that has accrued so far.

    Parameters
    ----------
    rental
        Number of the rental.
    """
    _told_rental(ask(venue, lambda agent: agent.property.collect_rent(rental)), json)


def _told_rental(change: RentalChange, json: Json) -> None:
    money = f"; {change.paid:f} was paid, {change.refunded:f} came back" if change.paid or change.refunded else ""
    ends = f"ends {when(change.ends_us)}, with fencing token {change.fencing_token}"
    print_done(change, json, f"rental {change.rental} {ends}{money}.")


def rentals_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the running rentals in which the agent is owner or renter."""
    print_all(
        ask(venue, lambda agent: agent.property.rentals()),
        json,
        ("rental", "module", "owner", "renter", ">rent", ">accrued", "ends", "exclusive"),
        lambda each: (
            each.id, each.module, each.owner, each.renter, f"{each.rent:f}", f"{each.accrued:f}", when(each.ends_us),
            "yes" if each.exclusive else "no",
        ),
        empty="There are no rentals.",
    )  # fmt: skip


# ── value and tax ───────────────────────────────────────────────────────────────────────────────


def state_value_(
    module: str, value: Amount, /, *, deposit: MaybeAmount = None, venue: Venue | None = None, json: Json = False
) -> None:
    """State what a module is worth: it is taxed on that, and anybody may buy it for that.

    Parameters
    ----------
    module
        Name of the module.
    value
        Credits that it is worth.
    deposit
        Credits that are added to the deposit from which the tax is taken.
    """
    _told_deposit(ask(venue, lambda agent: agent.property.state_value(module, value, deposit=deposit or 0)), json)


def top_up_(module: str, amount: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Add to the deposit from which the tax is taken.

    Parameters
    ----------
    module
        Name of the module.
    amount
        Credits to add.
    """
    _told_deposit(ask(venue, lambda agent: agent.property.top_up(module, amount)), json)


def withdraw_deposit_(module: str, amount: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take back what the deposit has above the least one for its value.

    Parameters
    ----------
    module
        Name of the module.
    amount
        Credits to take back.
    """
    _told_deposit(ask(venue, lambda agent: agent.property.withdraw_deposit(module, amount)), json)


def _told_deposit(change: ModuleDeposit, json: Json) -> None:
    lasts = f" and lasts until {when(change.exhausted_at_us)}" if change.exhausted_at_us else ""
    print_done(change, json, f"{change.module} is worth {change.value:f}; its deposit is {change.deposit:f}{lasts}.")
