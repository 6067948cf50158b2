"""Holds, escrows, forced debits and liens, by a mechanism for tests that does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism
from exchange.mechanisms.cashier import LIEN_KEEPS, OWNER_BOUND_US, escrow_of
from exchange.messages.admin import RevokeAgent
from exchange.messages.base import Command, Outcome
from exchange.messages.payments import GetHolds, GetLiens, PayLiens
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, Venue, assert_rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CREDIT: Final = 1_000_000
DAY_S: Final = 86_400


class Move(Command, tag="moves.move", kw_only=True):
    """Do one thing with money: a step of the cashier's, by name."""

    step: str
    amount: int
    other: str = ""


class Moves(Mechanism):
    """Let agents call the cashier."""

    family: ClassVar[str] = "moves"
    summary: ClassVar[str] = "money for tests"

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {Move: CommandRule(self.move, None, opens=True)}

    def move(self, agent: AgentRecord, command: Move) -> Outcome:
        cashier, me, escrow = self.context.cashier, agent.agent_id, escrow_of("moves:1")
        if command.step == "charge":
            cashier.charge(me, command.other, command.amount, "moves:1")
            return self.context.accept(command)
        problem = cashier.check(agent, command.amount) if command.step in ("hold", "fund") else None
        if problem is not None:
            return self.context.reject(command, *problem)
        posting = cashier.posting("moves:1")
        steps: dict[str, Callable[[], None]] = {
            "hold": lambda: posting.hold(me, command.amount),
            "release": lambda: posting.release(me, command.amount),
            "fund": lambda: posting.fund(me, escrow, command.amount),
            "fund_held": lambda: posting.fund_held(me, escrow, command.amount),
            "pay": lambda: posting.pay(escrow, command.other, command.amount),
            "give_back": lambda: posting.give_back(escrow, command.other, command.amount),
        }
        steps[command.step]()
        posting.post()
        return self.context.accept(command)

    def escrows(self) -> list[str]:
        return [escrow_of("moves:1")]

    def dump(self) -> object:
        return []

    def load(self, state: Any) -> None:
        del state


@pytest.fixture
def venue() -> Venue:
    built = Venue(mechanisms=(*REGISTRY, Moves))
    built.register("ann", "bob", endowment=100 * CREDIT)
    built.register("poor", endowment=30 * CREDIT)
    built.register("mate", owner="poor", endowment=50 * CREDIT)
    built.market()
    return built


def move(venue: Venue, agent: str, step: str, credits: int, other: str = "") -> None:
    venue.must(agent, Move, step=step, amount=credits * CREDIT, other=other)


def purse(venue: Venue, agent: str) -> tuple[int, int]:
    available, held = venue.balance(agent)
    return available // CREDIT, held // CREDIT


def owed(venue: Venue, agent: str) -> int:
    return sum(lien.amount for lien in venue.engine.query(agent, GetLiens()).liens if lien.debtor == agent)


def test_a_hold_has_a_cause_and_can_be_asked_for(venue: Venue) -> None:
    move(venue, "ann", "hold", 40)
    move(venue, "ann", "release", 10)
    assert purse(venue, "ann") == (70, 30)
    (hold,) = venue.engine.query("ann", GetHolds()).holds
    assert (hold.cause, hold.asset, hold.amount) == ("moves:1", "credit", 30 * CREDIT)
    posted = [event for event in venue.events("ann") if event.__struct_config__.tag == "payments.posted"]
    assert [(event.available // CREDIT, event.held // CREDIT) for event in posted] == [(-40, 40), (10, -10)]


def test_an_escrow_opens_with_its_first_amount_and_closes_with_its_last(venue: Venue) -> None:
    move(venue, "ann", "hold", 10)
    move(venue, "ann", "fund_held", 10)
    move(venue, "ann", "fund", 5)
    assert list(venue.engine.context.cashier.escrows) == ["escrow:moves:1"]
    assert purse(venue, "ann") == (85, 0)
    move(venue, "ann", "pay", 12, "bob")
    move(venue, "ann", "give_back", 3, "ann")
    assert not venue.engine.context.cashier.escrows
    assert "escrow:moves:1" not in venue.engine.ledger.accounts
    assert (purse(venue, "ann"), purse(venue, "bob")) == ((88, 0), (112, 0))


def test_nothing_is_held_that_is_not_available(venue: Venue) -> None:
    answer = venue.submit("ann", Move, step="hold", amount=101 * CREDIT)
    assert_rejected(answer, Reason.INSUFFICIENT_CREDITS)
    assert answer.outcome.detail == "needs 101.00, available 100.00"


def test_a_forced_debit_takes_the_available_then_frees_orders_the_newest_first(venue: Venue) -> None:
    for price in (5, 6, 7):
        venue.buy("poor", 1, price * CREDIT)
    assert purse(venue, "poor") == (12, 18)
    move(venue, "poor", "charge", 14, "ann")
    assert purse(venue, "ann") == (114, 0)
    # The order at 7 was enough; the older ones rest.
    assert [order.price for order in venue.orders("poor")] == [5 * CREDIT, 6 * CREDIT]
    assert purse(venue, "poor") == (5, 11)
    assert owed(venue, "poor") == 0


def test_what_cannot_be_paid_becomes_a_lien(venue: Venue) -> None:
    venue.buy("poor", 1, 10 * CREDIT)
    move(venue, "poor", "charge", 50, "ann")
    assert purse(venue, "poor") == (0, 0)
    assert purse(venue, "ann") == (130, 0)
    assert owed(venue, "poor") == 20 * CREDIT


def test_a_lien_takes_a_quarter_of_what_is_earned(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    move(venue, "bob", "fund", 40)
    move(venue, "bob", "pay", 40, "poor")
    # A quarter of 40 goes first; of the 30 that come, what is above 20 follows.
    assert purse(venue, "poor") == (20, 0)
    assert owed(venue, "poor") == 0
    assert purse(venue, "ann") == (150, 0)


def test_a_lien_leaves_twenty_credits_of_what_is_given_back(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    move(venue, "bob", "fund", 22)
    move(venue, "bob", "give_back", 22, "poor")
    assert venue.balance("poor")[0] == LIEN_KEEPS
    assert owed(venue, "poor") == 18 * CREDIT


def test_a_lien_takes_from_trades_what_is_above_the_floor(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    venue.issue("poor", 1)
    venue.buy("bob", 1, 25 * CREDIT)
    venue.sell("poor", 1, 25 * CREDIT)
    assert purse(venue, "poor") == (20, 0)
    assert owed(venue, "poor") == 15 * CREDIT


def test_after_seven_days_a_lien_binds_every_agent_of_the_owner(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    venue.advance_to(venue.time_us + OWNER_BOUND_US - 1)
    assert purse(venue, "mate") == (50, 0)
    venue.advance_to(venue.time_us + 1)
    assert purse(venue, "mate") == (30, 0)
    assert owed(venue, "poor") == 0
    assert not venue.engine.context.cashier.liens_of


def test_who_is_registered_later_is_bound_as_well(venue: Venue) -> None:
    move(venue, "poor", "charge", 110, "ann")
    venue.advance(7 * DAY_S)
    assert owed(venue, "poor") == 50 * CREDIT
    venue.register("late", owner="poor", endowment=30 * CREDIT)
    assert purse(venue, "late") == (20, 0)


def test_a_debtor_may_pay_at_any_time(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    move(venue, "bob", "fund", 15)
    move(venue, "bob", "give_back", 15, "poor")
    answer = venue.must("poor", PayLiens, amount=8 * CREDIT)
    assert (answer.data["paid"], answer.data["owed"]) == (8 * CREDIT, 12 * CREDIT)
    assert_rejected(venue.submit("poor", PayLiens, amount=8 * CREDIT), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(venue.submit("bob", PayLiens, amount=1), Reason.NO_CHANGE)


def test_a_revoked_agents_due_goes_to_its_owners_oldest_else_to_the_treasury(venue: Venue) -> None:
    move(venue, "ann", "fund", 30)
    venue.must(OPERATOR, RevokeAgent, agent="poor")
    assert purse(venue, "mate") == (80, 0)
    move(venue, "ann", "pay", 10, "poor")
    assert purse(venue, "mate") == (90, 0)
    venue.must(OPERATOR, RevokeAgent, agent="mate")
    before = venue.system_credits("treasury")
    move(venue, "ann", "give_back", 20, "poor")
    assert venue.system_credits("treasury") == before + 20 * CREDIT


def test_holds_escrows_and_liens_survive_a_snapshot(venue: Venue) -> None:
    move(venue, "ann", "hold", 5)
    move(venue, "ann", "fund", 5)
    move(venue, "poor", "charge", 50, "ann")
    copy = Venue(mechanisms=(*REGISTRY, Moves)).engine.__class__((*REGISTRY, Moves))
    copy.load(venue.engine.dump())
    assert copy.dump() == venue.engine.dump()
    assert copy.check_invariants() == []
