"""What the leader's batches count, through a real host."""

from __future__ import annotations

import pytest

from exchange.adapters.metrics._numbers import Histogram
from exchange.messages import COMMANDS, family_of
from exchange.messages.admin import HaltAgent, RegisterAsset
from exchange.messages.orders import CancelOrder, PlaceOrder
from exchange.messages.reasons import Reason, RefusalReason
from tests.metrics.scene import CREDIT, Scene

LIMIT = {"market": "cpu", "price": 2 * CREDIT}


@pytest.fixture
def scene() -> Scene:
    """Return a venue on which nothing was measured yet."""
    return Scene()


def sell(scene: Scene, quantity: int = 1) -> PlaceOrder:
    """Make an order of alice's."""
    command = scene.command("alice", PlaceOrder, side="sell", quantity=quantity, **LIMIT)
    assert isinstance(command, PlaceOrder)
    return command


def test_every_label_is_there_from_the_start(scene: Scene) -> None:
    """Closed sets of labels start at zero, so that the first increase is seen as one."""
    families = {family_of(kind) for kind in COMMANDS.values()}
    assert scene.series("commands_total") == {
        (family, outcome): 0.0 for family in families for outcome in ("accepted", "rejected")
    }
    assert scene.series("rejections_total") == {(reason.value,): 0.0 for reason in Reason}
    for name in ("gateway_refusals_total", "gateway_dropped_total"):
        assert scene.series(name) == {(reason.value,): 0.0 for reason in RefusalReason}


def test_commands_count_by_family_and_outcome(scene: Scene) -> None:
    """A batch of one family with a rejection counts both outcomes and the reason."""
    scene.receive("alice", sell(scene), sell(scene), sell(scene, quantity=1_000))
    scene.lead()
    assert scene.value("commands_total", family="orders", outcome="accepted") == 2
    assert scene.value("commands_total", family="orders", outcome="rejected") == 1
    assert scene.value("rejections_total", reason="insufficient_asset") == 1
    assert scene.value("commands_total", family="admin", outcome="accepted") == 0


def test_a_batch_of_several_families_keeps_them_apart(scene: Scene) -> None:
    """In a mixed batch each rejection counts for the family of its own command."""
    scene.receive("alice", sell(scene), sell(scene, quantity=1_000))
    scene.receive("operator", scene.command("operator", RegisterAsset, asset="gpu", decimals=0, issuer="operator"))
    scene.receive("bob", scene.command("bob", HaltAgent, agent="alice"))
    step = scene.lead()
    assert len(step.batch.submissions) == 4
    assert {key: value for key, value in scene.series("commands_total").items() if key[0] in {"admin", "orders"}} == {
        ("admin", "accepted"): 1,
        ("admin", "rejected"): 1,
        ("orders", "accepted"): 1,
        ("orders", "rejected"): 1,
    }
    assert sum(scene.series("rejections_total").values()) == 2


def test_a_repetition_is_not_another_rejection(scene: Scene) -> None:
    """A rejected command that is sent again counts as a command, not as a rejection."""
    order = sell(scene, quantity=1_000)
    scene.receive("alice", order)
    scene.lead()
    # With another rejection in a batch of two families, only the outcomes tell which is new.
    scene.receive("alice", order)
    scene.receive("bob", scene.command("bob", HaltAgent, agent="alice"))
    scene.lead()
    assert scene.value("commands_total", family="orders", outcome="rejected") == 1
    assert scene.value("commands_total", family="orders", outcome="accepted") == 1
    assert scene.value("commands_total", family="admin", outcome="rejected") == 1


def test_the_gateway_counts_what_it_turns_away(scene: Scene) -> None:
    """Refusals and drops are read from the gateway, by reason."""
    gateway = scene.host.gateway
    gateway.receive_command("exchange.v1.cmd.nobody.orders", "_INBOX.nobody.1", b"{}")
    gateway.receive_command("exchange.v1.cmd.alice.orders", "_INBOX.bob.1", b"{}")
    gateway.receive_command("exchange.v1.cmd.alice.orders", "_INBOX.alice.1", b"{")
    assert scene.value("gateway_queued_messages") == 1
    scene.lead()
    assert scene.value("gateway_queued_messages") == 0
    assert scene.value("gateway_refusals_total", reason="unknown_agent") == 1
    assert scene.value("gateway_refusals_total", reason="malformed") == 1
    assert scene.value("gateway_dropped_total", reason="bad_reply_subject") == 1
    assert scene.value("batch_commands_bucket", le="0.0") == 1


def test_stages_are_measured(scene: Scene) -> None:
    """The seconds of every stage come into the bucket that holds them, and into the sum."""
    scene.lead(apply_s=0.003, journal_s=0.25, release_s=0.0004, egress_s=20.0)
    stages = {"apply": "0.005", "journal": "0.25", "release": "0.0005", "egress": "+Inf"}
    for stage, bound in stages.items():
        assert scene.value("stage_seconds_bucket", stage=stage, le=bound) == 1
        assert scene.value("stage_seconds_count", stage=stage) == 1
    assert scene.value("stage_seconds_bucket", stage="journal", le="0.1") == 0
    assert scene.value("stage_seconds_bucket", stage="egress", le="10.0") == 0
    assert scene.value("stage_seconds_sum", stage="egress") == 20.0
    assert scene.value("journal_write_seconds_sum") == 0.25


def test_acknowledgements_are_measured_per_message(scene: Scene) -> None:
    """Each message counts once, from its arrival until its reply has left."""
    scene.receive("alice", sell(scene), sell(scene))
    scene.now_s += 2.0
    scene.receive("bob", scene.command("bob", CancelOrder, order_id=1))
    scene.now_s += 0.5
    step = scene.cut()
    scene.metrics.observe_batch(step, apply_s=0.0, journal_s=0.0, release_s=0.125, egress_s=0.25, since_replies_s=0.25)
    assert scene.value("ack_seconds_count") == 2
    assert scene.value("ack_seconds_bucket", le="0.25") == 1
    assert scene.value("ack_seconds_bucket", le="1.0") == 1
    assert scene.value("ack_seconds_bucket", le="2.5") == 2
    assert scene.value("ack_seconds_sum") == 2.25 + 0.25


def test_replies_leave_before_the_release(scene: Scene) -> None:
    """Without being told when the replies left, the time of the release does not count as waiting."""
    scene.receive("alice", sell(scene))
    scene.now_s += 1.0
    scene.lead(release_s=0.75)
    assert scene.value("ack_seconds_sum") == 0.25


def test_the_journal_is_followed(scene: Scene) -> None:
    """Index, epoch, bytes and age are those of the last durable record, not of the last applied."""
    index = scene.host.engine.index
    step = scene.lead()
    scene.now_s += 1.5
    scene.cut()
    assert scene.value("journal_index") == index + 1 == scene.host.engine.index - 1
    assert scene.value("journal_bytes_total") == len(step.body)
    assert scene.value("journal_lag_seconds") == 1.5
    scene.metrics.observe_batch(
        scene.host.begin_epoch(scene.venue.time_us + 1), apply_s=0, journal_s=0, release_s=0, egress_s=0
    )
    assert scene.value("epoch") == 1
    assert scene.value("journal_lag_seconds") == 0


def test_a_slow_way_out_makes_the_record_older(scene: Scene) -> None:
    """A record is as old as its acknowledgement, however long its outputs took to leave."""
    scene.lead(release_s=1.0, egress_s=2.0)
    assert scene.value("journal_lag_seconds") == 3.0


def test_health_tells_who_leads(scene: Scene) -> None:
    """A daemon is starting until its first record, then leads, and stalls after 5 s without one."""
    metrics = scene.metrics
    assert metrics.health().state == "starting"
    step = scene.lead()
    scene.now_s += 4.999
    assert metrics.health().state == "leading"
    scene.now_s += 0.001
    health = metrics.health()
    assert (health.state, health.index, health.lag_seconds) == ("stalled", step.batch.index, 5.0)
    scene.lead()
    assert metrics.health().state == "leading"


def test_a_histogram_counts_what_reaches_its_bound_below_it() -> None:
    """The bounds of buckets are inclusive, as Prometheus wants them."""
    histogram = Histogram((1.0, 2.0))
    histogram.observe_all([0.5, 1.0, 1.5, 2.0])
    histogram.observe(3.0)
    assert histogram._counts == [2, 2, 1]
    assert histogram._sum == 8.0


def test_snapshots_are_counted_by_outcome(scene: Scene) -> None:
    """The newest good one stays on show when a later one fails."""
    assert scene.series("snapshots_total") == {("taken",): 0, ("failed",): 0}
    scene.metrics.observe_snapshot(7, 0.5, True)
    scene.metrics.observe_snapshot(9, 0.1, False)
    assert scene.series("snapshots_total") == {("taken",): 1, ("failed",): 1}
    assert scene.value("snapshot_index") == 7
    assert scene.value("snapshot_seconds") == 0.5


def test_what_follows_a_snapshot_is_counted_by_outcome(scene: Scene) -> None:
    """A failure does not forget where the journal begins."""
    scene.metrics.observe_preserved(5, is_good=True)
    scene.metrics.observe_preserved(0, is_good=False)
    assert scene.series("preservations_total") == {("done",): 1, ("failed",): 1}
    assert scene.value("journal_first_index") == 5
