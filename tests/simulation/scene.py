"""Set the scene: the first records of a venue with an operator, agents of several owners, and six markets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.daemon.host import Host
from exchange.engine import genesis_batch
from exchange.messages.admin import IssueAsset, RegisterAgent, RegisterAsset, Settings
from exchange.messages.base import MAX_VALIDITY_US
from exchange.messages.orders import CreateMarket
from tests.simulation.clocks import START_US
from tests.simulation.commands.view import MarketTerms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.messages.base import Command

__all__ = ["HOSTILE", "LATECOMERS", "MARKETS", "OPERATOR", "OWNERS", "first_records"]

OPERATOR: Final = "operator"
HOSTILE: Final = "mallory"
LATECOMERS: Final = ("late0", "late1", "late2")
"""Who speaks with the venue before the operator has registered it."""
OWNERS: Final = ("x", "x", "y", "z", "y", "w")
MARKETS: Final = (
    MarketTerms("plain", "cpu", 1, 1),
    MarketTerms("fees", "gpu", 10, 10),
    MarketTerms("band", "cpu", 5, 1),
    MarketTerms("deliver", "cpu", 1, 1),
    MarketTerms("lease", "cpu", 5, 1),
    MarketTerms("slot", "slot", 5, 1),
)
_SETTINGS: Final = Settings(
    max_fills_per_command=7,
    max_cancels_per_command=8,
    max_open_orders=25,
    act_grace_seconds=1,
    dispute_window_seconds=2,
    confirm_seconds=2,
    work_lease_seconds=2,
    dispute_draw_seconds=1,
    ruling_seconds=2,
    replacement_ruling_seconds=1,
    arbitrator_stake_seconds=0,
    min_auction_seconds=1,
    determine_seconds=4,
    decline_seconds=1,
    rating_window_seconds=2,
    help_start_seconds=1,
    max_help_offers=8,
    max_help_topics=2,
    voting_seconds=2,
    enactment_lock_seconds=1,
    proposal_deposit=100_000,
)
"""A run lasts for seconds, so what waits for hours elsewhere waits for seconds here."""


def first_records(agents: int) -> Iterator[bytes]:
    """Yield the bodies of the records that stand in the journal before anything goes wrong."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    genesis = genesis_batch(OPERATOR, START_US - 4_000_000, settings=_SETTINGS)
    yield host.apply(genesis.submissions, [], START_US - 4_000_000, 0).body
    submissions: list[Any] = []
    for n, (kind, fields) in enumerate(_commands(agents), 1):
        command: Command = kind(id=f"scene.{n}", valid_until_us=START_US - 3_000_000 + MAX_VALIDITY_US // 2, **fields)
        submissions.append((OPERATOR, command, msgspec.msgpack.encode(command)))
    yield host.apply(submissions, [], START_US - 3_000_000, 0).body


def _commands(agents: int) -> Iterator[tuple[type[Command], dict[str, Any]]]:
    yield RegisterAsset, {"asset": "cpu"}
    yield RegisterAsset, {"asset": "gpu", "decimals": 2}
    yield RegisterAsset, {"asset": "slot"}
    yield CreateMarket, {"market": "plain", "base": "cpu", "tick": 1, "price_band_bp": 0}
    fees = {"market": "fees", "base": "gpu", "tick": 10, "lot": 10, "maker_fee_bp": 7, "taker_fee_bp": 23}
    yield CreateMarket, {**fees, "price_band_bp": 0}
    band = {"market": "band", "base": "cpu", "tick": 5, "reference_price": 1_000, "price_band_bp": 150}
    yield CreateMarket, {**band, "halt_seconds": 1, "auction_seconds": 1, "maker_fee_bp": 11}
    terms = {"tick": 1, "reference_price": 1_000, "settlement": "delivery", "deliver_seconds": 60, "taker_fee_bp": 23}
    yield CreateMarket, {**terms, "market": "deliver", "base": "cpu", "bond_bp": 777}
    terms = {"tick": 5, "reference_price": 1_000, "settlement": "lease", "term_seconds": 60}
    yield CreateMarket, {**terms, "market": "lease", "base": "cpu"}
    yield CreateMarket, {**terms, "market": "slot", "base": "slot"}
    for number, owner in zip(range(agents), OWNERS, strict=False):
        # Half of them are soon out of money with orders; the others can afford bonds and stakes.
        endowment = 400_000 if number % 2 else 600_000_000
        agent = {"agent": f"agent{number}", "owner": owner, "endowment": endowment}
        yield RegisterAgent, {**agent, "roles": ["trader", "attester", "arbitrator"], "skills": ["python", "rust"]}
        yield IssueAsset, {"asset": "cpu", "agent": f"agent{number}", "quantity": 300}
        yield IssueAsset, {"asset": "gpu", "agent": f"agent{number}", "quantity": 3_000}
    yield IssueAsset, {"asset": "slot", "agent": "agent0", "quantity": 1}
    yield RegisterAgent, {"agent": HOSTILE, "owner": HOSTILE, "endowment": 50_000}
