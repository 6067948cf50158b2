"""Prove a run when it is over: what is in the journal explains everything that anybody was told."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent_sdk.event_models import Gap
from exchange.daemon.host import Host, decode_batch
from exchange.engine import Engine
from exchange.messages import event_union
from tests.core.registries import NAIVE
from tests.simulation.naive_ledger import VENUE, NaiveLedger
from tests.simulation.solving import AuctionsSeen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.agents import Told
    from tests.simulation.world import World

__all__ = ["Audit", "audit", "balance_problems", "order_problems"]

_NOT_REMEMBERED: Final = frozenset(
    {
        "invalid_id",
        "duplicate_id",
        "outcome_forgotten",
        "expired",
        "valid_until_too_far",
        "too_many_sessions",
        "unknown_agent",
    }
)
"""A command that was rejected for one of these did not run, and the venue need not remember it."""

_decode_events = msgspec.json.Decoder(list[event_union()]).decode
_decode_outcome = msgspec.json.Decoder(dict[str, Any]).decode


class Audit:
    """Hold what the journal says happened, by the naive book and the naive ledger."""

    def __init__(self) -> None:
        self.engine = Engine(NAIVE)
        self.ledger = NaiveLedger()
        self.outcomes: dict[tuple[str, str], list[bytes]] = {}
        """All outcomes of each agent's command id, in order: those of its repetitions too."""
        self.events: dict[str, list[bytes]] = {}
        """Every agent's encoded events."""


def audit(world: World) -> Audit:
    """Replay the journal by the naive book; note what it brings forth, and that it is what the records say."""
    found = Audit()
    auctions = AuctionsSeen(found.engine, world.count)
    for record in world.stream.records:
        batch = decode_batch(record)
        outputs = found.engine.apply(batch)
        if outputs.digest() != record.outputs_hash:
            world.violate("the_naive_book_agrees", f"record {record.index} brings forth something else")
            return found
        commands = []
        for (agent, command, _), encoded in zip(batch.submissions, outputs.outcomes, strict=True):
            found.outcomes.setdefault((agent, command.id), []).append(encoded)
            commands.append((agent, command, command.id, b'"status":"accepted"' in encoded))
        events = []
        for agent, first, total, encoded in outputs.events:
            history = found.events.setdefault(agent, [])
            if first != len(history) + 1:
                world.violate(
                    "histories_are_exact", f"record {record.index}: event {first} of {agent} follows {len(history)}"
                )
            raw = msgspec.json.decode(encoded, type=list[msgspec.Raw])
            history.extend(map(bytes, raw))
            events.append((agent, _decode_events(encoded)))
            del total
        found.ledger.fold(commands, events)
        auctions.note()
    _check_replay(world, found)
    _check_books(world, found)
    _check_wire(world, found)
    for agent in world.agents:
        for told in agent.told:
            _check_told(world, found, told)
        _check_history(world, found, agent)
    return found


def _check_replay(world: World, found: Audit) -> None:
    """Replay all by the real host: it comes to the same state, and every daemon has that."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    hashes: dict[int, str] = {}
    wanted = {node.host.engine.index for node in world.nodes if node.host is not None}
    for body in world.stream.bodies:
        host.replay(body)
        if host.engine.index in wanted or host.engine.index == world.stream.last:
            hashes[host.engine.index] = host.engine.state_hash()
    naive_hash = found.engine.state_hash()
    if hashes[world.stream.last] != naive_hash:
        world.violate("the_naive_book_agrees", "its state is another")
    for node in world.nodes:
        if node.host is not None and node.host.engine.state_hash() != hashes.get(node.host.engine.index):
            world.violate("every_copy_is_the_same", f"{node.name} at record {node.host.engine.index}")
    broken = host.engine.check_invariants()
    if broken:
        world.violate("invariants_hold", f"after a replay: {broken[:3]}")


def _check_books(world: World, found: Audit) -> None:
    """Compare balances, open orders and trades with what agents could count themselves."""
    problems = [
        *found.ledger.check(),
        *balance_problems(found.engine, found.ledger),
        *order_problems(found.engine, found.ledger),
    ]
    if problems:
        world.violate("the_naive_ledger_agrees", "; ".join(problems[:3]))


def balance_problems(engine: Engine, ledger: NaiveLedger) -> Iterator[str]:
    """Yield the balances that are not what agents could count themselves."""
    held, unknown = ledger.held()
    for account in engine.ledger.accounts.values():
        if account.kind != "agent":
            continue
        for asset, balance in account.balances.items():
            key = (account.name, asset)
            total = balance.available + balance.held
            if total != ledger.totals.get(key, 0):
                yield f"{account.name} has {total} of {asset}, by its events {ledger.totals.get(key, 0)}"
            if key not in unknown and balance.held != held.get(key, 0):
                yield f"{account.name} holds {balance.held} of {asset}, its orders need {held.get(key, 0)}"
    for asset, amount in _venue_totals(engine, ledger).items():
        if amount != ledger.totals.get((VENUE, asset), 0):
            yield f"escrows and the venue have {amount} of {asset}, by events {ledger.totals.get((VENUE, asset), 0)}"
    for name, asset_record in engine.ledger.assets.items():
        if asset_record.issued != ledger.issued.get(name, 0):
            yield f"{asset_record.issued} of {name} are issued, commanded were {ledger.issued.get(name, 0)}"


def _venue_totals(engine: Engine, ledger: NaiveLedger) -> dict[str, int]:
    """Return what escrows and the venue's own accounts have beyond what the naive ledger knows of these."""
    totals: dict[str, int] = defaultdict(int)
    accounts = engine.ledger.accounts
    for account in accounts.values():
        if account.kind != "agent":
            for asset, balance in account.balances.items():
                totals[asset] += balance.available + balance.held
    for (name, asset), total in ledger.totals.items():
        # One that was emptied and loaded has no balance any more, so these are not found above.
        if name in accounts and accounts[name].kind != "agent":
            totals[asset] -= total
    return totals


def order_problems(engine: Engine, ledger: NaiveLedger) -> Iterator[str]:
    """Yield the orders and trades that are not what agents heard of."""
    orders: Any = engine.mechanisms["orders"]
    live = {
        order.order_id: (trader.agent.agent_id, order.market.market_id, order.is_buy, order.remaining)
        for trader in orders.traders.values()
        for order in trader.orders.sorted()
    }
    known = {number: (each.agent, each.market, each.is_buy, each.remaining) for number, each in ledger.orders.items()}
    for number in {**live, **known}:
        if live.get(number) != known.get(number):
            yield f"order {number} is {live.get(number)}, by events {known.get(number)}"
    for name, market in orders.markets.items():
        if market.trades != len(ledger.trades[name]):
            yield f"{market.trades} trades in {name}, by events {len(ledger.trades[name])}"


def _check_wire(world: World, found: Audit) -> None:
    """Compare what left, byte for byte, with what the journal brings forth."""
    for (agent, command_id), sent in world.wire.outcomes.items():
        possible = found.outcomes.get((agent, command_id), [])
        for encoded in sent:
            if encoded not in possible:
                world.violate("outcomes_are_explained", f"{agent} was sent {encoded!r}, not of the journal")
    for agent, first, encoded in world.wire.events:
        raw = [bytes(each) for each in msgspec.json.decode(encoded, type=list[msgspec.Raw])]
        history = found.events.get(agent, [])
        if history[first - 1 : first - 1 + len(raw)] != raw:
            world.violate("histories_are_exact", f"{agent} was sent events from {first} on that are not of the journal")


def _check_told(world: World, found: Audit, told: Told) -> None:
    """Compare what the SDK said of a command with what became of it."""
    outcomes = [_decode_outcome(encoded) for encoded in found.outcomes.get((told.agent, told.id), ())]
    ran = [outcome for outcome in outcomes if outcome.get("reason") not in _NOT_REMEMBERED]
    if len({msgspec.json.encode(outcome) for outcome in ran}) > 1:
        world.violate("commands_run_once", f"{told.id} of {told.agent} ran with outcomes {ran}")
    if told.what == "unknown":
        world.violate("unknown_outcomes_settle", f"{told.id} of {told.agent} is not settled")
    elif not _is_so(world, told, ran):
        said = f"{told.agent} was told {told.what} {told.reason} of {told.id}"
        world.violate("what_agents_are_told_is_so", f"{said}: the journal says {ran}")


def _is_so(world: World, told: Told, ran: list[dict[str, Any]]) -> bool:
    if told.what == "forgotten":
        return True
    if told.what == "accepted":
        accepted = [outcome for outcome in ran if outcome["status"] == "accepted"]
        return bool(accepted) and (told.outcome is None or _is_same(told.outcome, accepted[0]))
    if told.what == "rejected" and told.reason not in _NOT_REMEMBERED:
        return any(outcome.get("reason") == told.reason for outcome in ran)
    # Whatever the words, they say that it was not and will not be executed.
    return not ran or told.reason == "duplicate_id" or _was_doubled(world, told)


def _is_same(outcome: Any, written: dict[str, Any]) -> bool:
    """Compare what every outcome has; one that was settled later may have been read as a plain one."""
    order = getattr(outcome, "order", None)
    if order is not None and order.order_id != written["order"]["order_id"]:
        return False
    return (outcome.id, outcome.venue_time_us) == (written["id"], written["venue_time_us"])


def _was_doubled(world: World, told: Told) -> bool:
    needle = b'"id":"%b"' % told.id.encode()
    return any(needle in payload for payload in world.network.doubled)


def _check_history(world: World, found: Audit, agent: Any) -> None:
    """Compare what the SDK delivered with the agent's history: each event once, in order, from the first on."""
    history = found.events.get(agent.name, [])
    for position, event in enumerate(agent.heard):
        if isinstance(event, Gap):
            world.violate("histories_are_exact", f"{agent.name} was told of a gap after {position} events")
            return
        written = _decode_outcome(history[position]) if position < len(history) else {}
        same = (event.seq, event.venue_time_us) == (written.get("seq"), written.get("venue_time_us"))
        if not same or getattr(event, "order_id", None) != written.get("order_id"):
            world.violate("histories_are_exact", f"{agent.name} heard {event} as its {position + 1}th event: {written}")
            return
