"""Draw commands of the family ``debts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.debts import (
    AuctionDebt,
    BidOnDebt,
    ChooseInterest,
    ConfirmRepayment,
    DeclineDebt,
    IssueDebt,
    OfferDebt,
    RepayDebt,
    SignDebt,
    TakeDebt,
    WithdrawDebtBid,
    WithdrawSale,
)
from exchange.messages.settlements import Deliver
from exchange.messages.tasks import BidOnTask

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_CREDIT: Final = 1_000_000


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give; what it was asked to sign, take or confirm, it mostly does."""
    unsigned = _unsigned(view)
    offered = _offered(view)
    claimed = _claimed(view)
    if random.random() < 0.2 and view.public.get("paydown"):
        return _work(random, view)
    dice = random.random()
    if unsigned and dice < 0.4:
        return SignDebt, {"token": random.choice(unsigned[-3:])}
    if offered and random.random() < 0.3:
        offer = random.choice(offered)
        return TakeDebt, {"token": offer.token, "offer": offer.offer}
    if claimed and random.random() < 0.5:
        return ConfirmRepayment, {"claim": random.choice(claimed[-3:])}
    if dice < 0.5:
        return IssueDebt, _debt(random, view)
    if dice < 0.8:
        return _repay(random, view) if random.random() < 0.5 else _sell(random, view)
    if dice < 0.86:
        token = view.guess(random, "debt_auction")
        view.debt_bids.append(token)
        return BidOnDebt, {"token": token, "pay": random.choice((0, 3, 7, _CREDIT, 2 * _CREDIT, 5 * _CREDIT))}
    token = view.guess(random, "debt")
    others: tuple[Drawn, ...] = (
        (WithdrawDebtBid, {"token": random.choice(view.debt_bids or [token])}),
        (ChooseInterest, {"token": _held(random, view), "is_paid": random.random() < 0.8}),
        (WithdrawSale, {"token": _held(random, view)}),
        (DeclineDebt, {"token": token}),
    )
    return random.choice(others)


def _unsigned(view: View) -> list[int]:
    """Return the debts that somebody else proposed and that wait for the agent's signature, as far as it knows."""
    done = {event.token: None for event in view.recent("debts.signed") if event.agent == view.agent}
    done |= {event.token: None for tag in ("debts.issued", "debts.ended") for event in view.recent(tag)}
    proposed = view.recent("debts.proposed")
    return [event.token for event in proposed if event.issuer != view.agent and event.token not in done]


def _claimed(view: View) -> list[int]:
    """Return the claims of others that are not final, as far as the agent knows."""
    done = {event.claim: None for event in view.recent("debts.repayment_final")}
    return [
        event.claim
        for event in view.recent("debts.repayment_claimed")
        if event.by != view.agent and event.claim not in done
    ]


def _offered(view: View) -> list[Any]:
    """Return the latest offers of others that stand, as far as the agent knows."""
    ends = [*view.recent("debts.sale_ended"), *view.recent("debts.transferred")]
    ended = {event.token: event.seq for event in sorted(ends, key=lambda event: event.seq)}
    held = _known(view)
    return [
        event
        for event in view.recent("debts.offered")[-2:]
        if event.token not in held and event.seq > ended.get(event.token, 0)
    ]


def _debt(random: Random, view: View) -> dict[str, Any]:
    sign_by_us = view.venue_time_us + random.choice((3, 600, 864_000, 864_000)) * _SECOND_US
    principal = random.choice((1, 7, 2_500, 2_500, 20_000))
    return {
        "feature": "the parser",
        "principal_hours_milli": principal,
        "interest_hours_milli_per_month": random.choice((0, principal // 10, principal // 3, principal)),
        "maturity_us": sign_by_us + random.choice((_SECOND_US, _DAY_US, 20 * _DAY_US, 45 * _DAY_US)),
        "beneficiaries": {
            name: random.choice((1, 1, 3)) for name in random.sample(view.agents, random.choice((1, 1, 2)))
        },
        "sign_by_us": sign_by_us,
        "attester": random.choice((None, None, random.choice(view.agents))),
        "confirm_seconds": random.choice((None, 1, 864_000)),
    }


def _held(random: Random, view: View) -> int:
    """Return a debt that the agent holds, as far as it knows."""
    return random.choice(_known(view)[-3:] or [view.guess(random, "debt")])


def _known(view: View) -> list[int]:
    """Return the debts that the agent holds, as far as it knows, by when it has got them."""
    ended = {event.token: None for event in view.recent("debts.ended")}
    events = [*view.recent("debts.issued"), *view.recent("debts.transferred")]
    holders = {event.token: event.holder for event in sorted(events, key=lambda event: event.seq)}
    return [token for token, holder in holders.items() if holder == view.agent and token not in ended]


def _work(random: Random, view: View) -> Drawn:
    """Do the work of a paydown: deliver what the agent has won, or bid."""
    tasks = view.public["paydown"]
    won = [
        event
        for event in view.recent("settlements.opened")
        if event.provider == view.agent and event.origin in [f"tasks:{task}" for task in tasks]
    ]
    if won:
        return Deliver, {"settlement": won[-1].settlement, "fencing_token": won[-1].fencing_token, "reference": "pr/2"}
    return BidOnTask, {"task": random.choice(tasks), "price": random.choice((1, 1_000, _CREDIT))}


def _repay(random: Random, view: View) -> Drawn:
    hours = random.choice((1, 1, 7, 1_000, 2_500, 20_000))
    return RepayDebt, {"token": _held(random, view), "hours_milli": hours, "reference": "pr/1"}


def _sell(random: Random, view: View) -> Drawn:
    token = _held(random, view)
    if random.random() < 0.5:
        closes_at_us = view.venue_time_us + random.choice((60, 172_800, 864_000)) * _SECOND_US
        max_pay = random.choice((9, 3 * _CREDIT))
        return AuctionDebt, {"token": token, "max_pay": max_pay, "closes_at_us": closes_at_us}
    pay = random.choice((0, 1, 10, 2 * _CREDIT))
    taker = random.choice((None, *([random.choice(view.agents)] * 4)))
    until_us = random.choice((None, None, view.venue_time_us + random.choice((0, 60, 86_400)) * _SECOND_US))
    return OfferDebt, {"token": token, "pay": pay, "taker": taker, "until_us": until_us}
