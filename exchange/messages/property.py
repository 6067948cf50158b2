"""Speak about modules and who owns them: family ``property``.

A module is anything that one agent at a time should answer for: a package, a service, a document. Amounts are in the
credit's smallest unit, times in microseconds of venue time. The ``fencing_token`` of a module rises whenever somebody
loses write access to it, so that whoever guards it can tell the present writer from one whose time is over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Command, Event, Outcome, Query, Result

__all__ = [
    "AllocateModule",
    "DependencyView",
    "GetModule",
    "GrantAccess",
    "ListModules",
    "MayWrite",
    "MayWriteResult",
    "ModuleOutcome",
    "ModuleResult",
    "ModuleView",
    "ModulesResult",
    "OwnershipMoved",
    "RegisterModule",
    "ReleaseModule",
    "RevokeGrant",
    "SetDependencies",
    "SetRegime",
    "WriteAccessMoved",
]

NewModuleId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_./-]{1,64}$")]
# Where a module is only named, an unknown name is a rejection, so its length is enough.
ModuleId = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Reference = Annotated[str, Meta(max_length=1_024)]
TermSeconds = Annotated[int, Meta(ge=1, le=31_536_000)]

Regime = Literal["private", "harberger"]
Title = Literal["allocated", "bought", "won", "homesteaded"]
HowMoved = Literal["allocated", "bought", "won", "homesteaded", "released", "lapsed", "foreclosed"]
WhyForeclosed = Literal["deposit_exhausted", "no_value_stated", "revoked"]
AttestationKind = Literal["work", "use", "check"]
AttestationEnd = Literal["final", "overturned", "dropped"]
ClaimEnd = Literal["homesteaded", "lapsed", "abandoned", "overturned", "taken", "revoked"]
RentalEnd = Literal["ended", "released", "bought", "foreclosed", "lapsed", "given_up", "revoked"]


# ── modules, owners, access ─────────────────────────────────────────────────────────────────────


class RegisterModule(Command, tag="property.register", kw_only=True):
    """Register a module with what it depends on.

    It belongs to nobody and can be homesteaded, unless an operator allocates it to an ``owner`` at once. Only an
    operator puts it under the ``harberger`` regime.
    """

    module: NewModuleId
    dependencies: Annotated[list[ModuleId], Meta(max_length=256)] = msgspec.field(default_factory=list)
    owner: AgentId | None = None
    regime: Regime = "private"


class SetDependencies(Command, tag="property.set_dependencies", kw_only=True):
    """Replace what a module depends on; what stays keeps since when it is registered.

    Its owner may, of a module without one whoever registered it, and operators.
    """

    module: ModuleId
    dependencies: Annotated[list[ModuleId], Meta(max_length=256)]


class AllocateModule(Command, tag="property.allocate", kw_only=True):
    """Give a module that belongs to nobody to an agent (operators)."""

    module: ModuleId
    agent: AgentId


class SetRegime(Command, tag="property.set_regime", kw_only=True):
    """Choose the regime of a module that belongs to nobody (operators)."""

    module: ModuleId
    regime: Regime


class ReleaseModule(Command, tag="property.release", kw_only=True):
    """Give a module up: it belongs to nobody and can be homesteaded; what is left of a deposit goes back (the owner).

    Not while others rent it.
    """

    module: ModuleId


class GrantAccess(Command, tag="property.grant", kw_only=True):
    """Let another agent write, too, until it is revoked or the module has another owner (the owner)."""

    module: ModuleId
    agent: AgentId


class RevokeGrant(Command, tag="property.revoke_grant", kw_only=True):
    """Take a grant back (the owner)."""

    module: ModuleId
    agent: AgentId


class ModuleOutcome(Outcome, tag="outcome"):
    """Answer what changed a module: the number of its present fencing token."""

    module: str = ""
    fencing_token: int = 0


class OwnershipMoved(Event, tag="property.ownership_moved", kw_only=True):
    """Tell the owners before and after that a module changed hands; without ``owner`` it belongs to nobody.

    ``price`` is what was paid for it. Under the harberger regime the owner must state a value before ``value_due_us``.
    """

    module: str
    how: HowMoved
    owner: str | None = None
    previous: str | None = None
    price: int = 0
    value_due_us: int | None = None


class WriteAccessMoved(Event, tag="property.write_access_moved", kw_only=True):
    """Tell whoever may write to a module, or could until now, whether it may from now on, and with which token."""

    module: str
    may_write: bool
    fencing_token: int


# ── queries and their results ───────────────────────────────────────────────────────────────────


class MayWrite(Query, tag="property.may_write"):
    """Ask whether an agent (by default the asking one) may write to a module now (anybody may)."""

    module: ModuleId
    agent: AgentId | None = None


class MayWriteResult(Result, tag="may_write", kw_only=True):
    """Answer ``MayWrite``; whoever guards the module refuses tokens below the highest that it has seen.

    ``until_us``: when that is bound to change by itself, if nothing else happens.
    """

    module: str
    agent: str
    may_write: bool
    fencing_token: int
    owner: str | None = None
    until_us: int | None = None


class GetModule(Query, tag="property.get"):
    """Ask for one module (anybody may); its rentals and checks are shown to those who have to do with them."""

    module: ModuleId


class ListModules(Query, tag="property.list"):
    """Ask for modules, by name, a page at a time: all, those of one ``owner`` (an agent), or those of nobody."""

    owner: AgentId | None = None
    unowned: bool = False
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class DependencyView(msgspec.Struct):
    """Name a module that another depends on, and since when that is registered."""

    module: str
    since_us: int


class ModuleView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a module."""

    module: str
    regime: Regime
    registered_us: int
    fencing_token: int
    owner: str | None = None
    owner_since_us: int | None = None
    dependencies: list[DependencyView] = msgspec.field(default_factory=list)
    grants: list[str] = msgspec.field(default_factory=list)


class ModuleResult(Result, tag="module", kw_only=True):
    """Answer ``GetModule``."""

    module: ModuleView


class ModulesResult(Result, tag="modules", kw_only=True):
    """Answer ``ListModules``; ``next`` is the ``after`` of the next page, if there is one."""

    modules: list[ModuleView]
    next: str | None = None
