"""Test the ledger: double entry, holds, postings of many legs, issue and retirement, conservation."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exchange.ledger import Balance, Ledger, LedgerError

ACCOUNTS = ("ann", "ben", "treasury", "escrow:1")
ASSETS = ("credit", "cpu")


def make_ledger() -> Ledger:
    """Return a ledger with four accounts; ann has 100 credits and 50 cpu, ben 20 credits."""
    ledger = Ledger()
    ledger.register_asset("credit", 6, None)
    ledger.register_asset("cpu", 0, "ann")
    ledger.open_account("ann", "agent")
    ledger.open_account("ben", "agent")
    ledger.open_account("treasury", "treasury")
    ledger.open_account("escrow:1", "escrow")
    ledger.issue(ledger.balance("ann", "credit"), 100)
    ledger.issue(ledger.balance("ben", "credit"), 20)
    ledger.issue(ledger.balance("ann", "cpu"), 50)
    return ledger


def amounts(ledger: Ledger) -> dict[tuple[str, str], tuple[int, int]]:
    """Return every balance as (available, held)."""
    return {
        (name, asset): (balance.available, balance.held)
        for name, account in ledger.accounts.items()
        for asset, balance in account.balances.items()
    }


@pytest.fixture
def ledger() -> Ledger:
    """Return the common ledger."""
    return make_ledger()


def test_a_transfer_moves_what_is_available(ledger: Ledger) -> None:
    """What one side loses the other gains."""
    ann, ben = ledger.balance("ann", "credit"), ledger.balance("ben", "credit")
    ledger.transfer(ann, ben, 30)
    assert (ann.available, ben.available) == (70, 50)
    assert ledger.check() == []


def test_a_hold_moves_from_available_to_held_and_back(ledger: Ledger) -> None:
    """A negative hold releases; the sum stays."""
    ann = ledger.balance("ann", "credit")
    ledger.hold(ann, 60)
    assert (ann.available, ann.held) == (40, 60)
    ledger.hold(ann, -25)
    assert (ann.available, ann.held) == (65, 35)
    assert ledger.conservation() == {"credit": 0, "cpu": 0}


@pytest.mark.parametrize("amount", [101, -1])
def test_a_hold_of_what_is_not_there_is_refused(ledger: Ledger, amount: int) -> None:
    """Neither more than is available nor a release of more than is held; nothing changes."""
    before = amounts(ledger)
    with pytest.raises(LedgerError):
        ledger.hold(ledger.balance("ann", "credit"), amount)
    assert amounts(ledger) == before


def test_held_money_cannot_be_transferred(ledger: Ledger) -> None:
    """What is held is not available."""
    ann = ledger.balance("ann", "credit")
    ledger.hold(ann, 60)
    with pytest.raises(LedgerError):
        ledger.transfer(ann, ledger.balance("ben", "credit"), 41)
    assert (ann.available, ann.held) == (40, 60)


def test_a_posting_settles_a_trade_in_one_step(ledger: Ledger) -> None:
    """Ann's held units go to ben, ben's held credits to ann, less a fee; ben gets improvement back."""
    ann_cpu, ben_credit = ledger.balance("ann", "cpu"), ledger.balance("ben", "credit")
    ledger.hold(ann_cpu, 5)
    ledger.hold(ben_credit, 20)
    treasury = ledger.balance("treasury", "credit")
    ledger.post(
        [
            (ben_credit, 2, -20),
            (ledger.balance("ann", "credit"), 17, 0),
            (treasury, 1, 0),
            (ann_cpu, 0, -5),
            (ledger.balance("ben", "cpu"), 5, 0),
        ]
    )
    assert amounts(ledger)["ann", "credit"] == (117, 0)
    assert amounts(ledger)["ben", "credit"] == (2, 0)
    assert amounts(ledger)["ben", "cpu"] == (5, 0)
    assert ledger.check() == []


@pytest.mark.parametrize(
    "legs",
    [
        [("ann", "credit", -10, 0), ("ben", "credit", 9, 0)],  # a credit is lost
        [("ann", "credit", -10, 0), ("ben", "credit", 11, 0)],  # a credit is made
        [("ann", "credit", -10, 0), ("ben", "cpu", 10, 0)],  # one asset becomes another
        [("ann", "credit", -101, 0), ("ben", "credit", 101, 0)],  # overdraws
        [("ann", "credit", 1, -1)],  # releases what is not held
        [
            ("ann", "credit", -60, 0),
            ("ben", "credit", 60, 0),
            ("ann", "credit", -60, 0),
            ("ben", "credit", 60, 0),
        ],
        [("ann", "credit", -1, 0), ("ben", "credit", 1, 0), ("ann", "cpu", -51, 0), ("ben", "cpu", 51, 0)],
    ],
)
def test_a_posting_is_all_or_nothing(ledger: Ledger, legs: list[tuple[str, str, int, int]]) -> None:
    """One bad leg, or legs that do not sum to zero per asset, and nothing of it happens."""
    built = [(ledger.balance(account, asset), available, held) for account, asset, available, held in legs]
    before = amounts(ledger)
    with pytest.raises(LedgerError):
        ledger.post(built)
    assert amounts(ledger) == before
    assert ledger.check() == []


def test_a_balance_may_stand_in_several_legs(ledger: Ledger) -> None:
    """Only the result counts: ann may pay 130 when the same posting brings her 40 first or last."""
    ann, ben = ledger.balance("ann", "credit"), ledger.balance("ben", "credit")
    ledger.post([(ann, -110, 0), (ben, 110, 0), (ben, -20, 0), (ann, 20, 0)])
    assert (ann.available, ben.available) == (10, 110)


def test_issue_and_retirement_are_counted(ledger: Ledger) -> None:
    """What was issued less what was retired is what exists."""
    cpu = ledger.balance("ann", "cpu")
    ledger.issue(cpu, 10)
    ledger.issue(cpu, -25)
    assert (cpu.available, ledger.assets["cpu"].issued) == (35, 35)
    with pytest.raises(LedgerError):
        ledger.issue(cpu, -36)
    assert (cpu.available, ledger.assets["cpu"].issued) == (35, 35)
    assert ledger.check() == []


def test_names_are_unique(ledger: Ledger) -> None:
    """An account or an asset is opened once."""
    with pytest.raises(LedgerError):
        ledger.open_account("ann", "escrow")
    with pytest.raises(LedgerError):
        ledger.register_asset("cpu", 0, None)


def test_the_check_finds_money_that_appeared(ledger: Ledger) -> None:
    """A change past the ledger's own methods is found by the recount, and named."""
    ledger.balance("ann", "credit").available += 1
    assert ledger.check() == ["asset_is_conserved: credit", "running_totals_match: credit/agent"]


def test_the_check_finds_a_negative_balance(ledger: Ledger) -> None:
    """However it came about."""
    ledger.balance("ann", "credit").held -= 1
    assert "balances_not_negative: ann/credit" in ledger.check()


def test_empty_balances_leave_no_trace_in_the_dump(ledger: Ledger) -> None:
    """Having looked at a balance is not a change of state."""
    before = ledger.dump()
    ledger.balance("treasury", "cpu")
    assert ledger.dump() == before


class LedgerMachine(RuleBasedStateMachine):
    """Move money at random against a model that is two dictionaries."""

    quantities = st.integers(min_value=-60, max_value=60)
    accounts = st.sampled_from(ACCOUNTS)
    assets = st.sampled_from(ASSETS)

    @initialize()
    def start(self) -> None:
        """Begin with the common ledger."""
        self.ledger = make_ledger()
        self.available = {key: value[0] for key, value in amounts(self.ledger).items()}
        self.held = {key: value[1] for key, value in amounts(self.ledger).items()}

    def _balance(self, account: str, asset: str) -> Balance:
        self.available.setdefault((account, asset), 0)
        self.held.setdefault((account, asset), 0)
        return self.ledger.balance(account, asset)

    @rule(account=accounts, asset=assets, quantity=quantities)
    def issue(self, account: str, asset: str, quantity: int) -> None:
        """Create or destroy units."""
        balance = self._balance(account, asset)
        if self.available[account, asset] + quantity < 0:
            with pytest.raises(LedgerError):
                self.ledger.issue(balance, quantity)
        else:
            self.ledger.issue(balance, quantity)
            self.available[account, asset] += quantity

    @rule(account=accounts, asset=assets, quantity=quantities)
    def hold(self, account: str, asset: str, quantity: int) -> None:
        """Hold or release."""
        balance = self._balance(account, asset)
        key = (account, asset)
        if self.available[key] < quantity or self.held[key] + quantity < 0:
            with pytest.raises(LedgerError):
                self.ledger.hold(balance, quantity)
        else:
            self.ledger.hold(balance, quantity)
            self.available[key] -= quantity
            self.held[key] += quantity

    @rule(
        legs=st.lists(st.tuples(accounts, accounts, assets, quantities, quantities, st.booleans()), max_size=4),
        stray=st.sampled_from([0, 0, 0, 1]),
    )
    def post(self, legs: list[tuple[str, str, str, int, int, bool]], stray: int) -> None:
        """Post pairs of legs that balance, sometimes with a stray unit."""
        built = []
        available, held = dict(self.available), dict(self.held)
        for source, target, asset, first, second, to_held in legs:
            changes = [
                (source, -first, -second),
                (target, 0 if to_held else first + second, first + second if to_held else 0),
            ]
            for account, more_available, more_held in changes:
                built.append((self._balance(account, asset), more_available, more_held))
                key = (account, asset)
                available[key] = available.get(key, 0) + more_available
                held[key] = held.get(key, 0) + more_held
        if stray:
            built.append((self._balance("ann", "credit"), stray, 0))
        if stray or min([*available.values(), *held.values()]) < 0:
            with pytest.raises(LedgerError):
                self.ledger.post(built)
        else:
            self.ledger.post(built)
            self.available, self.held = available, held

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Every balance is the model's, totals match the recount, nothing appeared or vanished."""
        if not hasattr(self, "ledger"):
            return
        for (account, asset), (available, held) in amounts(self.ledger).items():
            assert available == self.available.get((account, asset), 0)
            assert held == self.held.get((account, asset), 0)
        assert self.ledger.check() == []
        assert self.ledger.conservation() == {"credit": 0, "cpu": 0}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
