"""``exchange agent revoke|rotate|reconcile``: end credentials, on the venue and on its servers, without a restart."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exchange.cli._asking import print_done
from exchange.cli._bus import connected
from exchange.cli._names import check_agent_id
from exchange.cli._output import CliError, Json, note, print_json, print_pairs, say
from exchange.cli._venue import Venue, find_tls

if TYPE_CHECKING:
    from agent_sdk import AgentInfo
    from exchange.adapters.credentials import Keyring

__all__ = ["load_keyring", "reconcile_", "revoke_", "rotate_"]

_ROUNDS: Final = 5


def load_keyring(venue: Venue) -> Keyring:
    """Load the keys that sign credentials, before anything is done that needs them.

    Raises:
        CliError: they are not here.
    """
    from exchange.adapters.credentials import Keyring

    if not venue.files.exists():
        message = (
            f"{venue.directory} holds no keys, and credentials are signed with them; "
            "run this where the venue was created, with its --data"
        )
        raise CliError(message)
    keyring = Keyring.load(venue.files.keys)
    keyring.upgrade()
    return keyring


def revoke_(name: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Revoke an agent for good: on the venue, then its credentials on the servers, then its connections.

    Its orders are canceled, and what it has goes to its owner's oldest agent. It may be repeated. Where the
    venue's keys are not, the first step is done, the daemon cuts the agent off whenever it connects, and
    `exchange agent reconcile` does the rest where they are.

    Parameters
    ----------
    name
        Id of the agent.
    """
    asyncio.run(_revoke(venue or Venue(), name, json))


async def _revoke(venue: Venue, name: str, json: bool) -> None:
    from agent_sdk import AgentRevoked

    check_agent_id(name)
    changed = True
    async with venue.connect() as operator:
        try:
            await operator.admin.revoke_agent(name)
        except AgentRevoked:
            changed = False
        agents = await operator.agents()
    done = None
    if venue.files.exists():
        done = await _reconcile(venue, load_keyring(venue), agents)
    if json:
        print_json({"agent": name, "state": "revoked", "changed": changed, "credentials_revoked": done is not None})
        return
    say(f"{name} is revoked." if changed else f"{name} was revoked already.")
    if done is None:
        note("Its credential is not: run `exchange agent reconcile` where the venue's keys are.")


def rotate_(
    name: str,
    /,
    *,
    out: Path | None = None,
    grace: timedelta = timedelta(),
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Give an agent a new credential and revoke its earlier ones, which ends their connections.

    An agent that finds the new file in the place of the old one goes on with it by itself.

    Parameters
    ----------
    name
        Id of the agent.
    out
        File for the credential (default: creds/NAME.creds in the data directory).
    grace
        How long the earlier ones still count, such as 1h (default: not at all).
    """
    asyncio.run(_rotate(venue or Venue(), name, out, grace, json))


async def _rotate(venue: Venue, name: str, out: Path | None, grace: timedelta, json: bool) -> None:
    check_agent_id(name)
    if grace < timedelta():
        message = "--grace cannot be negative; without it the earlier ones end at once"
        raise CliError(message)
    keyring = load_keyring(venue)
    async with venue.connect() as operator:
        agents = await operator.agents()
    known = next((info for info in agents if info.id == name), None)
    if known is None or known.state == "revoked":
        state = "was revoked for good" if known else "is not registered"
        message = f"agent {name!r} {state}; `exchange agent list` shows who is here"
        raise CliError(message)
    path = out or venue.files.agent_creds(name)
    keyring.rotate_agent(name, path, grace_s=int(grace.total_seconds()))
    await _reconcile(venue, keyring, agents)
    if json:
        print_json({"agent": name, "creds": str(path.absolute()), "grace_s": int(grace.total_seconds())})
        return
    ends = f"end in {grace}" if grace else "are revoked"
    print_pairs([("agent", name), ("credential", path), ("earlier ones", ends)])


def reconcile_(*, venue: Venue | None = None, json: Json = False) -> None:
    """Revoke the credentials of all agents that the venue has revoked, and tell every server."""
    asyncio.run(_reconcile_all(venue or Venue(), json))


async def _reconcile_all(venue: Venue, json: bool) -> None:
    keyring = load_keyring(venue)
    async with venue.connect() as operator:
        agents = await operator.agents()
    names = await _reconcile(venue, keyring, agents)
    print_done(
        {"revoked": names},
        json,
        f"Revoked the credentials of {', '.join(names)}." if names else "Nothing was left to revoke.",
    )


async def _reconcile(venue: Venue, keyring: Keyring, agents: list[AgentInfo]) -> list[str]:
    """Revoke the credentials of who is revoked on the venue; tell the servers; return whose were revoked."""
    from exchange.adapters.server_admin import ServerAdmin

    revoked = {info.id for info in agents if info.state == "revoked"}
    names = [name for name in sorted(revoked) if not keyring.is_revoked(name)]
    if keyring.is_imported:
        _tell_what_to_revoke(keyring, names)
        names = []
        if not keyring.guard_creds_path.exists():
            return names
    for name in names:
        keyring.revoke_agent(name)
    venue.files.write_trust(keyring)
    account = keyring.agents_account_id
    tls = find_tls(venue.directory)
    async with connected(venue.find_url(), keyring.guard_creds_path, "guard", tls) as client:
        admin = ServerAdmin(client)
        claims = keyring.current_claims()
        problems = await admin.push_claims(account, claims) if claims else []
        for _ in range(_ROUNDS):
            # Whoever is revoked on the venue only, or connected to a server while it got its claims.
            void = keyring.revoked_keys()
            unwanted = [one for one in await admin.connections(account) if one.agent in revoked or one.key in void]
            for connection in unwanted:
                await admin.kick(connection)
            if not unwanted:
                break
    if problems:
        message = (
            f"not every server took the new claims: {'; '.join(problems)}; the daemon tries again, "
            "and so does `exchange agent reconcile`"
        )
        raise CliError(message)
    return names


def _tell_what_to_revoke(keyring: Keyring, names: list[str]) -> None:
    """Say how the credentials of agents are revoked where their account is signed."""
    from exchange.adapters.credentials import CredentialError

    for name in names:
        try:
            keyring.revoke_agent(name)
        except CredentialError as error:
            note(f"{name}: {error}")
