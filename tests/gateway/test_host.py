"""The host: what it releases, what it keeps, and that its records replay to the same venue."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from exchange.adapters.records import JournalCorrupt, JournalRecord, decode_record
from exchange.daemon.host import MESSAGE_BYTES_MAX, Host
from exchange.messages.admin import Settings
from exchange.views.recent_events import EVENTS_KEPT_MIN
from tests.gateway.desk import OPERATOR, SECOND_US, Desk

MD = "exchange.v1.md."
AGENTS = ("ann", "ben", "cid", "dot")


def trade_at_random(desk: Desk, seed: int, turns: int) -> None:
    """Let four agents place, amend and cancel at random in two markets, over several epochs."""
    random = Random(seed)
    desk.open_market(*AGENTS, quantity=100_000)
    desk.open_market(market="fees", maker_fee_bp=7, taker_fee_bp=23)
    types = ["limit"] * 6 + ["market", "iceberg", "stop", "stop_limit", "budget"]
    for _ in range(turns):
        for _ in range(random.choice([0, 1, 1, 2, 5, 20])):
            agent = random.choice(AGENTS)
            market = random.choice(["cpu", "fees"])
            match random.random():
                case p if p < 0.12:
                    message = desk.command(agent, "orders.cancel", order_id=random.randint(1, 400))
                case p if p < 0.17:
                    message = desk.command(agent, "orders.mass_cancel", market=market)
                case p if p < 0.25:
                    fields = {"order_id": random.randint(1, 400), "price": random.randint(90, 110)}
                    message = desk.command(agent, "orders.amend", **fields)
                case _:
                    message = random_order(desk, random, agent, market, random.choice(types))
            desk.post(agent, message)
        desk.turn(after_us=random.choice([1, 1_000, SECOND_US]))
        if random.random() < 0.03:
            desk.new_epoch(after_us=random.choice([1, SECOND_US]))


def random_order(desk: Desk, random: Random, agent: str, market: str, order_type: str) -> dict[str, Any]:
    """Return an order of a type, near a price of 100."""
    fields: dict[str, Any] = {
        "market": market,
        "side": random.choice(["buy", "sell"]),
        "order_type": order_type,
    }
    if order_type == "budget":
        fields["budget"] = random.randint(100, 2_000)
        fields["side"] = "buy"
    else:
        fields["quantity"] = random.randint(1, 20)
    if order_type in {"limit", "iceberg", "stop_limit"}:
        fields["price"] = random.randint(92, 108)
    if order_type == "iceberg":
        fields["display_quantity"] = random.randint(1, fields["quantity"])
    if order_type in {"stop", "stop_limit"}:
        fields["trigger_price"] = random.randint(92, 108)
    if order_type == "limit":
        fields["time_in_force"] = random.choice(["gtc", "gtc", "gtc", "ioc", "fok", "gtd"])
        if fields["time_in_force"] == "gtd":
            fields["expires_at_us"] = desk.time_us + random.randint(1, 5 * SECOND_US)
    return desk.command(agent, "orders.place", **fields)


def replayed(bodies: list[bytes]) -> Host:
    """Return a new host that has replayed records."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    for body in bodies:
        host.replay(body)
    return host


@pytest.fixture(scope="module")
def traded() -> Desk:
    """Return a host after 400 random turns; tests only read it."""
    desk = Desk(settings=Settings(max_fills_per_command=9, max_cancels_per_command=15, max_open_orders=60))
    trade_at_random(desk, 1, 400)
    assert len(desk.released) > 2_000, "the fixture trades too little to prove anything"
    return desk


# ── replay ──────────────────────────────────────────────────────────────────────────────────────


def test_records_replay_to_the_same_venue(traded: Desk) -> None:
    """Chain hash, state hash, event ring and answers come out the same."""
    host = replayed(traded.bodies)
    assert host.hash == traded.host.hash
    assert host.engine.state_hash() == traded.engine.state_hash()
    assert host.engine.check_invariants() == []
    for agent in (*AGENTS, OPERATOR):
        assert host.events.since(agent, 0, 10**6, 10**9) == traded.host.events.since(agent, 0, 10**6, 10**9)
        assert host.events.last(agent) == traded.engine.agents[agent].seq
    assert host.trades.latest("cpu", 1_000) == traded.host.trades.latest("cpu", 1_000)


def test_a_replayed_host_goes_on_as_the_first_would(traded: Desk) -> None:
    """After a replay the next epoch releases the same bytes on both."""
    first, second = replayed(traded.bodies), replayed(traded.bodies[:100])
    for body in traded.bodies[100:]:
        second.replay(body)
    steps = [host.begin_epoch(traded.time_us + 1) for host in (first, second)]
    assert steps[0].body == steps[1].body
    assert first.release(steps[0]) == second.release(steps[1])


def test_replayed_ids_are_remembered(traded: Desk) -> None:
    """The same bytes after a replay get the original outcome, and nothing is done."""
    desk = Desk()
    desk.open_market("alice")
    command = desk.order("alice")
    desk.do("alice", command)
    sent: list[tuple[str, bytes]] = []
    host = Host(send=lambda subject, payload: sent.append((subject, payload)), now_s=lambda: 0.0)
    for body in desk.bodies:
        host.replay(body)
    before = host.engine.business_hash()
    host.gateway.receive_command("exchange.v1.cmd.alice.orders", "_INBOX.alice.1", msgspec.json.encode(command))
    released = host.replies(host.cut(desk.time_us + 1))
    replies = [payload for subject, payload in desk.released if subject == "_INBOX.alice.1"]
    assert [payload for subject, payload in released if subject == "_INBOX.alice.1"] == replies[-1:]
    assert host.engine.business_hash() == before
    assert sent == []


@pytest.mark.parametrize(
    ("after_s", "state"), [(9, "pending"), (11, "never_executed"), (609, "never_executed"), (611, "forgotten")]
)
def test_that_a_command_never_ran_is_said_while_it_is_known(after_s: int, state: str) -> None:
    """Not before its time has passed, and not when the session that would remember it may be forgotten."""
    desk = Desk()
    desk.open_market("ann")
    query = {"type": "venue.outcome", "id": "t.1", "valid_until_us": desk.time_us + 10 * SECOND_US}
    desk.turn(after_s * SECOND_US)
    assert [answer["state"] for answer in desk.ask("ann", query)] == [state]


@pytest.mark.parametrize("ran", [True, False])
def test_nothing_is_said_of_what_is_forgotten(ran: bool) -> None:
    """Ten minutes after its time, a command that ran and one that did not get the same answer."""
    desk = Desk()
    desk.open_market("ann")
    order = desk.order("ann")
    if ran:
        desk.do("ann", order)
    desk.turn(610 * SECOND_US)
    query = {"type": "venue.outcome", "id": order["id"], "valid_until_us": order["valid_until_us"]}
    assert [answer["state"] for answer in desk.ask("ann", query)] == ["forgotten"]


@pytest.mark.parametrize("at", [0, 1, 7, 150, -1])
def test_a_flipped_bit_is_refused(traded: Desk, at: int) -> None:
    """A record with any one bit flipped is refused, as is the record after it at the latest."""
    random = Random(at)
    at %= len(traded.bodies)
    for _ in range(25):
        host = replayed(traded.bodies[:at])
        body = bytearray(traded.bodies[at])
        body[random.randrange(len(body))] ^= 1 << random.randrange(8)
        try:
            host.replay(bytes(body))
        except JournalCorrupt as error:
            if "record" not in str(error):
                raise
            continue
        # Only what no output depends on can pass, and the chain shows it at the next record.
        if at + 1 < len(traded.bodies):
            with pytest.raises(JournalCorrupt, match=f"record {at + 2}"):
                host.replay(traded.bodies[at + 1])
        assert host.hash != replayed(traded.bodies[: at + 1]).hash


def test_every_flipped_byte_of_a_record_is_refused() -> None:
    """No byte of a record can change unnoticed: here, or by the chain hash."""
    desk = Desk()
    desk.open_market("alice", "bob")
    desk.do("alice", desk.order("alice", side="sell"))
    desk.do("bob", desk.order("bob"))
    earlier, body = desk.bodies[:-1], desk.bodies[-1]
    for at in range(len(body)):
        host = replayed(earlier)
        damaged = bytearray(body)
        damaged[at] ^= 0x41
        try:
            host.replay(bytes(damaged))
        except JournalCorrupt:
            continue
        assert host.hash != desk.host.hash


@pytest.mark.parametrize("damage", ["missing", "twice", "swapped", "cut", "empty", "longer", "other format"])
def test_damaged_journals_are_refused(traded: Desk, damage: str) -> None:
    """A journal with a record missing, doubled, exchanged, cut or of an unknown format is refused."""
    bodies = list(traded.bodies[:20])
    match damage:
        case "missing":
            del bodies[9]
        case "twice":
            bodies.insert(9, bodies[9])
        case "swapped":
            bodies[9], bodies[10] = bodies[10], bodies[9]
        case "cut":
            bodies[9] = bodies[9][:-1]
        case "empty":
            bodies[9] = b""
        case "longer":
            bodies[9] += b"\x00"
        case _:
            record = msgspec.structs.replace(decode_record(bodies[9]), format=99)
            bodies[9] = msgspec.msgpack.encode(record)
    with pytest.raises(JournalCorrupt):
        replayed(bodies)


@pytest.mark.parametrize(
    ("field", "value"),
    [("time_us", 1), ("epoch", -1), ("index", 3), ("outputs_hash", bytes(32)), ("previous_hash", bytes(32))],
)
def test_forged_fields_are_refused(traded: Desk, field: str, value: Any) -> None:
    """A record that goes back in time, epoch or index, or claims other outputs, is refused as corrupt."""
    record: JournalRecord = msgspec.structs.replace(decode_record(traded.bodies[50]), **{field: value})
    host = replayed(traded.bodies[:50])
    with pytest.raises(JournalCorrupt):
        host.replay(msgspec.msgpack.encode(record))


# ── private events ──────────────────────────────────────────────────────────────────────────────


def events_released(desk: Desk, agent: str) -> list[dict[str, Any]]:
    """Return all events that left for an agent, checking that each message continues the one before."""
    heard: list[dict[str, Any]] = []
    for subject, payload in desk.released:
        if subject == f"exchange.v1.evt.{agent}":
            message = msgspec.json.decode(payload)
            assert message["first"] == len(heard) + 1
            heard.extend(message["events"])
    return heard


def test_events_are_dense_and_the_same_in_pages(traded: Desk) -> None:
    """What leaves live and what ``venue.events`` tells later is one sequence 1, 2, 3, …"""
    for agent in AGENTS:
        live = events_released(traded, agent)
        assert [event["seq"] for event in live] == list(range(1, len(live) + 1))
        assert len(live) > 100
        for limit in (1, 7, 1_000):
            paged: list[dict[str, Any]] = []
            while True:
                desk_answer = traded.ask(agent, {"type": "venue.events", "since": len(paged), "limit": limit})
                if desk_answer[0]["type"] == "refusal":
                    traded.now_s += 10
                    continue
                page = desk_answer[0]
                assert page["first"] == len(paged) + 1
                assert not page["lost"]
                assert len(page["events"]) <= limit
                paged.extend(page["events"])
                if len(paged) == page["last"]:
                    break
                assert page["events"]
                if limit == 1 and len(paged) > 30:
                    break
            assert paged == live[: len(paged)]


@pytest.mark.parametrize("since", [-(2**70), -1, 0, 5, 10**6, 2**63, 2**64, 10**30])
def test_any_since_is_answered(traded: Desk, since: int) -> None:
    """However odd a position is asked for, the answer is a page, never an exception."""
    page = traded.ask("ann", {"type": "venue.events", "since": since, "limit": 10})[0]
    assert page["type"] == "events_result"
    assert page["last"] == traded.engine.agents["ann"].seq


def test_what_is_no_longer_held_is_said_to_be_lost() -> None:
    """The ring keeps 2,000 events at least; a gap before it is flagged, and what is held follows dense."""
    desk = Desk(settings=Settings(max_open_orders=10_000))
    desk.open_market("alice", quantity=10**9)
    label = "x" * 60
    for _ in range(16):
        orders = [desk.order("alice", client_order_id=f"{label}{n:04}") for n in range(1_000)]
        desk.do("alice", orders[:500])
        desk.do("alice", orders[500:])
        desk.must("alice", "orders.mass_cancel")
    last = desk.engine.agents["alice"].seq
    assert last > 30_000
    lost = desk.ask("alice", {"type": "venue.events", "since": 0})[0]
    assert (lost["lost"], lost["events"]) == (True, [])
    assert 1 < lost["first"] <= last - EVENTS_KEPT_MIN + 1
    desk.now_s += 100
    held = 0
    while held < last - lost["first"] + 1:
        page = desk.ask("alice", {"type": "venue.events", "since": lost["first"] - 1 + held})[0]
        assert [event["seq"] for event in page["events"]] == list(
            range(lost["first"] + held, lost["first"] + held + len(page["events"]))
        )
        assert page["events"]
        assert not page["lost"]
        held += len(page["events"])
    account = desk.ask("alice", {"type": "venue.account"})[0]
    assert account["event_seq"] == last


def test_a_huge_batch_of_events_is_split() -> None:
    """10,000 cancels at once reach their agent in messages below 512 KiB, dense; pages are bounded too."""
    desk = Desk(settings=Settings(max_open_orders=20_000))
    desk.open_market("alice", quantity=10**9)
    label = "\u00e9" * 60
    for _ in range(10):
        name = f"{label[:-8]}{desk.engine.index:04}"
        desk.do("alice", [desk.order("alice", client_order_id=f"{name}{n:04}") for n in range(1_000)])
    released = len(desk.released)
    canceled = desk.must("alice", "orders.mass_cancel")["canceled"]
    assert canceled == 10_000
    messages = [payload for subject, payload in desk.released[released:] if subject == "exchange.v1.evt.alice"]
    assert len(messages) > 1
    assert max(map(len, messages)) <= MESSAGE_BYTES_MAX
    seqs = [event["seq"] for payload in messages for event in msgspec.json.decode(payload)["events"]]
    assert len(seqs) == 10_000
    assert seqs == list(range(seqs[0], seqs[0] + 10_000))
    gateway, position = desk.host.gateway, seqs[0] - 1
    while position < seqs[-1]:
        query = msgspec.json.encode({"type": "venue.events", "since": position, "limit": 2_000})
        gateway.receive_query("exchange.v1.query.alice.venue", "_INBOX.alice.q", query)
        ((_, answer),) = desk.host.answer_queries(1)
        assert len(answer) <= MESSAGE_BYTES_MAX
        page = msgspec.json.decode(answer)
        assert page["first"] == position + 1
        assert page["events"]
        position += len(page["events"])


def test_every_reply_stays_below_the_limit() -> None:
    """The largest array of commands, all rejected at length, and the largest pages fit into a message."""
    desk = Desk(settings=Settings(max_open_orders=20_000))
    desk.open_market("alice", quantity=10**9)
    odd = "\x01" * 32
    orders = [desk.order("alice", market=odd, client_order_id="\x01" * 64) for _ in range(1_000)]
    for order in orders:
        order["id"] = "\x01" * 40 + "." + order["id"].partition(".")[2]
    desk.do("alice", orders)
    for start in range(0, 3_000, 1_000):
        desk.do("alice", [desk.order("alice", client_order_id="\x01" * 60 + f"{start + n}") for n in range(1_000)])
    for query in (
        {"type": "orders.list", "limit": 1_000},
        {"type": "venue.account"},
        {"type": "venue.events", "since": 0},
    ):
        desk.host.gateway.receive_query(
            f"exchange.v1.query.alice.{query['type'].partition('.')[0]}",
            "_INBOX.alice.q",
            msgspec.json.encode(query),
        )
    answers = desk.host.answer_queries(10)
    assert len(answers) == 3
    sizes = [(len(payload), subject, payload[:60]) for subject, payload in [*desk.released, *answers]]
    assert max(sizes)[0] <= MESSAGE_BYTES_MAX, max(sizes)


# ── market data ─────────────────────────────────────────────────────────────────────────────────


def channels_of(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    """Return the market-data messages by channel."""
    channels: dict[str, list[dict[str, Any]]] = {}
    for subject, payload in desk.released:
        if subject.startswith(MD):
            channels.setdefault(subject.removeprefix(MD), []).append(msgspec.json.decode(payload))
    return channels


def test_each_message_names_the_one_before(traded: Desk) -> None:
    """Per channel and epoch ``prev`` continues ``seq`` without a gap; a book begins with a snapshot."""
    channels = channels_of(traded)
    assert {"cpu.bbo", "cpu.book", "cpu.trades", "fees.bbo", "fees.book", "fees.trades"} == set(channels)
    for name, messages in channels.items():
        epoch, latest = -1, 0
        for message in messages:
            if message["epoch"] != epoch:
                assert message["epoch"] > epoch
                assert message["prev"] == 0, name
                assert message.get("snapshot", False) is name.endswith(".book")
                epoch = message["epoch"]
            else:
                assert message["prev"] == latest, name
                assert not message.get("snapshot", False)
            assert message["seq"] > latest
            latest = message["seq"]
        assert epoch == traded.engine.epoch or name.endswith(".trades")


def test_public_data_names_no_agent(traded: Desk) -> None:
    """No message of market data holds an agent's id."""
    for subject, payload in traded.released:
        if subject.startswith(MD):
            assert not [agent for agent in AGENTS if f'"{agent}"'.encode() in payload], payload


@pytest.mark.parametrize("seed", range(2, 8))
def test_a_viewer_rebuilds_the_book(seed: int) -> None:
    """After every turn, deltas upon the snapshot give the book, best prices and trades that queries tell."""
    desk = Desk(settings=Settings(max_fills_per_command=9, max_cancels_per_command=15, max_open_orders=60))
    desk.now_s = 0.0
    trade_at_random(desk, seed, 0)
    viewer = Viewer()
    viewer.hear(desk)
    random = Random(seed)
    compared = 0
    for turn in range(120):
        agent = random.choice(AGENTS)
        for _ in range(random.choice([1, 1, 4, 12])):
            order_type = random.choice(["limit"] * 5 + ["market", "iceberg", "stop"])
            desk.post(agent, random_order(desk, random, agent, "cpu", order_type))
        if turn % 9 == 0:
            desk.post(agent, desk.command(agent, "orders.mass_cancel", market="cpu"))
        if turn % 40 == 39:
            desk.new_epoch()
        desk.turn()
        viewer.hear(desk)
        desk.now_s += 1
        book = desk.ask("ann", {"type": "orders.book", "market": "cpu", "depth": 1_000})[0]
        assert viewer.levels("bids") == [tuple(level) for level in book["bids"]]
        assert viewer.levels("asks") == [tuple(level) for level in book["asks"]]
        best = [(book[side] or [[None, 0]])[0] for side in ("bids", "asks")]
        assert [viewer.best.get("bid"), viewer.best.get("bid_quantity", 0)] == best[0]
        assert [viewer.best.get("ask"), viewer.best.get("ask_quantity", 0)] == best[1]
        compared += len(book["bids"]) + len(book["asks"])
    told = desk.ask("ann", {"type": "orders.trades", "market": "cpu", "limit": 1_000})[0]["trades"]
    assert viewer.trades[-len(told) :] == told
    assert compared > 500
    assert len(told) > 50


class Viewer:
    """Keep a book as somebody does who hears market data only."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[int, int]] = {"bids": {}, "asks": {}}
        self.best: dict[str, Any] = {}
        self.trades: list[dict[str, Any]] = []
        self._heard = 0

    def hear(self, desk: Desk) -> None:
        """Take in what was released since the last time."""
        for subject, payload in desk.released[self._heard :]:
            if subject == MD + "cpu.book":
                message = msgspec.json.decode(payload)
                if message.get("snapshot"):
                    self.sides = {"bids": {}, "asks": {}}
                for side, levels in self.sides.items():
                    for price, quantity in message.get(side, []):
                        levels.pop(price, None)
                        if quantity:
                            levels[price] = quantity
            elif subject == MD + "cpu.bbo":
                self.best = msgspec.json.decode(payload)
            elif subject == MD + "cpu.trades":
                self.trades.extend(msgspec.json.decode(payload)["trades"])
        self._heard = len(desk.released)

    def levels(self, side: str) -> list[tuple[int, int]]:
        """Return the levels of a side, the best first."""
        return sorted(self.sides[side].items(), reverse=side == "bids")


def test_a_new_epoch_tells_every_channel_anew() -> None:
    """The first batch of an epoch shows each market whole, once; a replayed host tells the same."""
    desk = Desk()
    desk.open_market("alice", "bob")
    desk.open_market(market="empty")
    desk.do("alice", desk.order("alice", side="sell", price=110))
    desk.do("bob", desk.order("bob", price=90))
    host = replayed(desk.bodies)
    first = desk.new_epoch()
    assert [subject for subject, _ in first] == [
        MD + name for name in ("cpu.bbo", "cpu.book", "empty.bbo", "empty.book")
    ]
    book = msgspec.json.decode(first[1][1])
    assert (book["snapshot"], book["bids"], book["asks"], book["prev"]) == (True, [[90, 1]], [[110, 1]], 0)
    assert host.release(host.begin_epoch(desk.time_us)) == first
    # What the last batch before had touched is in the snapshot and not told again.
    assert [subject for subject, _ in desk.new_epoch() if "book" in subject] == [
        MD + "cpu.book",
        MD + "empty.book",
    ]
    before = len(desk.released)
    desk.turn()
    assert desk.released[before:] == []


def test_the_heartbeat_names_what_moved() -> None:
    """A heartbeat tells where everything stands and the channels that moved since the one before."""
    desk = Desk()
    desk.open_market("alice")
    desk.do("alice", desk.order("alice"))
    subject, payload = desk.host.heartbeat()
    beat = msgspec.json.decode(payload)
    assert subject == MD + "_venue"
    assert (beat["index"], beat["epoch"], beat["venue_time_us"]) == (
        desk.engine.index,
        desk.engine.epoch,
        desk.time_us,
    )
    assert beat["channels"] == {"cpu.bbo": desk.engine.index, "cpu.book": desk.engine.index}
    assert msgspec.json.decode(desk.host.heartbeat()[1])["channels"] == {}
