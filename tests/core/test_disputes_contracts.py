"""Disputes over what contracts wait for: attestations and parts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from exchange.messages.contracts import Attest, GetContract, ProposeContract, SignContract
from exchange.messages.disputes import GetDispute, OpenDispute, Rule, Stake
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.work import CREDIT, DAY_US, HOUR_US, WORKERS, Work

ARBITRATORS = ("ada", "bob", "cyd")
RAIN: dict[str, Any] = {"type": "statement", "statement": "it rained", "attester": "ci"}
EITHER: dict[str, Any] = {"type": "any", "of": [{"type": "part", "part": name} for name in "ab"]}


@pytest.fixture
def venue() -> Work:
    built = Work()
    built.register(*ARBITRATORS, roles=["arbitrator"], endowment=100 * CREDIT)
    built.register("mate", owner="ann", roles=["arbitrator"], endowment=100 * CREDIT)
    for name in (*ARBITRATORS, "mate"):
        built.must(name, Stake, amount=60 * CREDIT)
    built.advance_to(built.time_us + 7 * DAY_US)
    return built


def bind(venue: Work, condition: dict[str, Any]) -> None:
    """Let a poster and three workers sign a contract over 50."""
    until_us = venue.time_us + 3 * DAY_US
    parts = [
        {"name": name, "assignee": agent, "share": share * CREDIT, "deliver_by_us": until_us}
        for name, agent, share in zip("abc", WORKERS, (20, 20, 10), strict=True)
    ]
    command = venue.command(
        "poster",
        ProposeContract,
        title="work",
        parts=parts,
        condition=condition,
        sign_by_us=venue.time_us + HOUR_US,
        evaluate_by_us=until_us,
    )
    answer = venue.send("poster", msgspec.convert(msgspec.to_builtins(command), ProposeContract))
    assert answer.accepted, answer.outcome
    for name in WORKERS:
        venue.must(name, SignContract, contract=1)


def decide(venue: Work, *, upheld: bool) -> None:
    venue.advance(10)
    venue.advance(1)
    for name in ARBITRATORS:
        venue.must(name, Rule, dispute=1, upheld=upheld)


def state(venue: Work) -> str:
    contract = venue.engine.query(OPERATOR, GetContract(contract=1)).contract  # type: ignore[attr-defined]
    return str(contract.state)


@pytest.mark.parametrize(
    ("holds", "disputer", "upheld", "outcome"),
    [(True, "poster", True, "not_met"), (True, "poster", False, "met"), (False, "ben", True, "met")],
)
def test_an_attestation_is_final_when_its_dispute_is_decided(
    venue: Work, holds: bool, disputer: str, upheld: bool, outcome: str
) -> None:
    bind(venue, RAIN)
    venue.must("ci", Attest, contract=1, statement="it rained", holds=holds)
    other = "ann" if disputer == "poster" else "poster"
    assert_rejected(venue.submit(other, OpenDispute, family="contracts", number=1), Reason.NOT_PERMITTED)
    answer = venue.must(disputer, OpenDispute, family="contracts", number=1)
    # 5 % of 50.
    assert answer.data["deposit"] == 2_500_000
    venue.advance_to(venue.time_us + DAY_US)
    assert state(venue) == "bound"
    venue.reload()
    decide(venue, upheld=upheld)
    assert state(venue) == outcome
    assert venue.engine.query("ada", GetDispute(dispute=1)).dispute.family == "contracts"  # type: ignore[attr-defined]


def test_a_dispute_may_outlive_what_it_is_about(venue: Work) -> None:
    """Another part meets the contract, so the disputed one is called off; the panel is paid all the same."""
    bind(venue, EITHER)
    venue.deliver(1)
    venue.must("poster", OpenDispute, family="settlements", number=1)
    venue.deliver(2)
    venue.confirm(2)
    assert state(venue) == "met"
    assert venue.settlement(1).state == "called_off"
    before = sum(venue.balance(name)[0] for name in ARBITRATORS)
    venue.reload()
    decide(venue, upheld=False)
    assert sum(venue.balance(name)[0] for name in ARBITRATORS) == before + CREDIT
    assert venue.settlement(1).state == "called_off"
