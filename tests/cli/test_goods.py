"""Public goods on the command line of a real venue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Call
from tests.cli.program import Serving, run_json
from tests.cli.test_work import acting, told

SOON = ("--pledged-in", "3s", "--deliver-in", "1d")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue with who proposes and provides, and two who pledge."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data)
    with Serving(data) as serving:
        for name in ("lab", "ann", "ben"):
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, "--data", data)
        yield serving


def test_a_good_goes_from_proposal_to_pay(call: Call, venue: Serving) -> None:
    as_lab, as_ann, as_ben = (acting(venue, name) for name in ("lab", "ann", "ben"))
    good = told(
        call, "good", "propose", "a parser for all", "--credits", "30.5", "--cap-credits", 61, "--provider", "lab",
        "--refund-bonus", "2.5", *SOON, *as_lab,
    )  # fmt: skip
    number = good["id"]
    assert (good["threshold"], good["cap"], good["refund_bonus"]) == ("30.500000", "61.000000", "2.50")
    assert told(call, "good", "pledge", number, 40, *as_ann)["bond"] == "0.000000"
    assert "pledged for good" in call("good", "pledge", number, 21, *as_ben).stdout
    listed = told(call, "good", "list", "--mine", *as_ben)
    assert [(found["id"], found["raised"]) for found in listed] == [(number, "61.000000")]
    assert "61.000000 credits of 30.500000 credits" in call("good", "show", number, *as_ann).stdout
    lines = call("good", "follow", number, "--seconds", 6, *as_ann).stdout.splitlines()
    assert lines[-1].endswith("reached: enough was pledged; it is being provided")
    shares = [pledge["share"] for pledge in told(call, "good", "pledges", number, *as_ann)]
    assert shares == ["20.000000", "10.500000"]
    assert "20.000000 credits" in call("good", "pledges", number, *as_ann).stdout
    (settlement,) = told(call, "settlement", "list", *as_lab)
    told(call, "settlement", "deliver", settlement["id"], "pr/7", *as_lab)
    confirmed = told(call, "good", "confirm", number, *as_ann)
    assert (confirmed["state"], confirmed["confirmed"], confirmed["voting"]) == ("completed", "40.000000", "61.000000")
    shown = call("good", "show", number, *as_ben).stdout
    assert "completed: all was delivered" in shown
    assert "30.500000" in next(line for line in shown.splitlines() if line.startswith("provider got"))
    pledges = told(call, "good", "pledges", number, *as_ben)
    assert [(pledge["share"], pledge["refunded"]) for pledge in pledges] == [
        ("20.000000", "20.000000"), ("10.500000", "10.500000"),
    ]  # fmt: skip
    assert "10.500000" in call("good", "pledges", number, *as_ben).stdout
    (last,) = call("good", "follow", number, *as_ben).stdout.splitlines()
    assert "completed" in last


def test_work_is_pledged_and_a_good_withdrawn(call: Call, venue: Serving) -> None:
    as_lab, as_ann = acting(venue, "lab"), acting(venue, "ann")
    later = ("--pledged-in", "1d", "--deliver-in", "2d")
    number = told(call, "good", "propose", "tests", "--owners", 10, "--min-work", "4h", *later, *as_lab)["id"]
    pledged = told(call, "good", "pledge", number, "--work", "4h", *as_ann)
    assert (pledged["minutes"], pledged["bond"]) == (240, "4.000000")
    assert "1 owners of 10 owners" in call("good", "show", number, *as_lab).stdout
    said = call("good", "propose", "more tests", "--work", "40h", "--cap-work", "50h", *later, *as_lab).stdout
    assert said.startswith(f"good {number + 1} takes pledges until ")
    assert told(call, "good", "withdraw", number + 1, *as_lab)["state"] == "withdrawn"
    assert "Nobody has pledged" not in call("good", "pledges", number, *as_lab).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("good", "show", 999), "there is no good 999, or it ended long ago; see `exchange good list`"),
        (("good", "follow", 999), "there is no good 999"),
        (("good", "pledges", 999), "there is no good 999, or it ended long ago"),
        (("good", "pledge", 999, 5), "unknown_good"),
        (("good", "pledge", 1, "0.0000001"), "credits"),
        (("good", "pledge", 1, "--work", "90s"), "--work 0:01:30 is no number of whole minutes"),
        (("good", "confirm", 999), "unknown_good"),
        (("good", "withdraw", 999), "unknown_good"),
        (("good", "propose", "x", *SOON), "exactly one of --owners, --credits, --work, not none"),
        (("good", "propose", "x", "--owners", 2, "--work", "1h", *SOON), "not --owners and --work"),
        (("good", "propose", "x", "--owners", 2, "--cap-work", "1h", *SOON), "--cap-work bounds what --work asks for"),
        (("good", "propose", "x", "--owners", 2, *SOON), "min_credits or min_minutes"),
        (("good", "propose", "x", "--credits", 5, *SOON), "provider"),
        (("good", "propose", "x", "--credits", 5, "--provider", "absent", *SOON), "unknown_agent"),
        (("good", "propose", "x", "--credits", 5, "--refund-bonus", "0.001", *SOON), "refund_bonus"),
    ],
)
def test_mistakes_are_told(call: Call, venue: Serving, arguments: tuple[object, ...], message: str) -> None:
    """A mistake ends with exit 1 and says which value was wrong and what to do."""
    done = call(*arguments, *acting(venue, "ann"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
