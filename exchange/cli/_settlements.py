"""``exchange settlement``: see what is to be delivered, deliver and confirm it."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ask, print_all, print_done, print_one, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Agent

__all__ = ["confirm_", "deliver_", "give_up_", "list_", "show_"]


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the settlements that are not final in which the agent has a part."""
    print_all(
        ask(venue, lambda agent: agent.settlements.list()),
        json,
        ("settlement", "of", "title", "state", "payer", "provider", ">price", ">bond", "deliver by"),
        lambda found: (
            found.id, found.origin, found.title, found.state, found.payer, found.provider, f"{found.price:f}",
            f"{found.bond:f}", when(found.deliver_by_us),
        ),
        empty="There is nothing to settle.",
    )  # fmt: skip


def show_(settlement: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one settlement: who owes what to whom until when, and what silence brings.

    Parameters
    ----------
    settlement
        Number of the settlement.
    """
    found = ask(venue, lambda agent: agent.settlements.get(settlement), _missing(settlement))
    print_one(
        found,
        json,
        (
            ("settlement", found.id),
            ("of", found.origin),
            ("title", found.title),
            ("state", found.state),
            ("payer", found.payer),
            ("provider", found.provider),
            ("attester", found.attester),
            ("price", f"{found.price:f}"),
            ("bond", f"{found.bond:f}"),
            ("opened", when(found.opened_us)),
            ("deliver by", when(found.deliver_by_us)),
            ("fencing token", found.fencing_token or None),
            ("work lease until", when(found.lease_until_us)),
            ("delivered", when(found.delivered_us)),
            ("reference", found.reference),
            ("digest", found.digest),
            ("silence changes it", when(found.until_us)),
            ("cause", found.cause),
            ("dispute", found.dispute),
            ("score", found.score),
        ),
    )


def deliver_(
    settlement: int,
    reference: str = "",
    /,
    *,
    digest: str = "",
    fencing_token: int | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Say that it is delivered, as its provider or the attester.

    Parameters
    ----------
    settlement
        Number of the settlement.
    reference
        Where what was delivered is.
    digest
        Digest of what was delivered, for whoever checks it.
    fencing_token
        Token of the work lease, so that a worker whose lease is over is turned away (default: the present one).
    """

    async def deliver(agent: Agent) -> None:
        token = fencing_token
        if token is None:
            token = (await agent.settlements.get(settlement)).fencing_token
        await agent.settlements.deliver(settlement, reference, digest, fencing_token=token)

    ask(venue, deliver, _missing(settlement))
    _tell(settlement, "delivered", json)


def confirm_(
    settlement: int,
    /,
    *,
    score: Annotated[int | None, Parameter(validator=Number(gte=0, lte=100))] = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Accept a delivery, and pay.

    Parameters
    ----------
    settlement
        Number of the settlement.
    score
        Quality from 0 to 100, as the attester of the terms.
    """
    ask(venue, lambda agent: agent.settlements.confirm(settlement, score=score))
    _tell(settlement, "completed", json)


def give_up_(
    settlement: int,
    reason: str = "",
    /,
    *,
    fencing_token: int | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Say, as the provider, that nothing will be delivered; the bond is forfeited.

    Parameters
    ----------
    settlement
        Number of the settlement.
    reason
        Why.
    fencing_token
        Token of the work lease (default: the present one).
    """

    async def give_up(agent: Agent) -> None:
        token = fencing_token
        if token is None:
            token = (await agent.settlements.get(settlement)).fencing_token
        await agent.settlements.give_up(settlement, reason, fencing_token=token)

    ask(venue, give_up, _missing(settlement))
    _tell(settlement, "failed", json)


def _tell(settlement: int, state: str, json: bool) -> None:
    print_done({"settlement": settlement, "state": state}, json, f"settlement {settlement} is {state}.")


def _missing(settlement: int) -> str:
    return (
        f"there is no settlement {settlement} in which this agent has a part, or it ended long ago; "
        "see `exchange settlement list`, or act as another agent with --creds"
    )
