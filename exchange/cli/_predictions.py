"""``exchange prediction``: open prediction markets, trade shares of outcomes, and say what happened."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from exchange.cli._asking import ask, print_all, print_done, print_one, when
from exchange.cli._names import Amount, MaybeAmount
from exchange.cli._output import CliError, Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from agent_sdk import Agent, PlacedShareOrder, PredictedOutcome, Prediction

__all__ = [
    "accept_",
    "buy_",
    "cancel_",
    "claim_",
    "list_",
    "merge_",
    "mint_",
    "open_",
    "orders_",
    "place_",
    "quote_",
    "resolve_",
    "sell_",
    "shares_",
    "show_",
]

_VOID: Final = "void"


def open_(
    question: str,
    /,
    *,
    outcome: tuple[str, ...] = (),
    resolver: str | None = None,
    closes_in: timedelta | None = None,
    resolve_in: timedelta | None = None,
    task: int | None = None,
    kind: Literal["lmsr", "book"] = "lmsr",
    liquidity: MaybeAmount = None,
    detail: str = "",
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Open a market; what its maker can lose goes into escrow.

    Parameters
    ----------
    question
        What is asked.
    outcome
        One of the outcomes; repeat it for all of them (default: yes and no).
    resolver
        Attester that says what happened.
    closes_in
        Time from now until trading stops, such as 2d.
    resolve_in
        Time from now until the resolver has to say what happened; after that the market is void.
    task
        Number of a task of your own that the market is about, in the place of the resolver.
    kind
        Whether a maker trades, or complete sets are traded by orders (default: lmsr).
    liquidity
        How much it takes to move the maker's prices, in credits (default: the venue's).
    detail
        All that a forecaster needs to know.
    """

    async def open_it(agent: Agent) -> Prediction:
        if task is not None:
            seconds = None if closes_in is None else closes_in.total_seconds()
            opened = await agent.predictions.open_for_task(
                task, question, closes_in=seconds, kind=kind, liquidity=liquidity, detail=detail
            )
        elif resolver is None or closes_in is None or resolve_in is None:
            message = "give --resolver, --closes-in and --resolve-in, or --task"
            raise CliError(message)
        else:
            opened = await agent.predictions.open(
                question,
                resolver=resolver,
                closes_in=closes_in.total_seconds(),
                resolve_in=resolve_in.total_seconds(),
                outcomes=outcome or ("yes", "no"),
                kind=kind,
                liquidity=liquidity,
                detail=detail,
            )
        return await agent.predictions.get(opened.id)

    if task is not None and (resolver is not None or resolve_in is not None or outcome):
        message = "what comes of the task resolves the market: leave out --resolver, --resolve-in and --outcome"
        raise CliError(message)
    market = ask(venue, open_it)
    text = f"market {market.id} is {market.state}: {market.question}"
    print_done(market, json, f"{text}; {market.subsidy:f} in escrow for its maker" if market.subsidy else text)


def buy_(
    market: int,
    outcome: str,
    shares: Amount,
    /,
    *,
    max_cost: Amount,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Buy shares of a market's maker.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome.
    shares
        How many, such as 2.5; each pays one credit if the outcome happens.
    max_cost
        Most that they may cost, in credits.
    """
    trade = ask(venue, lambda agent: agent.predictions.buy(market, outcome, shares, max_cost=max_cost))
    print_done(trade, json, f"bought {shares:f} of {outcome} for {trade.amount:f}; {trade.shares:f} are yours")


def sell_(
    market: int,
    outcome: str,
    shares: Amount,
    /,
    *,
    min_proceeds: MaybeAmount = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Sell shares to a market's maker.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome.
    shares
        How many, such as 2.5.
    min_proceeds
        Least that they may bring, in credits (default: anything).
    """
    least = 0 if min_proceeds is None else min_proceeds
    trade = ask(venue, lambda agent: agent.predictions.sell(market, outcome, shares, min_proceeds=least))
    print_done(trade, json, f"sold {shares:f} of {outcome} for {trade.amount:f}; {trade.shares:f} are yours")


def quote_(
    market: int,
    outcome: str,
    shares: Amount,
    /,
    *,
    side: Literal["buy", "sell"] = "buy",
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Ask what a market's maker takes or pays for shares now.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome.
    shares
        How many, such as 2.5.
    side
        Whether to buy or to sell them (default: buy).
    """
    found = ask(venue, lambda agent: agent.predictions.quote(market, outcome, shares, side=side))
    verb = "cost" if side == "buy" else "bring"
    print_done(
        found, json, f"{shares:f} of {outcome} {verb} {found.amount:f}; its probability is {found.probability:f} then"
    )


def place_(
    market: int,
    outcome: str,
    side: Literal["buy", "sell"],
    shares: int,
    price: Amount,
    /,
    *,
    immediate: bool = False,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Place an order for whole shares, in a market of complete sets.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome.
    side
        Whether to buy or to sell.
    shares
        How many whole shares.
    price
        Price of a share in credits, above 0 and below 1.
    immediate
        Cancel what does not trade at once.
    """

    async def place(agent: Agent) -> PlacedShareOrder:
        kept: Literal["gtc", "ioc"] = "ioc" if immediate else "gtc"
        return await agent.predictions.place(market, outcome, side, shares, price, time_in_force=kept)

    placed = ask(venue, place)
    print_done(
        placed, json, f"order {placed.id}: {placed.filled:f} filled for {placed.value:f}, {placed.remaining:f} waiting"
    )


def cancel_(market: int, order: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Take back what is left of an order.

    Parameters
    ----------
    market
        Number of the market.
    order
        Number of the order.
    """

    async def cancel(agent: Agent) -> Prediction:
        await agent.predictions.cancel(market, order)
        return await agent.predictions.get(market)

    print_done(ask(venue, cancel), json, f"order {order} is canceled")


def mint_(market: int, sets: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Pay a credit for a share of every outcome, in a market of complete sets.

    Parameters
    ----------
    market
        Number of the market.
    sets
        How many whole sets.
    """
    trade = ask(venue, lambda agent: agent.predictions.mint(market, sets))
    print_done(trade, json, f"paid {trade.amount:f} for {sets} of every outcome; {trade.shares:f} sets are yours")


def merge_(market: int, sets: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Give a share of every outcome for a credit, in a market of complete sets.

    Parameters
    ----------
    market
        Number of the market.
    sets
        How many whole sets.
    """
    trade = ask(venue, lambda agent: agent.predictions.merge(market, sets))
    print_done(trade, json, f"got {trade.amount:f} for {sets} of every outcome; {trade.shares:f} sets are yours")


def orders_(market: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """List the agent's open orders in a market of complete sets, the oldest first.

    Parameters
    ----------
    market
        Number of the market.
    """
    print_all(
        ask(venue, lambda agent: agent.predictions.orders(market), _missing(market)),
        json,
        ("order", "side", "outcome", ">price", ">remaining"),
        lambda order: (order.id, order.side, order.outcome, f"{order.price:f}", f"{order.remaining:f}"),
        empty="This agent has no open orders there.",
    )


def resolve_(market: int, outcome: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Say, as the resolver, what happened.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome that happened, or "void" if nobody can say.
    """

    async def resolve(agent: Agent) -> Prediction:
        await agent.predictions.resolve(market, await _outcome_of(agent, market, outcome))
        return await agent.predictions.get(market)

    found = ask(venue, resolve, _missing(market))
    print_done(
        found, json, f"market {market} is {found.state}: {found.outcome or _VOID}, final at {when(found.final_at_us)}"
    )


def claim_(market: int, outcome: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Say what happened instead of what was reported, before disputing it by the number of the market.

    Parameters
    ----------
    market
        Number of the market.
    outcome
        Name of the outcome that happened, or "void" if nobody can say.
    """

    async def claim(agent: Agent) -> Prediction:
        await agent.predictions.claim(market, await _outcome_of(agent, market, outcome))
        return await agent.predictions.get(market)

    found = ask(venue, claim, _missing(market))
    print_done(found, json, f"a dispute of market {market} by this agent, if upheld, comes to {outcome}")


def accept_(market: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Accept a report that goes against the agent, instead of letting its window pass.

    Parameters
    ----------
    market
        Number of the market.
    """

    async def accept(agent: Agent) -> Prediction:
        await agent.predictions.accept(market)
        return await agent.predictions.get(market)

    found = ask(venue, accept, _missing(market))
    print_done(found, json, f"accepted; market {market} is {found.state}")


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List the prediction markets that have not ended."""
    print_all(
        ask(venue, lambda agent: agent.predictions.list()),
        json,
        ("market", "question", "kind", "state", "probabilities", "closes"),
        lambda found: (
            found.id, found.question, found.kind, found.state, _probabilities(found), when(found.closes_at_us),
        ),
        empty="There are no prediction markets.",
    )  # fmt: skip


def show_(market: int, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one market: its outcomes with their probabilities, and how it stands.

    Parameters
    ----------
    market
        Number of the market.
    """
    found = ask(venue, lambda agent: agent.predictions.get(market), _missing(market))
    happened = _VOID if found.is_void else found.outcome
    print_one(
        found,
        json,
        (
            ("market", found.id),
            ("question", found.question),
            ("detail", found.detail),
            ("kind", found.kind),
            ("state", found.state),
            ("creator", found.creator),
            ("resolver", found.resolver),
            ("task", found.task),
            ("performer", found.performer),
            *((f"outcome {each.name}", _outcome(each)) for each in found.outcomes),
            ("liquidity", f"{found.liquidity:f}" if found.liquidity else None),
            ("subsidy", f"{found.subsidy:f}" if found.subsidy else None),
            ("in escrow", f"{found.in_escrow:f}"),
            ("traders", found.traders),
            ("trades", found.trades),
            ("closes", when(found.closes_at_us)),
            ("resolved by", when(found.resolve_by_us)),
            ("happened", happened),
            ("final", when(found.final_at_us)),
            ("dispute", found.dispute),
            ("claimed", found.claimed),
        ),
    )


def shares_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List what the agent has in prediction markets that have not ended."""
    print_all(
        ask(venue, lambda agent: agent.predictions.shares()),
        json,
        ("market", "question", "state", "shares", ">staked"),
        lambda held: (
            held.market, held.question, held.state,
            ", ".join(f"{count:f} {name}" for name, count in held.shares.items() if count), f"{held.stake:f}",
        ),
        empty="This agent has no shares.",
    )  # fmt: skip


async def _outcome_of(agent: Agent, market: int, outcome: str) -> str | None:
    """Return the outcome that a user means; None for "void", unless an outcome has that name."""
    known = [each.name for each in (await agent.predictions.get(market)).outcomes]
    return None if outcome == _VOID and _VOID not in known else outcome


def _missing(market: int) -> str:
    return f"there is no prediction market {market}, or it ended long ago; see `exchange prediction list`"


def _probabilities(found: Prediction) -> str:
    return ", ".join(f"{each.name} {each.probability:.1%}" for each in found.outcomes)


def _outcome(each: PredictedOutcome) -> str:
    facts = [f"{each.probability:.1%}", f"{each.shares:f} shares", f"{each.average:.1%} on average"]
    for word, levels in (("bid", each.bids), ("ask", each.asks)):
        if levels:
            facts.append(f"{word} {levels[0].price:f} for {levels[0].shares:f}")
    return ", ".join(facts)
