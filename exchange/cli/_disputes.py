"""``exchange dispute``: see disputes, and how they were decided."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from exchange.cli._asking import ask, print_all, print_one, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

__all__ = ["list_", "show_"]


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the undecided disputes in which the agent is a party or has to rule."""
    print_all(
        ask(venue, lambda agent: agent.disputes.list()),
        json,
        ("dispute", "about", "disputer", "respondent", ">amount", "opened", "rule by"),
        lambda found: (
            found.id, f"{found.family}:{found.number}", found.disputer, found.respondent, f"{found.amount:f}",
            when(found.opened_us), when(found.rule_by_us),
        ),
        empty="There are no disputes.",
    )  # fmt: skip


def show_(dispute: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one dispute; who ruled what is known once it is decided.

    Parameters
    ----------
    dispute
        Number of the dispute.
    """
    missing = f"there is no dispute {dispute} that this agent may see; see `exchange dispute list`"
    found = ask(venue, lambda agent: agent.disputes.get(dispute), missing)
    said = {True: "upheld it", False: "rejected it", None: "did not rule"}
    print_one(
        found,
        json,
        (
            ("dispute", found.id),
            ("about", f"{found.family}:{found.number}"),
            ("disputer", found.disputer),
            ("respondent", found.respondent),
            ("amount", f"{found.amount:f}"),
            ("deposit", f"{found.deposit:f}"),
            ("opened", when(found.opened_us)),
            ("statement", found.statement),
            ("rule by", when(found.rule_by_us)),
            ("verdict", found.verdict or "none yet"),
            ("decided", when(found.decided_us)),
            *(
                (ruling.arbitrator, said[ruling.upheld] + (f": {ruling.statement}" if ruling.statement else ""))
                for ruling in found.rulings
            ),
        ),
    )
