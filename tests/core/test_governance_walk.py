"""Walks come to everything that governance knows, in each of the ways to vote."""

from __future__ import annotations

from exchange.mechanisms.governance import Governance
from exchange.messages import tag_of
from tests.core.walk import AGENTS, VOTING, Walk


def test_walks_come_to_everything_that_governance_knows() -> None:
    """Every command is accepted; proposals of every kind end in every way; days and months end, in all four ways."""
    accepted: dict[str, int] = {}
    ends: dict[tuple[str, str], None] = {}
    settings: dict[str, None] = {}
    changed = subsidised = 0
    wanted = [("change", "enacted"), ("change", "rejected"), ("change", "no_quorum"), ("share", "enacted")]
    wanted += [("share", "unfunded"), ("work", "enacted"), ("work", "unfunded"), ("subsidy", "enacted")]
    for seed in range(1, 4 * len(VOTING) + 1):
        taken = Walk(seed, "governance", "assurance", check_every=20)
        taken.run(700)
        accepted.update(taken.accepted)
        governance = taken.venue.engine.mechanisms["governance"]
        assert isinstance(governance, Governance)
        ends.update(dict.fromkeys((each.terms.kind, each.state) for each in governance.ended.values()))
        settings[taken.venue.engine.context.settings.voting] = None
        changed += len(taken.venue.engine.context.earlier.get("urgency_premium_ppm", ()))
        heard = [event for name in AGENTS for event in taken.venue.events(name)]
        subsidised += sum(tag_of(type(event)) == "assurance.subsidised" for event in heard)
        # Which of the further walks come to a subsidy depends on all that walks draw.
        if seed >= len(VOTING) and subsidised and all(each in ends for each in wanted):
            break
    assert [tag_of(kind) for kind in governance.commands() if tag_of(kind) not in accepted] == []
    assert [each for each in wanted if each not in ends] == []
    assert sorted(settings) == sorted(VOTING)
    assert changed > len(VOTING)
    assert subsidised > 0
