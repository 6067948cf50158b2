"""Build the scene that tests of technical debt start from: a poster that takes on debt, and those who suffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.mechanisms.debts import Debts
from exchange.messages.admin import Settings
from exchange.messages.debts import (
    ConfirmRepayment,
    GetDebt,
    GetDebtTotals,
    IssueDebt,
    OfferDebt,
    RepayDebt,
    SignDebt,
    TakeDebt,
)
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, DAY_US, HOUR_US, Work

if TYPE_CHECKING:
    from exchange.messages.debts import DebtTotalsResult, DebtView
    from exchange.testing import Answer

__all__ = ["MONTH_US", "Debtors"]

MONTH_US: Final = 30 * DAY_US


class Debtors(Work):
    """Be a venue where ``poster`` owes ``ann`` (weight 3) and ``ben`` (1), others do work, and all have 100."""

    def __init__(self, *, settings: Settings | None = None, **options: Any) -> None:
        # What issuing costs as an externality is not what these tests are about.
        super().__init__(settings=msgspec.structs.replace(settings or Settings(), debt_rate=0), **options)
        self.register("dan", "eve", endowment=100 * CREDIT, skills=["python"])

    def try_to_issue(self, issuer: str = "poster", **terms: Any) -> Answer:
        """Propose 20 hours, 2 more a month, for 6 months."""
        fields = {
            "feature": "the parser",
            "principal_hours_milli": 20_000,
            "interest_hours_milli_per_month": 2_000,
            "maturity_us": self.time_us + 6 * MONTH_US,
            "beneficiaries": {"ann": 3, "ben": 1},
            "sign_by_us": self.time_us + HOUR_US,
            **terms,
        }
        return self.submit(issuer, IssueDebt, **fields)

    def propose(self, issuer: str = "poster", **terms: Any) -> int:
        answer = self.try_to_issue(issuer, **terms)
        assert answer.accepted, answer.outcome
        return int(answer.data["token"])

    def issue(self, issuer: str = "poster", **terms: Any) -> int:
        """Issue a debt that all beneficiaries have signed; return its number."""
        number = self.propose(issuer, **terms)
        for name in self.debt(number).beneficiaries:
            self.must(name, SignDebt, token=number)
        return number

    def debt(self, number: int = 1, agent: str = OPERATOR) -> DebtView:
        return self.engine.query(agent, GetDebt(token=number)).debt  # type: ignore[attr-defined,no-any-return]

    def totals(self) -> DebtTotalsResult:
        return self.engine.query(OPERATOR, GetDebtTotals())  # type: ignore[return-value]

    def sell(self, taker: str, pay: int, token: int = 1) -> None:
        """Let the holder pay somebody for taking a debt over."""
        offer = self.submit(self.debt(token).holder, OfferDebt, token=token, pay=pay * CREDIT).data["offer"]
        self.must(taker, TakeDebt, token=token, offer=offer)

    def claim(self, hours_milli: int, token: int = 1) -> int:
        """Let the holder say that it has repaid; return the number of the claim."""
        answer = self.submit(self.debt(token).holder, RepayDebt, token=token, hours_milli=hours_milli)
        assert answer.accepted, answer.outcome
        return int(answer.data["claim"])

    def repay(self, hours_milli: int, token: int = 1, by: str = "ann") -> None:
        """Let the holder repay, and somebody with most of the weight confirm."""
        self.must(by, ConfirmRepayment, claim=self.claim(hours_milli, token))

    def months(self, count: int) -> None:
        """Let the first ``count`` months of debt 1 be over."""
        self.advance_to((self.debt().issued_us or 0) + count * MONTH_US)

    @property
    def debts(self) -> Debts:
        found = self.engine.mechanisms["debts"]
        assert isinstance(found, Debts)
        return found

    def credits_of(self, *agents: str) -> list[int]:
        """Return what agents have available, in whole credits."""
        return [self.purse(name)[0] for name in agents]
