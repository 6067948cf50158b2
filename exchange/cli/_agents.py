"""``exchange agent``: admit agents and say what they may do."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from exchange.cli._asking import print_done
from exchange.cli._names import MaybeAmount, check_agent_id
from exchange.cli._output import CliError, Json, print_json, print_pairs, print_table
from exchange.cli._revoking import load_keyring, reconcile_, revoke_, rotate_
from exchange.cli._venue import Venue
from exchange.messages.base import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_sdk import Agent, AgentInfo

__all__ = ["add_", "list_", "reconcile_", "resume_", "revoke_", "rotate_", "suspend_"]


def add_(
    name: str,
    /,
    *,
    owner: str,
    role: tuple[Role, ...] = (),
    endowment: MaybeAmount = None,
    skill: tuple[str, ...] = (),
    out: Path | None = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Register an agent and write its credential.

    Run it again to write the credential of an agent that exists, for the same owner.

    Parameters
    ----------
    name
        Id of the agent: 1 to 32 of A-Z a-z 0-9 _ -.
    owner
        Whose agent it is; self-trade prevention and spend limits work on owners too.
    role
        What it may do, repeatable (default: trader).
    endowment
        Credits it starts with (default: the venue's).
    skill
        What it is good at, for others to find, repeatable.
    out
        File for the credential (default: creds/NAME.creds in the data directory).
    """
    asyncio.run(_add(venue or Venue(), name, owner, role or ("trader",), endowment, skill, out, json))


async def _add(
    venue: Venue,
    name: str,
    owner: str,
    roles: Sequence[Role],
    endowment: Decimal | None,
    skills: Sequence[str],
    out: Path | None,
    json: bool,
) -> None:
    check_agent_id(name)
    check_agent_id(owner, "owner")
    keyring = load_keyring(venue)
    async with venue.connect() as operator:
        granted = await _register(operator, name, owner, roles, endowment, skills)
    # Minting follows the registration: a credential of nobody is never handed out.
    path = out or venue.files.agent_creds(name)
    written = keyring.write_agent_creds(name, path)
    facts = {
        "agent": name,
        "owner": owner,
        "registered": granted is not None,
        "endowment": granted,
        "creds": str(path.absolute()),
        "creds_written": written,
    }
    if json:
        print_json(facts)
        return
    print_pairs(
        [
            ("agent", f"{name} of {owner} ({'registered' if granted is not None else 'exists'})"),
            *([("endowment", f"{granted:,f} credits")] if granted is not None else []),
            ("credential", path if written else f"{path} (kept)"),
        ]
    )


async def _register(
    operator: Agent,
    name: str,
    owner: str,
    roles: Sequence[Role],
    endowment: Decimal | None,
    skills: Sequence[str],
) -> Decimal | None:
    """Register an agent and return its endowment; None if it is registered to this owner already."""
    from agent_sdk import AgentExists

    try:
        return await operator.admin.register_agent(name, owner, roles=roles, endowment=endowment, skills=skills)
    except AgentExists:
        known = next((info for info in await operator.agents() if info.id == name), None)
        if known is None:
            raise
        if known.owner != owner:
            message = f"agent {name!r} belongs to owner {known.owner!r}, not {owner!r}; choose another name"
            raise CliError(message) from None
        if known.state == "revoked":
            message = f"agent {name!r} was revoked for good; choose another name"
            raise CliError(message) from None
        return None


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the registered agents: all of them to operators, to others those of their owner."""
    agents = asyncio.run(_list(venue or Venue()))
    if json:
        print_json([{name: getattr(info, name) for name in info.__slots__} for info in agents])
        return
    print_table(
        ("agent", "owner", "roles", "state", "skills"),
        [(info.id, info.owner, ", ".join(info.roles), info.state, ", ".join(info.skills)) for info in agents],
        empty="No agents are registered.",
    )


async def _list(venue: Venue) -> list[AgentInfo]:
    async with venue.connect() as agent:
        return await agent.agents()


def suspend_(name: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Stop an agent from taking on new obligations; what it has stays.

    Parameters
    ----------
    name
        Id of the agent.
    """
    asyncio.run(_set_state(venue or Venue(), name, "suspended", json))


def resume_(name: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Let a suspended or halted agent trade again.

    Parameters
    ----------
    name
        Id of the agent.
    """
    asyncio.run(_set_state(venue or Venue(), name, "active", json))


async def _set_state(venue: Venue, name: str, state: str, json: bool) -> None:
    from agent_sdk import NoChange

    async with venue.connect() as operator:
        change = operator.admin.suspend_agent if state == "suspended" else operator.admin.resume_agent
        changed = True
        try:
            await change(name)
        except NoChange:
            changed = False
    print_done(
        {"agent": name, "state": state, "changed": changed},
        json,
        f"{name} is {state}." if changed else f"{name} was {state} already.",
    )
