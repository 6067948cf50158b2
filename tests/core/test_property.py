"""Modules: who owns them, what they depend on, and who may write to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exchange.engine import Engine
from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.property import (
    AllocateModule,
    AttestWork,
    AuctionModule,
    ClaimModule,
    GrantAccess,
    RegisterModule,
    ReleaseModule,
    RevokeGrant,
    SetDependencies,
    SetRegime,
)
from exchange.messages.property_views import GetModule, ListModules, MayWrite
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.estate import Estate
from tests.core.rates import WITH_RATES
from tests.core.work import HOUR_US

if TYPE_CHECKING:
    from exchange.messages.base import Command


@pytest.fixture
def venue() -> Estate:
    return Estate()


# ── registering ─────────────────────────────────────────────────────────────────────────────────


def test_a_module_is_registered_by_anybody_and_allocated_by_an_operator(venue: Estate) -> None:
    venue.must("ann", RegisterModule, module="core")
    assert venue.module("core").owner is None
    assert venue.ownership.has_module("core")
    assert not venue.ownership.has_module("auth")
    assert venue.ownership.owner_of("core") is None
    assert venue.ownership.owner_since("core") == 0
    venue.advance(5)
    venue.must(OPERATOR, AllocateModule, module="core", agent="ben")
    assert venue.ownership.owner_of("core") == "ben"
    assert venue.ownership.owner_since("core") == venue.time_us
    [event] = venue.told("ben", "property.ownership_moved")
    assert (event.how, event.owner, event.previous) == ("allocated", "ben", None)


def test_an_operator_registers_and_allocates_at_once(venue: Estate) -> None:
    venue.own("ann", "core")
    view = venue.module("core")
    assert (view.owner, view.owner_since_us, view.fencing_token) == ("ann", venue.time_us, 1)


def test_dependencies_count_from_when_they_were_registered(venue: Estate) -> None:
    for name in ("core", "auth"):
        venue.own("ann", name)
    venue.own("ben", "app", dependencies=["core"])
    first_us = venue.time_us
    venue.advance(1)
    venue.must("ben", SetDependencies, module="app", dependencies=["auth", "core"])
    ownership = venue.ownership
    assert ownership.depends_on("app", "core", first_us)
    assert not ownership.depends_on("app", "core", first_us - 1)
    assert not ownership.depends_on("app", "auth", first_us)
    assert ownership.depends_on("app", "auth", venue.time_us)
    assert not ownership.depends_on("nothing", "core", first_us)
    # Taken out and put in again it counts anew.
    venue.must("ben", SetDependencies, module="app", dependencies=["auth"])
    assert not ownership.depends_on("app", "core", venue.time_us)
    venue.must("ben", SetDependencies, module="app", dependencies=["auth", "core"])
    assert not ownership.depends_on("app", "core", first_us)


def test_nobody_keeps_others_from_depending_on_what_they_depend_on() -> None:
    """However many modules of one owner depend on it: whoever is kept out would never be compensated."""
    venue = Estate(check_every=2_000)
    venue.own("ann", "core")
    for number in range(1_001):
        venue.must("ben", RegisterModule, module=f"b{number}", dependencies=["core"])
    venue.must("cid", RegisterModule, module="app", dependencies=["core"])
    assert venue.ownership.depends_on("app", "core", venue.time_us)


def test_modules_may_depend_on_each_other(venue: Estate) -> None:
    venue.own("ann", "a")
    venue.own("ben", "b", dependencies=["a"])
    venue.must("ann", SetDependencies, module="a", dependencies=["b"])
    assert venue.ownership.depends_on("a", "b", venue.time_us)
    assert venue.ownership.depends_on("b", "a", venue.time_us)


def test_who_registered_a_module_describes_it_as_long_as_it_belongs_to_nobody(venue: Estate) -> None:
    venue.own("ann", "core")
    venue.must("ben", RegisterModule, module="app")
    rejected = venue.submit("cid", SetDependencies, module="app", dependencies=["core"])
    assert_rejected(rejected, Reason.NOT_PERMITTED)
    venue.must("ben", SetDependencies, module="app", dependencies=["core"])
    venue.must(OPERATOR, AllocateModule, module="app", agent="cid")
    rejected = venue.submit("ben", SetDependencies, module="app", dependencies=[])
    assert_rejected(rejected, Reason.NOT_PERMITTED)
    venue.must("cid", SetDependencies, module="app", dependencies=[])


def test_modules_are_listed_by_name(venue: Estate) -> None:
    for owner, name in (("ann", "c"), ("ben", "a"), ("ann", "b")):
        venue.own(owner, name)
    venue.must("ben", RegisterModule, module="d")

    def listed(**query: Any) -> tuple[list[str], str | None]:
        result: Any = venue.engine.query("cid", ListModules(**query))
        return [view.module for view in result.modules], result.next

    assert listed() == (["a", "b", "c", "d"], None)
    assert listed(limit=3) == (["a", "b", "c"], "c")
    assert listed(after="c", limit=3) == (["d"], None)
    assert listed(owner="ann") == (["b", "c"], None)
    assert listed(owner="cid") == ([], None)
    assert listed(unowned=True) == (["d"], None)


LIMITS = Settings(max_modules=4, max_modules_per_owner=2, max_module_dependencies=2, max_module_grants=1)


@pytest.mark.parametrize(
    ("agent", "kind", "fields", "reason"),
    [
        ("ann", RegisterModule, {"module": "core"}, Reason.MODULE_EXISTS),
        ("eye", RegisterModule, {"module": "new"}, Reason.NOT_PERMITTED),
        ("ann", RegisterModule, {"module": "new", "owner": "ann"}, Reason.NOT_PERMITTED),
        ("ann", RegisterModule, {"module": "new", "regime": "harberger"}, Reason.NOT_PERMITTED),
        ("ann", RegisterModule, {"module": "new", "dependencies": ["what"]}, Reason.UNKNOWN_MODULE),
        ("ann", RegisterModule, {"module": "new", "dependencies": ["new"]}, Reason.INVALID_MODULE_TERMS),
        ("ann", RegisterModule, {"module": "new", "dependencies": ["app", "app"]}, Reason.INVALID_MODULE_TERMS),
        ("ann", RegisterModule, {"module": "new", "dependencies": list("abc")}, Reason.INVALID_MODULE_TERMS),
        ("ben", RegisterModule, {"module": "new"}, Reason.TOO_MANY_MODULES),
        (OPERATOR, RegisterModule, {"module": "new", "owner": "nobody"}, Reason.UNKNOWN_AGENT),
        (OPERATOR, RegisterModule, {"module": "new", "owner": "gone"}, Reason.AGENT_REVOKED),
        ("ann", SetDependencies, {"module": "what", "dependencies": []}, Reason.UNKNOWN_MODULE),
        ("ann", SetDependencies, {"module": "core", "dependencies": []}, Reason.NO_CHANGE),
        ("ann", SetDependencies, {"module": "app", "dependencies": []}, Reason.NOT_PERMITTED),
        ("ann", AllocateModule, {"module": "free", "agent": "ann"}, Reason.NOT_PERMITTED),
        (OPERATOR, AllocateModule, {"module": "what", "agent": "ann"}, Reason.UNKNOWN_MODULE),
        (OPERATOR, AllocateModule, {"module": "core", "agent": "ben"}, Reason.WRONG_STATE),
        (OPERATOR, AllocateModule, {"module": "free", "agent": "what"}, Reason.UNKNOWN_AGENT),
        (OPERATOR, SetRegime, {"module": "core", "regime": "harberger"}, Reason.WRONG_STATE),
        (OPERATOR, SetRegime, {"module": "free", "regime": "private"}, Reason.NO_CHANGE),
        (OPERATOR, SetRegime, {"module": "what", "regime": "private"}, Reason.UNKNOWN_MODULE),
        ("ben", ReleaseModule, {"module": "core"}, Reason.NOT_PERMITTED),
        ("ben", ReleaseModule, {"module": "what"}, Reason.UNKNOWN_MODULE),
        ("ann", GrantAccess, {"module": "what", "agent": "ben"}, Reason.UNKNOWN_MODULE),
        ("ben", GrantAccess, {"module": "core", "agent": "ben"}, Reason.NOT_PERMITTED),
        ("ann", GrantAccess, {"module": "core", "agent": "ann"}, Reason.NO_CHANGE),
        ("ann", GrantAccess, {"module": "core", "agent": "cid"}, Reason.NO_CHANGE),
        ("ann", GrantAccess, {"module": "core", "agent": "what"}, Reason.UNKNOWN_AGENT),
        ("ann", GrantAccess, {"module": "core", "agent": "gone"}, Reason.UNKNOWN_AGENT),
        ("ann", GrantAccess, {"module": "core", "agent": "ben"}, Reason.TOO_MANY_GRANTS),
        ("ann", RevokeGrant, {"module": "what", "agent": "ben"}, Reason.UNKNOWN_MODULE),
        ("ben", RevokeGrant, {"module": "core", "agent": "cid"}, Reason.NOT_PERMITTED),
        ("ann", RevokeGrant, {"module": "core", "agent": "ben"}, Reason.NO_CHANGE),
    ],
)
def test_what_is_rejected(agent: str, kind: type[Command], fields: dict[str, Any], reason: Reason) -> None:
    venue = Estate(settings=LIMITS)
    venue.register("gone", endowment=0)
    venue.must(OPERATOR, RevokeAgent, agent="gone")
    venue.own("ann", "core")
    venue.must("ben", RegisterModule, module="app", dependencies=["core"])
    venue.must("ben", RegisterModule, module="free")
    venue.must("ann", GrantAccess, module="core", agent="cid")
    assert_rejected(venue.submit(agent, kind, **fields), reason)


def test_a_venue_and_an_owner_have_so_many_modules() -> None:
    venue = Estate(settings=LIMITS)
    for name in ("a", "b"):
        venue.own("ann", name)
    assert_rejected(venue.submit(OPERATOR, RegisterModule, module="c", owner="ann"), Reason.TOO_MANY_MODULES)
    for name in ("c", "d"):
        venue.own("ben", name)
    assert_rejected(venue.submit("cid", RegisterModule, module="e"), Reason.TOO_MANY_MODULES)


# ── write access ────────────────────────────────────────────────────────────────────────────────


def test_the_owner_writes_and_lets_others_write(venue: Estate) -> None:
    venue.own("ann", "core")
    assert venue.may_write("core", "ann") == (True, 1)
    assert venue.may_write("core", "ben") == (False, 1)
    venue.must("ann", GrantAccess, module="core", agent="ben")
    # One more may write: nobody's token goes stale for that.
    assert venue.may_write("core", "ben") == (True, 1)
    assert [event.fencing_token for event in venue.told("ann", "property.write_access_moved")] == [1]
    venue.must("ann", RevokeGrant, module="core", agent="ben")
    assert venue.may_write("core", "ben") == (False, 2)
    assert venue.may_write("core", "ann") == (True, 2)
    heard = [(event.may_write, event.fencing_token) for event in venue.told("ben", "property.write_access_moved")]
    assert heard == [(True, 1), (False, 2)]
    heard = [(event.may_write, event.fencing_token) for event in venue.told("ann", "property.write_access_moved")]
    assert heard == [(True, 1), (True, 2)]


def test_anybody_may_ask_who_may_write(venue: Estate) -> None:
    venue.own("ann", "core")
    result: Any = venue.engine.query("eye", MayWrite(module="core", agent="ann"))
    assert (result.may_write, result.owner) == (True, "ann")
    assert not venue.engine.query("eye", MayWrite(module="core")).may_write  # type: ignore[attr-defined]
    assert venue.unknown("eye", MayWrite(module="what"))
    assert venue.unknown("eye", GetModule(module="what"))


def test_a_guard_hears_until_when_an_answer_holds() -> None:
    """Whatever takes the access away by itself is told before: a lapse, a value that is not stated, an auction."""
    venue = Estate()

    def until_us(module: str = "core") -> int | None:
        result: Any = venue.engine.query("eye", MayWrite(module=module, agent="ann"))
        until_us: int | None = result.until_us
        return until_us

    venue.must("dot", RegisterModule, module="core")
    lapses_at_us = venue.must("ann", ClaimModule, module="core").data["lapses_at_us"]
    assert until_us() == lapses_at_us
    final_at_us = venue.must("ci", AttestWork, module="core", agent="ann").data["final_at_us"]
    assert until_us() is None
    venue.advance_to(final_at_us)
    assert until_us() == venue.module().lapses_at_us
    venue.must("ann", AuctionModule, module="core", reserve=1, closes_at_us=venue.time_us + HOUR_US)
    assert until_us() == venue.time_us + HOUR_US
    venue.own("ann", "taxed", regime="harberger")
    assert until_us("taxed") == venue.module("taxed").value_due_us
    venue.state("ann", "taxed", 100, 10)
    assert until_us("taxed") == venue.module("taxed").exhausted_at_us
    venue.own("ann", "mine")
    assert until_us("mine") is None


def test_nobody_writes_to_what_was_released(venue: Estate) -> None:
    venue.own("ann", "core")
    venue.must("ann", GrantAccess, module="core", agent="ben")
    venue.must("ann", ReleaseModule, module="core")
    assert venue.module("core").grants == []
    assert venue.may_write("core", "ann") == (False, 2)
    assert venue.may_write("core", "ben") == (False, 2)
    venue.must(OPERATOR, AllocateModule, module="core", agent="ben")
    assert venue.may_write("core", "ben") == (True, 3)


def test_a_revoked_agent_has_neither_modules_nor_grants(venue: Estate) -> None:
    venue.own("ann", "core")
    venue.own("ben", "app")
    venue.must("ben", GrantAccess, module="app", agent="ann")
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.module("core").owner is None
    assert venue.module("app").grants == []
    assert venue.may_write("core", "ann") == (False, 2)
    assert venue.may_write("app", "ann") == (False, 2)


def test_everything_is_known_after_a_reload(venue: Estate) -> None:
    venue.own("ann", "core")
    venue.own("ben", "app", dependencies=["core"])
    venue.must("ann", GrantAccess, module="core", agent="ben")
    dumped = venue.engine.dump()
    engine = Engine(WITH_RATES)
    engine.load(dumped)
    assert engine.dump() == dumped
    assert engine.check_invariants() == []
    venue.engine = engine
    assert venue.may_write("core", "ben") == (True, 1)
    venue.must("ann", RevokeGrant, module="core", agent="ben")
