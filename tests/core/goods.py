"""Build the scene that tests of public goods start from, with a mechanism for tests that hands out public money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import GoodSubsidised
from exchange.messages.assurance import ConfirmGood, GetGood, ListPledges, Pledge, ProposeGood
from exchange.messages.base import Command, Outcome
from exchange.messages.settlements import Confirm, Deliver, GetSettlement
from exchange.testing import OPERATOR, Venue
from tests.core.work import CREDIT, DAY_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exchange.messages.assurance import GoodView, PledgeView
    from exchange.messages.settlements import SettlementView
    from exchange.testing import Answer

__all__ = ["OWNERS", "WITH_SUBSIDIES", "Goods", "Subsidies", "Subsidise"]

OWNERS: Final = tuple(f"owner{number}" for number in range(10))
"""Ten agents, each its own owner, with 100 credits each."""


class Subsidise(Command, tag="subsidies.give", kw_only=True):
    """Give public money to a good, without asking anybody."""

    good: int
    amount: int


class Subsidies(Mechanism):
    """Take money from ``treasury`` as if it were the public fund's, and hand it over."""

    family: ClassVar[str] = "subsidies"
    summary: ClassVar[str] = "public money for tests"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.given = 0

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {Subsidise: CommandRule(self.give, None, opens=True)}

    def give(self, agent: AgentRecord, command: Subsidise) -> Outcome:
        del agent
        self.given += 1
        cause = f"subsidies:{self.given}"
        posting = self.context.cashier.posting(cause)
        posting.fund("treasury", escrow_of(cause), command.amount)
        posting.post()
        self.context.announce(GoodSubsidised(command.good, escrow_of(cause), command.amount))
        return self.context.accept(command)

    def dump(self) -> object:
        return [self.given]

    def load(self, state: Any) -> None:
        (self.given,) = state


WITH_SUBSIDIES: Final[tuple[type[Mechanism], ...]] = (*REGISTRY, Subsidies)
"""Every mechanism of the venue, and this one."""


class Goods(Venue):
    """Be a venue with a ``proposer``, a ``builder``, ten owners with 100 credits each, and the attester ``ci``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("proposer", "builder", *OWNERS, endowment=100 * CREDIT)
        self.register("ci", roles=["attester"], endowment=0)

    def propose(self, agent: str = "proposer", **terms: Any) -> int:
        """Propose a good as `try_to_propose` does; return its number."""
        answer = self.try_to_propose(agent, **terms)
        assert answer.accepted, answer.outcome
        return int(answer.data["good"])

    def try_to_propose(self, agent: str = "proposer", **terms: Any) -> Answer:
        """Propose a good for 50 credits, to be pledged within a day and delivered a day later by ``builder``."""
        fields: dict[str, Any] = {
            "title": "a parser for all",
            "unit": "credits",
            "threshold": 50 * CREDIT,
            "provider": "builder",
            "deadline_us": self.time_us + DAY_US,
            "deliver_by_us": self.time_us + 2 * DAY_US,
            **terms,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return self.submit(agent, ProposeGood, **given)

    def propose_tests(self, **terms: Any) -> int:
        """Propose 40 hours of tests, 4 hours of each of 10 owners."""
        return self.propose(
            **{"title": "tests", "unit": "owners", "threshold": 10, "min_minutes": 240, "provider": None, **terms}
        )

    def try_to_pledge(self, agent: str, credits_: int = 0, good: int = 1, *, hours: int = 0) -> Answer:
        return self.submit(agent, Pledge, good=good, credits=credits_ * CREDIT, minutes=hours * 60)

    def pledge(self, agent: str, credits_: int = 0, good: int = 1, *, hours: int = 0) -> None:
        answer = self.try_to_pledge(agent, credits_, good, hours=hours)
        assert answer.accepted, answer.outcome

    def close(self, good: int = 1) -> GoodView:
        """Let the time for pledges pass."""
        self.advance_to(self.good(good).deadline_us)
        return self.good(good)

    def good(self, number: int = 1, agent: str = OPERATOR) -> GoodView:
        return self.engine.query(agent, GetGood(good=number)).good  # type: ignore[attr-defined,no-any-return]

    def pledges(self, number: int = 1, **fields: Any) -> list[PledgeView]:
        query = ListPledges(good=number, **fields)
        return self.engine.query(OPERATOR, query).pledges  # type: ignore[attr-defined,no-any-return]

    def settlement(self, number: int = 1) -> SettlementView:
        query = GetSettlement(settlement=number)
        return self.engine.query(OPERATOR, query).settlement  # type: ignore[attr-defined,no-any-return]

    def deliver(self, number: int = 1) -> None:
        self.must(self.settlement(number).provider, Deliver, settlement=number, reference="git:abc")

    def confirm_work(self, number: int, by: str = "proposer") -> None:
        self.must(by, Confirm, settlement=number)

    def accept(self, *agents: str, good: int = 1) -> None:
        """Confirm what the provider delivered, by several who pledged."""
        for agent in agents:
            self.must(agent, ConfirmGood, good=good)

    def purse(self, agent: str) -> int:
        """Return what an agent has available, in the smallest unit."""
        return self.balance(agent)[0]

    def purses(self, *agents: str) -> list[int]:
        """Return what agents have available, in whole credits."""
        return [self.purse(agent) // CREDIT for agent in agents]

    def told(self, agent: str, tag: str) -> list[Any]:
        """Return the events of a tag that an agent heard."""
        return [event for event in self.events(agent) if event.__struct_config__.tag == tag]

    def reload(self, mechanisms: tuple[type[Mechanism], ...] = REGISTRY) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(mechanisms)
        engine.load(dumped)
        assert engine.dump() == dumped
        self.engine = engine
