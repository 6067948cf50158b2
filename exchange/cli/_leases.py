"""``exchange lease``: see who holds what, until when."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from exchange.cli._asking import ask, print_all, print_one, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

__all__ = ["list_", "show_"]


def list_(*, market: str | None = None, venue: Venue | None = None, json: Json = False) -> None:
    """List the running leases of the agent, as lessee or lessor (an operator sees all).

    Parameters
    ----------
    market
        Only leases of this market.
    """
    print_all(
        ask(venue, lambda agent: agent.leases.list(market)),
        json,
        ("lease", "market", ">quantity", "lessee", "lessor", "state", ">rent", ">accrued", "ends", ">token"),
        lambda lease: (
            lease.id, lease.market, f"{lease.quantity:f}", lease.lessee, lease.lessor, lease.state, f"{lease.rent:f}",
            f"{lease.accrued:f}", when(lease.ends_us), lease.fencing_token,
        ),
        empty="There are no running leases.",
    )  # fmt: skip


def show_(lease: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one running lease.

    Parameters
    ----------
    lease
        Number of the lease.
    """
    missing = f"there is no running lease {lease} of this agent; see `exchange lease list`"
    found = ask(venue, lambda agent: agent.leases.get(lease), missing)
    print_one(
        found,
        json,
        (
            ("lease", found.id),
            ("market", found.market),
            ("what", f"{found.quantity:f} {found.asset}"),
            ("lessee", found.lessee),
            ("lessor", found.lessor),
            ("state", found.state),
            ("price", f"{found.price:f} per unit and term"),
            ("rent", f"{found.rent:f}, of which {found.accrued:f} accrued and {found.paid:f} paid"),
            ("compensation", f"{found.compensation:f}"),
            ("began", when(found.started_us)),
            ("ends", when(found.ends_us)),
            ("fencing token", found.fencing_token),
            ("let again at", found.renewal_price),
            ("dispute", found.dispute),
        ),
    )
