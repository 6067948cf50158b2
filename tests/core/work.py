"""Build the scene that tests of work start from: a poster, workers with skills, an attester, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.messages.settlements import Confirm, Deliver, GetSettlement
from exchange.messages.tasks import BidOnTask, GetTask, PostTask, SetStandingBid
from exchange.testing import OPERATOR, SECOND_US, Venue

if TYPE_CHECKING:
    from exchange.messages.settlements import SettlementView
    from exchange.messages.tasks import TaskView
    from exchange.testing import Answer

__all__ = ["CREDIT", "DAY_US", "HOUR_US", "MINUTE_US", "WORKERS", "Work"]

CREDIT: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
WORKERS: Final = ("ann", "ben", "cid")


class Work(Venue):
    """Be a venue with ``poster``, the workers ``ann``, ``ben``, ``cid`` (100 credits each), and the attester ``ci``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("poster", *WORKERS, endowment=100 * CREDIT, skills=["python", "rust"])
        self.register("ci", roles=["attester"], endowment=0)

    def post(self, poster: str = "poster", **terms: Any) -> int:
        """Post a task of an hour with a reserve of 30, closing in a minute, due in a day; return its number."""
        return int(self.try_to_post(poster, **terms).data["task"])

    def try_to_post(self, poster: str = "poster", **terms: Any) -> Answer:
        fields = {
            "title": "mend it",
            "effort_minutes": 60,
            "reserve": 30 * CREDIT,
            "closes_at_us": self.time_us + MINUTE_US,
            "deadline_us": self.time_us + DAY_US,
            "skills": ["python"],
            **terms,
        }
        return self.submit(poster, PostTask, **fields)

    def bid(self, agent: str, credits_: int, task: int = 1) -> Answer:
        return self.submit(agent, BidOnTask, task=task, price=credits_ * CREDIT)

    def stand(self, agent: str, per_hour: int, **terms: Any) -> None:
        self.must(agent, SetStandingBid, skills=["python"], price_per_hour=per_hour * CREDIT, **terms)

    def close(self, task: int = 1) -> TaskView:
        """Let the auction close, and return the task as everybody sees it."""
        self.advance_to(self.view_task(task).closes_at_us)
        return self.view_task(task)

    def view_task(self, task: int = 1, agent: str = OPERATOR) -> TaskView:
        return self.engine.query(agent, GetTask(task=task)).task  # type: ignore[attr-defined,no-any-return]

    def settlement(self, number: int = 1) -> SettlementView:
        query = GetSettlement(settlement=number)
        return self.engine.query(OPERATOR, query).settlement  # type: ignore[attr-defined,no-any-return]

    def deliver(self, number: int = 1) -> None:
        view = self.settlement(number)
        self.must(view.provider, Deliver, settlement=number, fencing_token=view.fencing_token)

    def confirm(self, number: int = 1, by: str = "poster", score: int | None = None) -> None:
        fields = {} if score is None else {"score": score}
        self.must(by, Confirm, settlement=number, **fields)

    def purse(self, agent: str) -> tuple[int, int]:
        """Return what an agent has available and on hold, in whole credits."""
        available, held = self.balance(agent)
        return available // CREDIT, held // CREDIT

    def told(self, agent: str, tag: str) -> list[Any]:
        """Return the events of a tag that an agent heard."""
        return [event for event in self.events(agent) if event.__struct_config__.tag == tag]

    def reload(self) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(REGISTRY)
        engine.load(dumped)
        assert engine.dump() == dumped
        self.engine = engine
