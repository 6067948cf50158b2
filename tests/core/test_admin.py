"""Test agents, owners, roles, halts, assets: family ``admin``."""

from __future__ import annotations

import pytest

from exchange.engine import Engine, genesis_batch
from exchange.mechanisms.base import NotFound
from exchange.messages.admin import (
    Genesis,
    GetBalances,
    GetConservation,
    HaltAgent,
    HaltMarket,
    IssueAsset,
    ListAgents,
    RegisterAgent,
    RegisterAsset,
    ResumeAgent,
    RetireAsset,
    RevokeAgent,
    Settings,
    SuspendAgent,
)
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, START_US, Venue, assert_rejected
from tests.core.scenes import scene

# ── genesis and registration ────────────────────────────────────────────────────────────────────


def test_genesis_creates_the_supply_and_the_first_operator() -> None:
    """All credits are in the treasury; there is one agent, the operator, with nothing."""
    engine = Engine()
    engine.apply(genesis_batch("root", START_US, supply=500))
    rows = engine.query("root", GetConservation()).rows  # type: ignore[attr-defined]
    assert [(row.asset, row.issued, row.difference) for row in rows] == [("credit", 500, 0)]
    assert rows[0].by_kind == {"agent": 0, "escrow": 0, "treasury": 500, "public_fund": 0, "fees": 0}
    assert [agent.roles for agent in engine.agents.values()] == [("operator",)]
    assert engine.check_invariants() == []


def test_genesis_happens_once(venue: Venue) -> None:
    """No agent can repeat it, an operator neither."""
    assert_rejected(venue.submit(OPERATOR, Genesis, supply=1, operator="me"), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("alice", Genesis, supply=1, operator="me"), Reason.NOT_PERMITTED)


def test_an_endowment_is_a_transfer_from_the_treasury() -> None:
    """The default is the venue's; it is told to the new agent and to who registered it."""
    venue = Venue(supply=1_000, settings=Settings(endowment=70))
    answer = venue.must(OPERATOR, RegisterAgent, agent="ann", owner="x")
    assert (answer.outcome.agent, answer.outcome.endowment) == ("ann", 70)
    assert venue.balance("ann") == (70, 0)
    assert venue.system_credits("treasury") == 930
    assert venue.heard("ann") == venue.heard(OPERATOR) == ["admin.agent_registered"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent": "ann"}, Reason.AGENT_EXISTS),
        ({"agent": "treasury"}, Reason.AGENT_EXISTS),
        ({"agent": "fees"}, Reason.AGENT_EXISTS),
        ({"endowment": 51}, Reason.ENDOWMENT_CAP),
        ({"owner": "y", "endowment": 81}, Reason.INSUFFICIENT_CREDITS),
    ],
)
def test_registration_is_guarded(fields: dict[str, object], reason: Reason) -> None:
    """Names are unique, owners capped over all their agents, the treasury finite."""
    venue = Venue(supply=130, settings=Settings(endowment=50, owner_endowment_cap=100))
    venue.register("ann", owner="x")
    assert_rejected(venue.submit(OPERATOR, RegisterAgent, **{"agent": "ben", "owner": "x", **fields}), reason)
    assert venue.submit(OPERATOR, RegisterAgent, agent="ben", owner="x").accepted


def test_only_operators_register(venue: Venue) -> None:
    """A trader may not admit anybody."""
    assert_rejected(venue.submit("alice", RegisterAgent, agent="new", owner="alice"), Reason.NOT_PERMITTED)


def test_another_operator_can_be_registered(venue: Venue) -> None:
    """Roles are given by registration."""
    venue.register("chief", roles=["operator", "trader"])
    assert venue.submit("chief", RegisterAgent, agent="new", owner="x").accepted
    assert venue.buy("chief", 1, 1).accepted


# ── suspend, halt, resume ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [SuspendAgent, HaltAgent])
def test_an_operator_stops_and_resumes_an_agent(venue: Venue, kind: type) -> None:
    """Orders stay; both the agent and the operator hear of it; twice is no change."""
    venue.buy("alice", 1, 1)
    venue.must(OPERATOR, kind, agent="alice")
    assert venue.heard("alice")[-1] == venue.heard(OPERATOR)[-1] == "admin.agent_state_changed"
    assert_rejected(venue.submit(OPERATOR, kind, agent="alice"), Reason.NO_CHANGE)
    assert len(venue.orders("alice")) == 1
    venue.sell("bob", 1, 1)
    assert venue.balance("alice", "cpu") == (1_001, 0)
    venue.must(OPERATOR, ResumeAgent, agent="alice")
    assert venue.buy("alice", 1, 1).accepted


def test_an_agent_may_be_halted_and_resumed_by_its_fleet(venue: Venue) -> None:
    """Another agent of the owner may; a stranger may not; the halted one cannot free itself."""
    venue.register("alma", owner="alice")
    assert_rejected(venue.submit("bob", HaltAgent, agent="alice"), Reason.NOT_PERMITTED)
    venue.must("alma", HaltAgent, agent="alice")
    assert_rejected(venue.submit("alice", ResumeAgent, agent="alice"), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("bob", ResumeAgent, agent="alice"), Reason.NOT_PERMITTED)
    assert venue.submit("alma", ResumeAgent, agent="alice").accepted


def test_a_fleet_cannot_undo_a_suspension(venue: Venue) -> None:
    """Neither by resuming nor by halting first and resuming then."""
    venue.register("alma", owner="alice")
    venue.must(OPERATOR, SuspendAgent, agent="alice")
    assert_rejected(venue.submit("alma", ResumeAgent, agent="alice"), Reason.NOT_PERMITTED)
    venue.submit("alma", HaltAgent, agent="alice")
    venue.submit("alma", ResumeAgent, agent="alice")
    assert_rejected(venue.buy("alice", 1, 1), Reason.AGENT_SUSPENDED)


@pytest.mark.parametrize("kind", [SuspendAgent, HaltAgent, ResumeAgent, RevokeAgent])
def test_an_unknown_agent_cannot_be_stopped(venue: Venue, kind: type) -> None:
    """The operator learns that nobody has this name."""
    assert_rejected(venue.submit(OPERATOR, kind, agent="nobody"), Reason.UNKNOWN_AGENT)


def test_an_unknown_market_cannot_be_halted(venue: Venue) -> None:
    """The operator learns that there is no such market; others may halt none."""
    assert_rejected(venue.submit(OPERATOR, HaltMarket, market="none", state="halted"), Reason.UNKNOWN_MARKET)
    assert_rejected(venue.submit("alice", HaltMarket, market="cpu", state="halted"), Reason.NOT_PERMITTED)


# ── revoke ──────────────────────────────────────────────────────────────────────────────────────


def test_revoking_cancels_orders_and_passes_the_rest_to_the_owners_oldest_agent(venue: Venue) -> None:
    """Orders and stops end, holds come back, all assets move in one step."""
    venue.register("alma", "anna", owner="alice", endowment=500)
    venue.buy("alma", 2, 100)
    venue.buy("alma", 1, 120, order_type="stop", trigger_price=110)
    venue.issue("alma", 7)
    venue.sell("alma", 3, 200)
    venue.must(OPERATOR, RevokeAgent, agent="alma")
    assert venue.balance("alma") == venue.balance("alma", "cpu") == (0, 0)
    assert venue.balance("alice") == (10_500, 0)
    assert venue.balance("alice", "cpu") == (1_007, 0)
    assert [line for line in venue.heard("alma") if "revoked" in line] == [
        "#1 canceled 2 revoked", "#2 canceled 1 revoked", "#3 canceled 3 revoked",
    ]  # fmt: skip
    assert venue.book() == ([], [])


def test_the_heir_is_the_oldest_that_is_left(venue: Venue) -> None:
    """With the oldest revoked, its money goes to the next; with nobody left, to the treasury."""
    venue.register("alma", "anna", owner="alice", endowment=500)
    before = venue.system_credits("treasury")
    venue.must(OPERATOR, RevokeAgent, agent="alice")
    assert venue.balance("alma") == (10_500, 0)
    venue.must(OPERATOR, RevokeAgent, agent="anna")
    assert venue.balance("alma") == (11_000, 0)
    venue.must(OPERATOR, RevokeAgent, agent="alma")
    assert venue.system_credits("treasury") == before + 11_000


def test_revocation_is_for_good(venue: Venue) -> None:
    """A revoked agent is not resumed, halted, registered again, nor does its switch fire."""
    venue.must("alice", CancelAllAfter, seconds=5)
    venue.must(OPERATOR, RevokeAgent, agent="alice")
    for kind in (ResumeAgent, HaltAgent, SuspendAgent, RevokeAgent):
        assert_rejected(venue.submit(OPERATOR, kind, agent="alice"), Reason.AGENT_REVOKED)
    assert_rejected(venue.submit(OPERATOR, RegisterAgent, agent="alice", owner="x"), Reason.AGENT_EXISTS)
    assert_rejected(venue.submit("alice", CancelAllAfter, seconds=5), Reason.AGENT_REVOKED)
    assert_rejected(venue.submit(OPERATOR, IssueAsset, asset="cpu", agent="alice", quantity=1), Reason.UNKNOWN_AGENT)
    venue.advance(10)


def test_an_operator_cannot_revoke_itself(venue: Venue) -> None:
    """A venue must not lose its last operator by a slip."""
    assert_rejected(venue.submit(OPERATOR, RevokeAgent, agent=OPERATOR), Reason.NOT_PERMITTED)


def test_revoking_in_an_auction_leaves_the_others_alone() -> None:
    """Orders of the revoked agent go from the auction; the rest trades."""
    venue = scene(auction_seconds=10)
    venue.buy("alice", 5, 100)
    venue.buy("bob", 5, 100)
    venue.sell("carol", 5, 100)
    venue.must(OPERATOR, RevokeAgent, agent="alice")
    venue.advance(10)
    assert venue.heard("bob")[-1] == "#2 auction 5@100 left 0"


# ── assets ──────────────────────────────────────────────────────────────────────────────────────


def test_only_the_issuer_issues_and_retires(venue: Venue) -> None:
    """Each time with an event, and conserved in between."""
    venue.must(OPERATOR, RegisterAsset, asset="gpu", issuer="alice")
    for kind, fields in ((IssueAsset, {"agent": "bob"}), (RetireAsset, {})):
        for sender in (OPERATOR, "bob"):
            answer = venue.submit(sender, kind, asset="gpu", quantity=1, **fields)
            assert_rejected(answer, Reason.NOT_ISSUER)
    venue.must("alice", IssueAsset, asset="gpu", agent="bob", quantity=5)
    assert venue.heard("bob")[-1] == "admin.asset_changed"
    assert venue.balance("bob", "gpu") == (5, 0)
    # What is to be retired must be on the issuer's own account, and available.
    assert_rejected(venue.submit("alice", RetireAsset, asset="gpu", quantity=1), Reason.INSUFFICIENT_ASSET)
    venue.must("alice", IssueAsset, asset="gpu", agent="alice", quantity=5)
    venue.must("alice", RetireAsset, asset="gpu", quantity=4)
    rows = venue.engine.query("alice", GetConservation()).rows  # type: ignore[attr-defined]
    assert [(row.issued, row.difference) for row in rows if row.asset == "gpu"] == [(6, 0)]


def test_held_units_cannot_be_retired(venue: Venue) -> None:
    """What an order offers is not available."""
    venue.register("maker", roles=["trader"])
    venue.must(OPERATOR, RegisterAsset, asset="gpu", issuer="maker")
    venue.market("gpu", base="gpu")
    venue.must("maker", IssueAsset, asset="gpu", agent="maker", quantity=5)
    venue.sell("maker", 3, 1, market="gpu")
    assert_rejected(venue.submit("maker", RetireAsset, asset="gpu", quantity=3), Reason.INSUFFICIENT_ASSET)
    venue.must("maker", RetireAsset, asset="gpu", quantity=2)


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (RegisterAsset, {"asset": "cpu"}, Reason.ASSET_EXISTS),
        (RegisterAsset, {"asset": "credit"}, Reason.ASSET_EXISTS),
        (RegisterAsset, {"asset": "x", "issuer": "nobody"}, Reason.UNKNOWN_AGENT),
        (IssueAsset, {"asset": "x", "agent": "alice", "quantity": 1}, Reason.UNKNOWN_ASSET),
        (IssueAsset, {"asset": "credit", "agent": "alice", "quantity": 1}, Reason.NOT_ISSUER),
        (IssueAsset, {"asset": "cpu", "agent": "nobody", "quantity": 1}, Reason.UNKNOWN_AGENT),
        (IssueAsset, {"asset": "cpu", "agent": "alice", "quantity": MAX_AMOUNT}, Reason.INVALID_QUANTITY),
        (RetireAsset, {"asset": "credit", "quantity": 1}, Reason.NOT_ISSUER),
    ],
)
def test_assets_are_guarded(venue: Venue, kind: type, fields: dict[str, object], reason: Reason) -> None:
    """Names are unique; credits have no issuer; no more may exist than the wire can say."""
    assert_rejected(venue.submit(OPERATOR, kind, **fields), reason)


# ── who may see what ────────────────────────────────────────────────────────────────────────────


def test_balances_are_seen_by_the_owner_and_by_operators(venue: Venue) -> None:
    """Nobody else learns them, nor that the agent exists."""
    venue.register("alma", owner="alice")
    ask = GetBalances(agent="alice")
    assert venue.engine.query("alma", ask).agent == "alice"  # type: ignore[attr-defined]
    assert venue.engine.query(OPERATOR, ask).agent == "alice"  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        venue.engine.query("bob", ask)


def test_agents_are_listed_in_pages(venue: Venue) -> None:
    """An operator sees all, page by page; an agent sees its fleet."""
    first = venue.engine.query(OPERATOR, ListAgents(limit=3))
    assert [agent.agent for agent in first.agents] == ["alice", "bob", "carol"]  # type: ignore[attr-defined]
    rest = venue.engine.query(OPERATOR, ListAgents(after=first.next))  # type: ignore[attr-defined]
    assert [agent.agent for agent in rest.agents] == ["dave", "operator"]  # type: ignore[attr-defined]
    own = venue.engine.query("bob", ListAgents())
    assert [agent.agent for agent in own.agents] == ["bob"]  # type: ignore[attr-defined]


def test_the_venue_admits_only_so_many_agents() -> None:
    """Beyond the cap a registration is rejected and changes nothing."""
    venue = Venue(settings=Settings(max_agents=2))
    venue.register("alice")
    assert_rejected(venue.submit(OPERATOR, RegisterAgent, agent="bob", owner="bob"), Reason.TOO_MANY_AGENTS)
