"""``exchange asset``: register what is traded, and issue units of it."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import print_done
from exchange.cli._names import Amount
from exchange.cli._output import CliError, Json, print_json, print_table
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Agent, Asset

__all__ = ["Decimals", "add_", "issue_", "list_", "register"]

Decimals = Annotated[int, Parameter(validator=Number(gte=0, lte=9))]


def add_(
    name: str,
    /,
    *,
    decimals: Decimals = 0,
    issuer: str | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Register an asset; doing so again with the same terms changes nothing.

    Parameters
    ----------
    name
        Name of the asset: 1 to 32 of a-z 0-9 _ -.
    decimals
        How finely a unit can be divided (default: 0 decimals).
    issuer
        Agent that alone may issue and retire it (default: the operator).
    """
    created = asyncio.run(_add(venue or Venue(), name, decimals, issuer))
    print_done(
        {"asset": name, "decimals": decimals, "created": created},
        json,
        f"asset {name} {'registered' if created else 'exists'}, {decimals} decimals.",
    )


async def _add(venue: Venue, name: str, decimals: int, issuer: str | None) -> bool:
    async with venue.connect() as operator:
        return await register(operator, name, decimals, issuer)


async def register(operator: Agent, name: str, decimals: int, issuer: str | None = None) -> bool:
    """Register an asset unless it exists with these terms; return whether it is new.

    Raises:
        CliError: it exists with other terms.
    """
    from agent_sdk import AssetExists

    try:
        await operator.admin.register_asset(name, decimals=decimals, issuer=issuer)
    except AssetExists:
        known = next((asset for asset in await operator.assets() if asset.name == name), None)
        if known is None:
            raise
        if known.decimals != decimals or (issuer is not None and known.issuer != issuer):
            message = (
                f"asset {name!r} exists with {known.decimals} decimals and issuer {known.issuer!r}; "
                "use it as it is or choose another name"
            )
            raise CliError(message) from None
        return False
    return True


def issue_(asset: str, agent: str, quantity: Amount, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Create units of an asset on an agent's account, so that it has something to sell.

    Every call creates more. Only the asset's issuer may do it: the operator, unless it was registered for
    another, who then gives --creds.

    Parameters
    ----------
    asset
        Name of the asset.
    agent
        Who gets the units.
    quantity
        How many whole units.
    """
    asyncio.run(_issue(venue or Venue(), asset, agent, quantity))
    print_done({"asset": asset, "agent": agent, "quantity": quantity}, json, f"{agent} got {quantity:,f} {asset}.")


async def _issue(venue: Venue, asset: str, agent: str, quantity: Decimal) -> None:
    async with venue.connect() as issuer:
        await issuer.admin.issue_asset(asset, agent, quantity)


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the registered assets."""
    assets = asyncio.run(_list(venue or Venue()))
    if json:
        print_json([{name: getattr(asset, name) for name in asset.__slots__} for asset in assets])
        return
    print_table(
        ("asset", ">decimals", "issuer", ">issued"),
        [(asset.name, asset.decimals, asset.issuer, f"{asset.issued:,f}") for asset in assets],
        empty="No assets are registered.",
    )


async def _list(venue: Venue) -> list[Asset]:
    async with venue.connect() as agent:
        return await agent.assets()
