"""Draw commands of the family ``disputes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.disputes import OpenDispute, Rule, Stake, Unstake

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_CREDIT = 1_000_000


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give; who was seated mostly rules, who may dispute sometimes does."""
    seated, disputable, stakes = (
        view.recent("disputes.seated"),
        _disputable(view),
        view.recent("disputes.stake_changed"),
    )
    dice = random.random()
    if not stakes or (stakes[-1].stake < 50 * _CREDIT and dice < 0.5):
        return Stake, {"amount": random.choice((1, 50, 60, 200)) * _CREDIT}
    if seated and dice < 0.5:
        return Rule, {
            "dispute": random.choice(seated[-3:]).dispute,
            "upheld": random.random() < 0.5,
            "statement": "seen",
        }
    if disputable and dice < 0.8:
        family, number = random.choice(disputable)
        return OpenDispute, {"family": family, "number": number, "statement": "it is not what was agreed on"}
    if dice < 0.85:
        return Stake, {"amount": random.choice((1, 5)) * _CREDIT}
    if dice < 0.9:
        return Unstake, {"amount": random.choice((_CREDIT, 5 * _CREDIT, max(stakes[-1].stake, 1)))}
    if dice < 0.95:
        return OpenDispute, {"family": "settlements", "number": view.guess(random, "settlement")}
    return Rule, {"dispute": view.guess(random, "dispute"), "upheld": True}


def _disputable(view: View) -> list[tuple[str, int]]:
    """Return what it heard of lately that may be disputed."""
    events = (*view.recent("settlements.delivered")[-3:], *view.recent("settlements.failing")[-3:])
    attested = [("contracts", event.attestation) for event in view.recent("contracts.attested")[-3:]]
    reported = [("predictions", event.market) for event in view.recent("predictions.reported")[-3:]]
    claims = (*view.recent("debts.repayment_attested")[-2:], *view.recent("debts.repayment_refused")[-2:])
    repaid = [("debts", event.claim) for event in claims]
    # Whoever pledged for a good may dispute what it pays for.
    goods = [("settlements", event.settlement) for event in view.recent("assurance.delivered")[-2:]]
    levied = [
        ("externalities", event.externality)
        for event in view.recent("externalities.reported")[-3:]
        if event.source == view.agent
    ]
    return [*(("settlements", event.settlement) for event in events), *attested, *reported, *repaid, *goods, *levied]
