"""Live through a year of venue time: all that accrues, matures, is voted on or runs out in it.

A walk, but paced: so many random acts a day, and beside them a *cast*, agents that do on purpose what random agents
seldom bring to its end. All invariants are proven every day, and all credits counted after every batch.
"""

from __future__ import annotations

import json
import sys
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from exchange.messages import tag_of
from exchange.messages.admin import RegisterAgent, RevokeAgent, Settings
from exchange.messages.assurance import ConfirmGood, Pledge, ProposeGood
from exchange.messages.debts import (
    ChooseInterest,
    ConfirmRepayment,
    IssueDebt,
    OfferDebt,
    RepayDebt,
    SignDebt,
    TakeDebt,
)
from exchange.messages.externalities import AffectedModule, ReportExternality
from exchange.messages.governance import ProposeChange, Vote
from exchange.messages.payments import PaymentPosted
from exchange.messages.predictions import BuyShares, OpenPrediction, ResolvePrediction
from exchange.messages.property import (
    BidOnModule,
    BuyModule,
    ModuleForeclosed,
    RegisterModule,
    StateValue,
    TopUpDeposit,
)
from exchange.messages.settlements import Deliver
from exchange.testing import OPERATOR, SECOND_US
from tests.core.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.messages.base import Command, Event
    from exchange.testing import Answer

__all__ = ["Year"]

DAY_US: Final = 86_400 * SECOND_US
_CREDIT: Final = 1_000_000
_HOUR_MILLI: Final = 1_000
ACTS_A_DAY: Final = 12
_ATTESTER: Final = "cia"
_CAST: Final = ("hal", "ida", "jon", "kay", "lea")
_LEAVES: Final = "max"
"""Is revoked in the course of the year."""


class Year(Walk):
    """Live through days; what the cast cannot do, because random agents were in its way, it leaves."""

    def __init__(self, seed: int) -> None:
        # The windows of a venue as it is by default, where walks have shorter ones.
        super().__init__(seed, check_every=50, settings=_SETTINGS)
        self.rates: dict[int, None] = {}
        """Every rate at which values were taxed."""
        for name in (*_CAST, _LEAVES):
            self.submit(OPERATOR, RegisterAgent, agent=name, owner=name, endowment=5_000 * _CREDIT)
        self.submit(
            OPERATOR, RegisterAgent, agent=_ATTESTER, owner=_ATTESTER, roles=["attester"], endowment=1_000 * _CREDIT
        )
        for name, owner in (("kept", "hal"), ("left", "ida"), ("sold", "jon"), ("lost", _LEAVES)):
            self.submit(OPERATOR, RegisterModule, module=name, owner=owner, regime="harberger", dependencies=[])
        self.submit(OPERATOR, RegisterModule, module="user", owner="kay", regime="private", dependencies=["kept"])

    def live(self, days: int) -> None:
        """Let so many days pass, then prove what can be proven only at the end."""
        for day in range(days):
            ends_us = self.venue.time_us + DAY_US
            for act in _ACTS:
                act(self, day)
            for _ in range(ACTS_A_DAY):
                self._command()
                self.venue.advance_to(min(self.venue.time_us + self.random.randrange(DAY_US // ACTS_A_DAY), ends_us))
                self._listen()
            self.venue.advance_to(max(ends_us, self.venue.time_us))
            self._listen()
            self.rates[self.venue.engine.context.settings.harberger_rate_bp] = None
            if day % 30 == 29:
                self.venue.change_leader(self.random.choice((0, 1, 60, 7_200)))
                self._reload()
            assert self.venue.engine.check_invariants() == []
        self.prove()

    def happened(self) -> dict[str, int]:
        """Return how often agents were told of what, by tag."""
        counts: dict[str, int] = {}
        for name in list(self.venue.engine.agents):
            for event in self.venue.events(name):
                tag = tag_of(type(event))
                counts[tag] = counts.get(tag, 0) + 1
        return counts

    def foreclosed(self) -> dict[str, int]:
        """Return how often modules were foreclosed, by why."""
        counts: dict[str, int] = {}
        for name in list(self.venue.engine.agents):
            for event in self.venue.events(name):
                if isinstance(event, ModuleForeclosed):
                    counts[event.why] = counts.get(event.why, 0) + 1
        return counts

    def months_shared(self) -> int:
        """Return how often what the public fund had too much of was shared among all owners."""
        paid: dict[str, None] = {}
        for event in self.venue.events("kay"):
            if isinstance(event, PaymentPosted) and event.cause.startswith("governance:share:"):
                paid[event.cause] = None
        return len(paid)

    # ── what the cast needs ─────────────────────────────────────────────────────────────────────

    def told(self, agent: str, tag: str) -> Any:
        """Return the latest event of a tag that an agent was told."""
        events: list[Event] = [event for event in self.venue.events(agent) if tag_of(type(event)) == tag]
        return events[-1] if events else None

    def act(self, agent: str, kind: type[Command], /, **fields: Any) -> Answer:
        """Let one of the cast act; it may be refused, because the venue or the agent is halted, say."""
        return self.submit(agent, kind, **fields)


_SETTINGS: Final = Settings(max_open_orders=25, max_cancels_per_command=100, public_fund_cap_bp=0)


def _own(year: Year, day: int) -> None:
    """Hold modules under tax: one is kept up, one left to run out, one bought every month, one lost with its owner."""
    if day == 0:
        for module, owner in (("kept", "hal"), ("left", "ida"), ("sold", "jon")):
            year.act(owner, StateValue, module=module, value=100 * _CREDIT, deposit=8 * _CREDIT)
        year.act(_LEAVES, StateValue, module="lost", value=100 * _CREDIT, deposit=30 * _CREDIT)
    if day == 100:
        year.act(OPERATOR, RevokeAgent, agent=_LEAVES)
    if day % 25 == 24:
        year.act("hal", TopUpDeposit, module="kept", amount=5 * _CREDIT)
    if day % 30 == 15:
        buyer = ("ida", "kay", "lea", "jon")[day // 30 % 4]
        worth = {"max_price": 200 * _CREDIT, "new_value": (80 + day % 50) * _CREDIT, "deposit": 12 * _CREDIT}
        year.act(buyer, BuyModule, module="sold", **worth)
    for bidder, price in (("jon", 3), ("lea", 2)):
        year.act(bidder, BidOnModule, module="left", price=price * _CREDIT)
    for owner in ("jon", "lea"):
        moved = year.told(owner, "property.ownership_moved")
        if moved is not None and moved.module == "left" and (moved.value_due_us or 0) > year.venue.time_us:
            year.act(owner, StateValue, module="left", value=50 * _CREDIT, deposit=6 * _CREDIT)


def _owe(year: Year, day: int) -> None:
    """Issue debts: some are sold, repaid and confirmed, others are left until there is a crisis."""
    now_us = year.venue.time_us
    if day % 45 == 0:
        hours = 20 if day % 90 == 0 else 60
        terms = {
            "feature": f"release {day}",
            "principal_hours_milli": hours * _HOUR_MILLI,
            "interest_hours_milli_per_month": 2 * _HOUR_MILLI,
            "maturity_us": now_us + (180 if hours == 20 else 40) * DAY_US,
            "beneficiaries": {"ida": 2, "kay": 1},
            "sign_by_us": now_us + DAY_US,
        }
        token = year.act("hal", IssueDebt, **terms).data.get("token")
        if not token:
            return
        for name in ("ida", "kay"):
            year.act(name, SignDebt, token=token)
        if hours == 20:
            offer = year.act("hal", OfferDebt, token=token, pay=15 * _CREDIT, taker="jon").data.get("offer")
            if offer:
                year.act("jon", TakeDebt, token=token, offer=offer)
                year.act("jon", ChooseInterest, token=token, is_paid=day % 180 == 0)
    if day % 45 == 40 and (sold := year.told("jon", "debts.transferred")) is not None:
        claim = year.act("jon", RepayDebt, token=sold.token, hours_milli=20 * _HOUR_MILLI).data.get("claim")
        for name in ("ida", "kay"):
            if claim:
                year.act(name, ConfirmRepayment, claim=claim)


def _foresee(year: Year, day: int) -> None:
    """Open markets on what comes, trade in them, and resolve or forget them."""
    now_us = year.venue.time_us
    if day % 10 == 0:
        times = {"closes_at_us": now_us + 5 * DAY_US, "resolve_by_us": now_us + 8 * DAY_US}
        year.act("kay", OpenPrediction, question=f"by day {day + 5}?", resolver=_ATTESTER, **times)
    opened = year.told("kay", "predictions.opened")
    if opened is None:
        return
    if day % 10 in (1, 2, 3):
        buyer, outcome = (("hal", "yes"), ("jon", "no"), ("lea", "yes"))[day % 10 - 1]
        year.act(buyer, BuyShares, market=opened.market, outcome=outcome, shares=3 * _CREDIT, max_cost=3 * _CREDIT)
    if day % 10 == 6 and day % 30 != 26:
        year.act(_ATTESTER, ResolvePrediction, market=opened.market, outcome="yes")


def _assure(year: Year, day: int) -> None:
    """Propose goods of which every second finds too few pledges."""
    now_us = year.venue.time_us
    if day % 20 == 0:
        terms = {
            "title": f"tests {day}",
            "unit": "credits",
            "threshold": 30 * _CREDIT,
            "cap": 50 * _CREDIT,
            "deadline_us": now_us + 4 * DAY_US,
            "deliver_by_us": now_us + 9 * DAY_US,
            "provider": "lea",
            "refund_bonus_bp": 500,
            "attester": _ATTESTER,
        }
        good = year.act("lea", ProposeGood, **terms).data.get("good")
        for name in ("hal", "ida", "jon") if day % 40 == 0 else ("hal",):
            if good:
                year.act(name, Pledge, good=good, credits=13 * _CREDIT)
    if day % 20 == 6 and (reached := year.told("lea", "assurance.reached")) is not None:
        settlement = year.told("lea", "settlements.opened")
        if settlement is not None:
            year.act("lea", Deliver, settlement=settlement.settlement)
        year.act(_ATTESTER, ConfirmGood, good=reached.good)


def _pay_for_harm(year: Year, day: int) -> None:
    """Report what is done to others."""
    if day % 15 == 10:
        affected = [AffectedModule(module="user", severity=40)]
        terms: dict[str, Any] = {"kind": "coupling", "module": "kept", "affected": affected}
        year.act(_ATTESTER, ReportExternality, source="hal", reference=f"change {day}", **terms)
    if day % 15 == 12:
        year.act(
            _ATTESTER,
            ReportExternality,
            kind="context_switch",
            source="jon",
            target="kay",
            units=2,
            reference=f"call {day}",
        )


def _govern(year: Year, day: int) -> None:
    """Vote on the rate at which values are taxed, up and down."""
    if day % 30 == 5:
        value = 400 if day % 60 == 5 else 600
        proposal = year.act("kay", ProposeChange, parameter="harberger_rate_bp", value=value).data.get("proposal")
        for name in (*_CAST, "ann", "ben", "cid"):
            if proposal:
                year.act(name, Vote, proposal=proposal, in_favour=True)


_ACTS: Final[tuple[Callable[[Year, int], None], ...]] = (_own, _owe, _foresee, _assure, _pay_for_harm, _govern)


def main() -> None:
    """Live a year and print what it came to, for a test that compares processes."""
    seed, days = (int(argument) for argument in sys.argv[1:])
    year = Year(seed)
    year.live(days)
    engine = year.venue.engine
    result = {
        "state_hash": engine.state_hash(),
        "outputs": blake2b(b"".join(year.venue.digests)).hexdigest(),
        "batches": len(year.venue.batches),
        "difference": engine.conservation_difference(),
        "happened": dict(sorted(year.happened().items())),
        "rates": sorted(year.rates),
        "months_shared": year.months_shared(),
        "foreclosed": dict(sorted(year.foreclosed().items())),
    }
    print(json.dumps(result))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
