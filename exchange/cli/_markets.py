"""``exchange market``: open, list, halt and resume markets."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import print_done
from exchange.cli._assets import Decimals, register
from exchange.cli._names import Amount, MaybeAmount
from exchange.cli._output import CliError, Json, print_json, print_table
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Market

__all__ = ["add_", "halt_", "list_", "resume_"]

BasisPoints = Annotated[int, Parameter(validator=Number(gte=0, lte=10_000))]
Seconds = Annotated[int, Parameter(validator=Number(gte=0, lte=604_800))]

_BAND_BP = 1_000


def add_(
    name: str,
    /,
    *,
    base: str,
    tick: Amount,
    lot: MaybeAmount = None,
    min_quantity: MaybeAmount = None,
    max_quantity: MaybeAmount = None,
    create_asset: bool = False,
    decimals: Decimals = 0,
    maker_fee_bp: BasisPoints = 0,
    taker_fee_bp: BasisPoints = 0,
    band_bp: BasisPoints | None = None,
    reference: MaybeAmount = None,
    auction: Seconds = 0,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Open a market for an asset against credits.

    Parameters
    ----------
    name
        Name of the market: 1 to 32 of A-Z a-z 0-9 _ -.
    base
        Asset that is traded.
    tick
        Smallest step of the price, in credits per whole unit.
    lot
        Smallest step of the quantity, in whole units (default: the smallest unit of the asset).
    min_quantity
        Smallest order.
    max_quantity
        Largest order.
    create_asset
        Register the asset first, unless it exists.
    decimals
        With --create-asset: how finely a unit can be divided (default: 0 decimals).
    maker_fee_bp
        Fee of who was in the book, in basis points of the value (default: 0).
    taker_fee_bp
        Fee of who came later (default: 0).
    band_bp
        How far from the last price trading halts, in basis points; 0 for never (default: 1000 with a
        --reference, 0 without).
    reference
        Price that the band starts from.
    auction
        Seconds of call auction before continuous trading (default: 0).
    """
    if band_bp and reference is None:
        message = f"--band-bp {band_bp} needs a price to start from: give --reference"
        raise CliError(message)
    terms = {
        "tick": tick,
        "lot": lot,
        "min_quantity": min_quantity,
        "max_quantity": max_quantity,
        "reference_price": reference,
        "maker_fee_bp": maker_fee_bp,
        "taker_fee_bp": taker_fee_bp,
        "price_band_bp": band_bp if band_bp is not None else (_BAND_BP if reference is not None else 0),
        "auction_seconds": auction,
    }
    new_asset = decimals if create_asset else None
    facts = asyncio.run(_add(venue or Venue(), name, base, terms, new_asset))
    print_done(facts, json, f"market {name} is open: {base} against credits, tick {tick:f}, phase {facts['phase']}.")


async def _add(venue: Venue, name: str, base: str, terms: dict[str, Any], decimals: int | None) -> dict[str, Any]:
    from agent_sdk import UnknownAsset

    async with venue.connect() as operator:
        if decimals is not None:
            await register(operator, base, decimals)
        try:
            await operator.admin.create_market(name, base, **terms)
        except UnknownAsset:
            message = f"there is no asset {base!r}; add --create-asset, or see `exchange asset list`"
            raise CliError(message) from None
        return _facts(await operator.market(name))


def _facts(market: Market) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(market)
    return facts


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the markets with their phase, best prices and trades."""
    markets = asyncio.run(_list(venue or Venue()))
    if json:
        print_json([_facts(market) for market in markets])
        return
    print_table(
        ("market", "base", "phase", ">tick", ">bid", ">ask", ">last", ">orders", ">trades", ">volume"),
        [
            (
                market.name, market.base, market.phase, f"{market.tick:f}", market.best_bid, market.best_ask,
                market.last_price, market.open_orders, market.trades, f"{market.volume:,f}",
            )
            for market in markets
        ],
        empty="There are no markets yet; `exchange market add` opens one.",
    )  # fmt: skip


async def _list(venue: Venue) -> list[Market]:
    async with venue.connect() as agent:
        return await agent.markets()


def halt_(
    name: str,
    /,
    *,
    cancel_only: bool = False,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Halt a market; orders stay in the book.

    Parameters
    ----------
    name
        Name of the market.
    cancel_only
        Let orders still be canceled.
    """
    asyncio.run(_set_state(venue or Venue(), name, "cancel_only" if cancel_only else "halted", 0, json))


def resume_(name: str, /, *, auction: Seconds = 0, venue: Venue | None = None, json: Json = False) -> None:
    """Lift the halt of a market.

    Parameters
    ----------
    name
        Name of the market.
    auction
        Seconds of call auction before continuous trading goes on (default: 0).
    """
    asyncio.run(_set_state(venue or Venue(), name, "open", auction, json))


async def _set_state(venue: Venue, name: str, state: Any, auction: int, json: bool) -> None:
    from agent_sdk import NoChange

    async with venue.connect() as operator:
        try:
            await operator.admin.halt_market(name, state, auction_seconds=auction)
            changed = True
        except NoChange:
            changed = False
        phase = (await operator.market(name)).phase
    print_done(
        {"market": name, "phase": phase, "changed": changed},
        json,
        f"market {name} is in phase {phase}{'' if changed else ' already'}.",
    )
