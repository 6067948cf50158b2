"""The part of ``exchange module`` that is about work: claims to modules of nobody, and what attesters say of them."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._asking import ask, print_done, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

__all__ = ["abandon_claim_", "accept_check_", "attest_check_", "attest_work_", "claim_"]

Score = Annotated[int, Parameter(validator=Number(gte=0, lte=100))]


def claim_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Claim a module of nobody: whoever's work there is attested first owns it.

    Parameters
    ----------
    module
        Name of the module.
    """
    claimed = ask(venue, lambda agent: agent.property.claim(module))
    until = when(claimed.lapses_at_us)
    print_done(claimed, json, f"{module} is claimed until {until}; have work on it attested by then.")


def abandon_claim_(module: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Give a claim up of which no work is attested.

    Parameters
    ----------
    module
        Name of the module.
    """
    ask(venue, lambda agent: agent.property.abandon_claim(module))
    print_done({"module": module, "claim": None}, json, f"the claim to {module} is given up.")


def attest_work_(
    module: str, agent: str, /, *, reference: str = "", venue: Venue | None = None, json: Json = False
) -> None:
    """Attest that an agent has worked on a module that it claims, or uses one that it has homesteaded (attesters).

    Parameters
    ----------
    module
        Name of the module.
    agent
        Agent that worked.
    reference
        Where the work is to be seen.
    """
    found = ask(venue, lambda me: me.property.attest_work(module, agent, reference))
    told = (
        f"attestation {found.attestation}: {agent} works on {module}; final {when(found.final_at_us)} unless disputed."
    )
    print_done(found, json, told)


def attest_check_(
    module: str, score: Score, /, *, reference: str = "", venue: Venue | None = None, json: Json = False
) -> None:
    """Attest how good a module is; it counts for its owner's reputation (attesters).

    Parameters
    ----------
    module
        Name of the module.
    score
        From 0 to 100.
    reference
        Where the check is to be seen.
    """
    found = ask(venue, lambda me: me.property.attest_check(module, score, reference))
    final = when(found.final_at_us)
    told = f"attestation {found.attestation}: {module} has {score} of 100; final {final} unless disputed."
    print_done(found, json, told)


def accept_check_(attestation: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Accept a check of an own module, instead of letting the window pass.

    Parameters
    ----------
    attestation
        Number of the check.
    """
    ask(venue, lambda agent: agent.property.accept_check(attestation))
    print_done({"attestation": attestation, "outcome": "final"}, json, f"attestation {attestation} is final.")
