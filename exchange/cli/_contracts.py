"""``exchange contract``: see conditional contracts."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from exchange.cli._asking import ask, print_all, print_one, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import ContractPart

__all__ = ["list_", "show_"]


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the contracts that have not ended in which the agent has a part."""
    print_all(
        ask(venue, lambda agent: agent.contracts.list()),
        json,
        ("contract", "title", "payer", "state", ">total", "assignees", "evaluated by"),
        lambda found: (
            found.id, found.title, found.payer, found.state, f"{found.total:f}",
            ", ".join(part.assignee for part in found.parts), when(found.evaluate_by_us),
        ),
        empty="There are no contracts.",
    )  # fmt: skip


def show_(contract: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one contract: its parts, its condition, and what that comes to so far.

    Parameters
    ----------
    contract
        Number of the contract.
    """
    missing = f"there is no contract {contract} in which this agent has a part; see `exchange contract list`"
    found = ask(venue, lambda agent: agent.contracts.get(contract), missing)
    so_far = {None: "not certain yet", True: "yes", False: "no"}[found.holds]
    print_one(
        found,
        json,
        (
            ("contract", found.id),
            ("title", found.title),
            ("detail", found.detail),
            ("payer", found.payer),
            ("state", found.state),
            ("total", f"{found.total:f}"),
            ("sign by", when(found.sign_by_us)),
            ("evaluated by", when(found.evaluate_by_us)),
            ("condition", msgspec.json.encode(found.condition).decode()),
            ("holds", so_far),
            *((f"part {part.name}", _part(part)) for part in found.parts),
            *(
                (
                    f"statement {made.attestation}",
                    f"{made.statement}: {'yes' if made.holds else 'no'}{'' if made.is_final else ', not final'}",
                )
                for made in found.statements
            ),
        ),
    )


def _part(part: ContractPart) -> str:
    facts = [f"{part.assignee} for {part.share:f}", f"bond {part.bond:f}", f"by {when(part.deliver_by_us)}"]
    facts.append("signed" if part.signed else "not signed")
    if part.settlement is not None:
        facts.append(f"settlement {part.settlement}")
    if part.delivered is not None:
        facts.append("delivered" if part.delivered else "not delivered")
    return ", ".join(facts)
