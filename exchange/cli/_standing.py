"""``exchange reputation`` and ``exchange liens``: what is thought of an agent, and who owes whom."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from exchange.cli._asking import ask, print_all, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

__all__ = ["liens", "reputation"]


def reputation(agent: str, /, *, domain: str | None = None, venue: Venue | None = None, json: Json = False) -> None:
    """Show what is thought of an agent: scores from 0 to 100, and how much evidence there is.

    Parameters
    ----------
    agent
        Id of the agent.
    domain
        Only work, module, forecast, payment, or help:TOPIC.
    """
    found = ask(venue, lambda asker: asker.help.reputation(agent, domain), f"there is no agent {agent!r}")
    print_all(
        list(found.values()),
        json,
        ("domain", ">score", ">evidence", "of"),
        lambda one: (one.domain, f"{one.score:.1f}", f"{one.evidence:f}", "its owner" if one.inherited else "itself"),
        empty=f"Nothing is known of {agent} yet: its score is 50 everywhere.",
    )


def liens(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the debts that bind the agent or are due to it (an operator sees all)."""
    print_all(
        ask(venue, lambda agent: agent.payments.liens()),
        json,
        ("lien", "debtor", "creditor", ">amount", "cause", "since"),
        lambda lien: (lien.id, lien.debtor, lien.creditor, f"{lien.amount:f}", lien.cause, when(lien.since_us)),
        empty="Nobody owes anything.",
    )
