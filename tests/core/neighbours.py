"""Build the scene that tests of externalities start from: a module that others depend on, their owners, an attester."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.messages.externalities import (
    AcceptExternality,
    AffectedModule,
    DeclareChange,
    GetExternality,
    ListChanges,
    ListExternalities,
    ReportExternality,
)
from exchange.messages.property import RegisterModule
from exchange.testing import OPERATOR, Venue
from tests.core.quarrels import WITH_QUARRELS, Quarrel, Rule
from tests.core.work import CREDIT, DAY_US

if TYPE_CHECKING:
    from exchange.messages.externalities import ChangeView, ExternalityView
    from exchange.testing import Answer

__all__ = ["WEEK_US", "Neighbours"]

WEEK_US: Final = 7 * DAY_US


class Neighbours(Venue):
    """Be a venue where ann's ``base`` has been depended on for a week: by ben's, cid's, amy's and nobody's module.

    ``ann`` and ``amy`` are of one owner. Everybody has 100 credits, and the attester ``ci`` 200.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(mechanisms=WITH_QUARRELS, **options)
        self.register("ann", "ben", "cid", "dot", endowment=100 * CREDIT)
        self.register("amy", owner="ann", endowment=100 * CREDIT)
        self.register("ci", "cy", roles=["attester"], endowment=200 * CREDIT)
        self.module("base", "ann")
        for module, owner in (("bens", "ben"), ("cids", "cid"), ("amys", "amy"), ("nobodys", None)):
            self.module(module, owner, "base")
        self.advance_to(self.time_us + WEEK_US)

    def module(self, name: str, owner: str | None = None, *dependencies: str) -> None:
        fields = {} if owner is None else {"owner": owner}
        self.must(OPERATOR, RegisterModule, module=name, dependencies=list(dependencies), **fields)

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def declare(self, agent: str = "ann", bond: int = 20, module: str = "base") -> int:
        """Declare a change with a bond in whole credits; return its number."""
        return int(self.must(agent, DeclareChange, module=module, bond=bond * CREDIT).data["change"])

    def try_to_report(self, kind: str = "coupling", by: str = "ci", **fields: Any) -> Answer:
        return self.submit(by, ReportExternality, **{"kind": kind, "source": "ann", "reference": "a..b", **fields})

    def report(self, kind: str = "coupling", **fields: Any) -> int:
        """Report something that ann did; return the number of the levy."""
        answer = self.try_to_report(kind, **fields)
        assert answer.accepted, answer.outcome
        return int(answer.data["externality"])

    def broken(self, module: str = "base", **severities: int) -> dict[str, Any]:
        """Return the fields of a report about the modules that a change of another broke."""
        affected = [AffectedModule(module=name, severity=severity) for name, severity in severities.items()]
        return {"module": module, "affected": affected}

    def break_(self, declared: int = 0, **severities: int) -> int:
        """Let ann change ``base`` after she declared it, and break others; return the levy that was reported."""
        if declared:
            self.declare(bond=declared)
        return self.report(**self.broken(**severities))

    def accept(self, number: int = 1, by: str = "ann") -> None:
        self.must(by, AcceptExternality, externality=number)

    def dispute(self, number: int = 1, by: str = "ann") -> None:
        self.must(by, Quarrel, family="externalities", number=number)

    def decide(self, number: int = 1, *, upheld: bool) -> None:
        self.must(OPERATOR, Rule, family="externalities", number=number, upheld=upheld)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def levy(self, number: int = 1, agent: str = OPERATOR) -> ExternalityView:
        query = GetExternality(externality=number)
        return self.engine.query(agent, query).externality  # type: ignore[attr-defined,no-any-return]

    def levies(self, agent: str, **fields: Any) -> list[int]:
        listed = self.engine.query(agent, ListExternalities(**fields)).externalities  # type: ignore[attr-defined]
        return [view.externality for view in listed]

    def changes(self, agent: str = OPERATOR, module: str | None = "base") -> list[ChangeView]:
        return self.engine.query(agent, ListChanges(module=module)).changes  # type: ignore[attr-defined,no-any-return]

    def purses(self, *agents: str) -> list[int]:
        """Return what agents have available, in whole credits."""
        return [self.balance(name)[0] // CREDIT for name in agents]

    def told(self, agent: str, tag: str) -> list[Any]:
        """Return the events of a tag that an agent heard."""
        return [event for event in self.events(agent) if event.__struct_config__.tag == tag]

    def facts(self, kind: type) -> list[Any]:
        """Return the list in which facts of a kind are noted from now on."""
        noted: list[Any] = []
        self.engine.context.react(kind, noted.append)
        return noted

    def reload(self) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(WITH_QUARRELS)
        engine.load(dumped)
        assert engine.dump() == dumped
        assert engine.check_invariants() == []
        self.engine = engine
