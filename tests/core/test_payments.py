"""Holds, escrows, forced debits and liens, by a mechanism for tests that does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism
from exchange.mechanisms.cashier import LIEN_KEEPS, OWNER_BOUND_US, escrow_of
from exchange.messages.admin import RevokeAgent, SetSpendLimit
from exchange.messages.base import Command, Outcome
from exchange.messages.payments import GetHolds, GetLiens, PayLiens
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, Venue, assert_rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.cashier import Cashier

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
        if command.step == "assign":
            cashier.assign(me, command.other)
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


@pytest.mark.parametrize("is_loaded", [False, True])
def test_what_is_owed_is_passed_on_the_oldest_first_also_after_a_load(venue: Venue, is_loaded: bool) -> None:
    """Nobody can tell by the order of events whether a leader has replayed the journal or begun with a snapshot."""
    venue.register("heir", endowment=0)
    move(venue, "poor", "charge", 40, "ann")
    move(venue, "mate", "charge", 60, "bob")
    move(venue, "ann", "assign", 0, "bob")
    if is_loaded:
        copy = Engine((*REGISTRY, Moves))
        copy.load(venue.engine.dump())
        venue.engine = copy
    move(venue, "bob", "assign", 0, "heir")
    told = [event.lien for event in venue.events("heir") if event.__struct_config__.tag == "payments.lien_changed"]
    assert told == [1, 2]


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


# ── whose debts, and in which order ─────────────────────────────────────────────────────────────


def test_the_oldest_lien_is_paid_first_also_by_a_mate_with_debts_of_its_own(venue: Venue) -> None:
    move(venue, "poor", "charge", 110, "ann")
    move(venue, "mate", "charge", 70, "bob")
    assert (owed(venue, "poor"), owed(venue, "mate")) == (80 * CREDIT, 20 * CREDIT)
    venue.advance(7 * DAY_S)
    move(venue, "ann", "fund", 8)
    move(venue, "ann", "pay", 8, "mate")
    liens = {lien.lien: lien.amount // CREDIT for lien in venue.engine.query("mate", GetLiens()).liens}
    assert liens == {1: 78, 2: 20}


def test_nobody_owes_itself(venue: Venue) -> None:
    venue.buy("poor", 1, 10 * CREDIT)
    move(venue, "poor", "charge", 50, "poor")
    assert purse(venue, "poor") == (20, 10)
    venue.must(OPERATOR, RevokeAgent, agent="poor")
    # What mate would owe its revoked mate, it would owe to itself.
    move(venue, "mate", "charge", 500, "poor")
    assert purse(venue, "mate") == (80, 0)
    assert not venue.engine.context.cashier.liens


@pytest.mark.parametrize("step", ["pay", "give_back"])
def test_what_is_due_to_a_revoked_debtor_pays_its_debts_before_it_goes_to_an_heir(venue: Venue, step: str) -> None:
    move(venue, "poor", "charge", 50, "ann")
    venue.must(OPERATOR, RevokeAgent, agent="poor")
    move(venue, "bob", "fund", 36)
    move(venue, "bob", step, 16, "poor")
    assert (purse(venue, "ann"), purse(venue, "mate")) == ((146, 0), (50, 0))
    move(venue, "bob", step, 20, "poor")
    assert (purse(venue, "ann"), purse(venue, "mate")) == ((150, 0), (66, 0))
    assert not venue.engine.context.cashier.liens


def test_what_is_due_to_a_revoked_debtor_without_heirs_pays_its_debts_before_the_treasury(venue: Venue) -> None:
    move(venue, "bob", "charge", 110, "ann")
    venue.must(OPERATOR, RevokeAgent, agent="bob")
    before = venue.system_credits("treasury")
    move(venue, "ann", "fund", 30)
    move(venue, "ann", "pay", 30, "bob")
    assert purse(venue, "ann") == (180, 0)
    assert venue.system_credits("treasury") == before + 20 * CREDIT


def test_a_lien_of_a_revoked_creditor_goes_to_its_heir(venue: Venue) -> None:
    move(venue, "ann", "charge", 140, "poor")
    venue.must(OPERATOR, RevokeAgent, agent="poor")
    assert purse(venue, "mate") == (180, 0)
    move(venue, "bob", "fund", 40)
    move(venue, "bob", "pay", 40, "ann")
    # A quarter, and then what is above 20.
    assert (purse(venue, "ann"), purse(venue, "mate")) == ((20, 0), (200, 0))
    venue.must(OPERATOR, RevokeAgent, agent="mate")
    before = venue.system_credits("treasury")
    venue.must("ann", PayLiens, amount=20 * CREDIT)
    assert venue.system_credits("treasury") == before + 20 * CREDIT


def test_a_debtor_without_heirs_owes_nobody(venue: Venue) -> None:
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.must("bob", Move, step="charge", amount=0, other="poor")
    cashier = venue.engine.context.cashier
    assert cashier.charge("ann", "bob", 10, "moves:1") == 0
    assert not cashier.liens


def test_a_lien_takes_nothing_from_holds_and_escrows(venue: Venue) -> None:
    move(venue, "poor", "hold", 25)
    move(venue, "poor", "fund", 5)
    move(venue, "poor", "charge", 500, "ann")
    assert purse(venue, "poor") == (0, 25)
    assert venue.engine.context.cashier.in_escrow("escrow:moves:1") == 5 * CREDIT
    # What is released is taken above 20 only.
    move(venue, "poor", "release", 25)
    assert purse(venue, "poor") == (20, 0)


def test_who_hangs_on_a_balance_first_does_not_depend_on_history(venue: Venue) -> None:
    """A snapshot hangs spend meters before liens; whoever ran on must tell agents in the same order."""
    move(venue, "poor", "charge", 50, "ann")
    venue.must(OPERATOR, SetSpendLimit, agent="poor", total=CREDIT)
    copy = Engine((*REGISTRY, Moves))
    copy.load(venue.engine.dump())
    kinds = [
        [type(meter).__name__ for meter in engine.ledger.balance("poor", "credit").meters]
        for engine in (venue.engine, copy)
    ]
    assert kinds == [["SpendMeter", "LienWatch"]] * 2


def test_the_cost_of_a_newcomer_does_not_grow_with_its_owners_fleet(venue: Venue) -> None:
    """Only what is owed by the owner is looked at, not every agent that it ever had."""
    move(venue, "poor", "charge", 110, "ann")
    venue.advance(7 * DAY_S)
    for number in range(30):
        venue.register(f"late{number}", owner="poor", endowment=0)
    cashier = venue.engine.context.cashier
    assert list(cashier.owed_by["poor"]) == [1]
    assert all(list(cashier.liens_of[f"late{number}"]) == [1] for number in range(30))
    move(venue, "ann", "fund", 60)
    move(venue, "ann", "give_back", 60, "late7")
    assert owed(venue, "poor") == 10 * CREDIT
    move(venue, "ann", "fund", 40)
    move(venue, "ann", "pay", 40, "late8")
    assert not cashier.owed_by
    assert not cashier.liens_of


def test_liens_due_to_somebody_are_found(venue: Venue) -> None:
    move(venue, "poor", "charge", 50, "ann")
    move(venue, "mate", "charge", 70, "bob")
    move(venue, "mate", "charge", 7, "ann")
    found = {
        name: [lien.lien for lien in venue.engine.query(name, GetLiens()).liens] for name in ("ann", "bob", "mate")
    }
    assert found == {"ann": [1, 3], "bob": [2], "mate": [2, 3]}
    copy = Engine((*REGISTRY, Moves))
    copy.load(venue.engine.dump())
    assert [lien.lien for lien in copy.query("ann", GetLiens()).liens] == [1, 3]
    assert len(copy.query(OPERATOR, GetLiens()).liens) == 3
    page = copy.query("ann", GetLiens(limit=1))
    assert ([lien.lien for lien in page.liens], page.next) == ([1], 1)


# ── random debts ────────────────────────────────────────────────────────────────────────────────

_DEBTORS: Final = ("ann", "bob", "poor", "mate")


class _Debts:
    """Charge, pay and wait at random; what was charged is what was paid and what is still owed."""

    def __init__(self) -> None:
        self.venue = Venue(mechanisms=(*REGISTRY, Moves))
        self.venue.register("ann", "bob", endowment=100 * CREDIT)
        self.venue.register("poor", endowment=30 * CREDIT)
        self.venue.register("mate", owner="poor", endowment=50 * CREDIT)
        self.venue.register("rich", endowment=10_000 * CREDIT)
        self.venue.market()
        self.late = 0

    @property
    def cashier(self) -> Cashier:
        return self.venue.engine.context.cashier

    def step(self, data: st.DataObject) -> None:
        acts = (self._charge, self._charge, self._earn, self._earn, self._trade, self._wait, self._change)
        data.draw(st.sampled_from(acts))(data)
        self.check()

    def _charge(self, data: st.DataObject) -> None:
        names = st.sampled_from((*_DEBTORS, "rich"))
        amount, other = data.draw(st.integers(0, 120 * CREDIT)), data.draw(names)
        self.venue.submit(data.draw(st.sampled_from(_DEBTORS)), Move, step="charge", amount=amount, other=other)

    def _earn(self, data: st.DataObject) -> None:
        amount, other = data.draw(st.integers(1, 60 * CREDIT)), data.draw(st.sampled_from(_DEBTORS))
        before = {number: lien.amount for number, lien in self.cashier.liens.items()}
        if self.venue.submit("rich", Move, step="fund", amount=amount).accepted:
            step = data.draw(st.sampled_from(("pay", "give_back")))
            self.venue.must("rich", Move, step=step, amount=amount, other=other)
        # A lien only shrinks by what others earn.
        assert all(lien.amount <= before[number] for number, lien in self.cashier.liens.items())

    def _trade(self, data: st.DataObject) -> None:
        price = data.draw(st.integers(1, 60 * CREDIT))
        self.venue.buy(data.draw(st.sampled_from(_DEBTORS)), 1, price)

    def _wait(self, data: st.DataObject) -> None:
        self.venue.advance(data.draw(st.sampled_from((1, DAY_S, 7 * DAY_S))))

    def _change(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(("reload", "reload", "register", "revoke", "limit")))
        name = data.draw(st.sampled_from(_DEBTORS))
        if kind == "reload":
            engine = Engine((*REGISTRY, Moves))
            engine.load(self.venue.engine.dump())
            assert engine.dump() == self.venue.engine.dump()
            self.venue.engine = engine
        elif kind == "register":
            self.late += 1
            self.venue.register(f"late{self.late}", owner=name, endowment=25 * CREDIT)
        elif kind == "revoke":
            self.venue.submit(OPERATOR, RevokeAgent, agent=name)
        else:
            self.venue.submit(OPERATOR, SetSpendLimit, agent=name, total=data.draw(st.integers(1, 50 * CREDIT)))

    def check(self) -> None:
        """Who is bound keeps 20 at most; after 7 days a whole fleet is bound; nobody owes itself when it begins."""
        context = self.venue.engine.context
        for name in self.cashier.liens_of:
            assert context.ledger.balance(name, "credit").available <= LIEN_KEEPS, name
        for lien in self.cashier.liens.values():
            fleet = context.fleets[context.agents[lien.debtor].owner]
            is_old = context.time_us - lien.since_us >= OWNER_BOUND_US
            for name in fleet:
                is_bound = lien.number in self.cashier.liens_of.get(name, ())
                if context.agents[name].state != "revoked":
                    assert is_bound == (is_old or name == lien.debtor), (lien, name)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_debts_keep_the_books(data: st.DataObject) -> None:
    debts = _Debts()
    for _ in range(data.draw(st.integers(1, 40))):
        debts.step(data)
    copy = Engine((*REGISTRY, Moves))
    for batch, digest in zip(debts.venue.batches, debts.venue.digests, strict=True):
        assert copy.apply(batch).digest() == digest
    assert copy.dump() == debts.venue.engine.dump()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), st.integers(0, 10**10))
def test_a_payment_pays_a_quarter_of_it_to_the_oldest_liens(debts: list[int], earned: int) -> None:
    """The oldest is paid whole before the next gets anything; the rest of the quarter stays with who earned it."""
    venue = Venue(mechanisms=(*REGISTRY, Moves))
    venue.register("ann", "rich", endowment=10_000 * CREDIT)
    venue.register("poor", endowment=0)
    for amount in debts:
        venue.must("poor", Move, step="charge", amount=amount, other="ann")
    context = venue.engine.context
    venue.must("rich", Move, step="fund", amount=10**10)
    posting = context.cashier.posting("moves:1")
    posting.pay(escrow_of("moves:1"), "poor", earned)
    posting.post()
    left = [
        context.cashier.liens[number].amount if number in context.cashier.liens else 0
        for number in range(1, len(debts) + 1)
    ]
    paid = [whole - rest for whole, rest in zip(debts, left, strict=True)]
    assert sum(paid) == min(earned // 4, sum(debts))
    assert context.ledger.balance("poor", "credit").available == earned - sum(paid)
    for place, part in enumerate(paid[1:], 1):
        assert not part or paid[:place] == debts[:place]
