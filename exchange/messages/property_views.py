"""Ask about modules and who owns them: the queries of family ``property``, and what is answered."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from exchange.messages.base import AgentId, Query, Result
from exchange.messages.property import AttestationKind, ModuleId, Regime, Title

__all__ = [
    "CheckView",
    "ClaimView",
    "DependencyView",
    "GetModule",
    "ListModuleAuctions",
    "ListModuleBids",
    "ListModuleRentals",
    "ListModules",
    "MayWrite",
    "MayWriteResult",
    "ModuleAuctionView",
    "ModuleAuctionsResult",
    "ModuleBidView",
    "ModuleBidsResult",
    "ModuleResult",
    "ModuleView",
    "ModulesResult",
    "RentalOfferView",
    "RentalView",
    "RentalsResult",
]


class MayWrite(Query, tag="property.may_write"):
    """Ask whether an agent (by default the asking one) may write to a module now (anybody may)."""

    module: ModuleId
    agent: AgentId | None = None


class MayWriteResult(Result, tag="may_write", kw_only=True):
    """Answer ``MayWrite``; whoever guards the module refuses tokens below the highest that it has seen.

    ``until_us``: when that may change by itself, without anybody's command.
    """

    module: str
    agent: str
    may_write: bool
    fencing_token: int
    owner: str | None = None
    until_us: int | None = None


class GetModule(Query, tag="property.get"):
    """Ask for one module, with all that is open about it but sealed bids (anybody may)."""

    module: ModuleId


class ListModules(Query, tag="property.list"):
    """Ask for modules, by name, a page at a time: all, those of one ``owner`` (an agent), or those of nobody."""

    owner: AgentId | None = None
    unowned: bool = False
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class ListModuleAuctions(Query, tag="property.auctions"):
    """Ask for the auctions that are open, by number, a page at a time (anybody may)."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class ListModuleBids(Query, tag="property.bids"):
    """Ask for the agent's own sealed bids for modules."""


class ListModuleRentals(Query, tag="property.rentals"):
    """Ask for the running rentals in which the agent is owner or renter, by number, a page at a time."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class DependencyView(msgspec.Struct):
    """Name a module that another depends on, and since when that is registered."""

    module: str
    since_us: int


class ClaimView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a claim; ``attested``: its work waits to be final."""

    claim: int
    agent: str
    attested: bool = False
    lapses_at_us: int | None = None


class RentalOfferView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an offer of a rental."""

    offer: int
    price: int
    term_seconds: int
    exclusive: bool
    renter: str | None = None


class CheckView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an attestation that is not final; ``score`` only of a check."""

    attestation: int
    kind: AttestationKind
    agent: str
    attester: str
    final_at_us: int | None = None
    score: int | None = None
    reference: str = ""
    dispute: int | None = None


class RentalView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a rental; ``accrued`` is the rent due to the owner up to now, ``paid`` what it was paid of that."""

    rental: int
    module: str
    owner: str
    renter: str
    rent: int
    accrued: int
    paid: int
    started_us: int
    ends_us: int
    exclusive: bool


class ModuleView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a module.

    ``value``, ``deposit`` (what is left now) and ``exhausted_at_us`` are of the harberger regime. ``writer`` still has
    the write access until ``handover_us``. ``price`` is what it is offered for, to ``buyer`` or to anybody. Of an
    auction everybody knows when it closes and the reserve.
    """

    module: str
    regime: Regime
    registered_us: int
    fencing_token: int
    owner: str | None = None
    owner_since_us: int | None = None
    title: Title | None = None
    dependencies: list[DependencyView] = msgspec.field(default_factory=list)
    grants: list[str] = msgspec.field(default_factory=list)
    writer: str | None = None
    handover_us: int | None = None
    price: int | None = None
    offer: int | None = None
    buyer: str | None = None
    until_us: int | None = None
    auction: int | None = None
    closes_at_us: int | None = None
    reserve: int | None = None
    is_foreclosure: bool = False
    value: int | None = None
    value_due_us: int | None = None
    deposit: int | None = None
    exhausted_at_us: int | None = None
    lapses_at_us: int | None = None
    last_price: int | None = None
    exclusive_rental: int | None = None
    rental_offers: list[RentalOfferView] = msgspec.field(default_factory=list)
    claims: list[ClaimView] = msgspec.field(default_factory=list)
    attestations: list[CheckView] = msgspec.field(default_factory=list)


class ModuleResult(Result, tag="module", kw_only=True):
    """Answer ``GetModule``."""

    module: ModuleView


class ModulesResult(Result, tag="modules", kw_only=True):
    """Answer ``ListModules``; ``next`` is the ``after`` of the next page, if there is one."""

    modules: list[ModuleView]
    next: str | None = None


class ModuleAuctionView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an open auction; without a ``seller`` it is of what was foreclosed. Of bids nothing shows."""

    auction: int
    module: str
    reserve: int
    closes_at_us: int
    seller: str | None = None


class ModuleAuctionsResult(Result, tag="module_auctions", kw_only=True):
    """Answer ``ListModuleAuctions``; ``next`` is the ``after`` of the next page, if there is one."""

    auctions: list[ModuleAuctionView]
    next: int | None = None


class ModuleBidView(msgspec.Struct):
    """Describe a sealed bid of the agent."""

    module: str
    auction: int
    price: int


class ModuleBidsResult(Result, tag="module_bids", kw_only=True):
    """Answer ``ListModuleBids``."""

    bids: list[ModuleBidView]


class RentalsResult(Result, tag="rentals", kw_only=True):
    """Answer ``ListModuleRentals``; ``next`` is the ``after`` of the next page, if there is one."""

    rentals: list[RentalView]
    next: int | None = None
