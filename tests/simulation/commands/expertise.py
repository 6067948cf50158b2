"""Draw commands of the family ``expertise``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.expertise import OfferHelp, RateSettlement, RequestHelp, WithdrawHelpOffer

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_TOPICS: Final = ("rust", "rust", "sql", "c++")
_CREDIT: Final = 1_000_000
_SECOND_US: Final = 1_000_000


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    if dice < 0.4:
        return OfferHelp, _offer(random, view)
    if dice < 0.5:
        offered = view.recent("expertise.offered")
        number = random.choice(offered).offer if offered and random.random() < 0.9 else random.randrange(1, 60)
        return WithdrawHelpOffer, {"offer": number}
    if dice < 0.75:
        return RequestHelp, {
            "topic": random.choice(_TOPICS),
            "max_price": random.choice((1, 10, 10)) * _CREDIT,
            "minutes": random.choice((5, 30, 60)),
            "min_reputation": random.choice((0, 0, 0, 50, 60)),
        }
    opened = view.recent("expertise.rating_opened")
    number = random.choice(opened).settlement if opened and random.random() < 0.95 else random.randrange(1, 40)
    return RateSettlement, {"settlement": number, "score": random.choice((0, 40, 90, 100))}


def _offer(random: Random, view: View) -> dict[str, Any]:
    return {
        "topic": random.choice(_TOPICS),
        "price": random.choice((1, 999_999, _CREDIT, 3 * _CREDIT, 5 * _CREDIT, 200 * _CREDIT)),
        "minutes": random.choice((10, 30, 60, 240)),
        "until_us": view.venue_time_us + random.choice((0, 1, 600, 86_400, 864_000)) * _SECOND_US,
    }
