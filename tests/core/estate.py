"""Build the scene that tests of property start from: agents who may own modules, an attester, an observer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.engine import Engine
from exchange.mechanisms.base import NotFound
from exchange.mechanisms.property import Property
from exchange.messages.property import BuyModule, RegisterModule, StateValue
from exchange.messages.property_views import GetModule, MayWrite
from exchange.testing import OPERATOR, Venue
from tests.core.rates import WITH_RATES, SetParameter
from tests.core.work import CREDIT

if TYPE_CHECKING:
    from exchange.messages.base import Query
    from exchange.messages.property_views import ModuleView
    from exchange.testing import Answer

__all__ = ["Estate"]


class Estate(Venue):
    """Be a venue with ``ann``, ``ben``, ``cid``, ``dot`` (1,000 each), the attester ``ci``, the observer ``eye``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"mechanisms": WITH_RATES, **options})
        self.register("ann", "ben", "cid", "dot", endowment=1_000 * CREDIT)
        self.register("ci", roles=["attester"], endowment=0)
        self.register("eye", roles=["observer"], endowment=0)

    def own(self, agent: str, module: str, **fields: Any) -> None:
        """Register a module that belongs to an agent."""
        self.must(OPERATOR, RegisterModule, module=module, owner=agent, **fields)

    def hold(self, agent: str, module: str, value: int, deposit: int) -> None:
        """Let an agent own a module under the harberger regime; value and deposit in whole credits."""
        self.own(agent, module, regime="harberger")
        self.state(agent, module, value, deposit)

    def state(self, agent: str, module: str, value: int, deposit: int = 0) -> None:
        self.must(agent, StateValue, module=module, value=value * CREDIT, deposit=deposit * CREDIT)

    def buy(self, agent: str, module: str, max_price: int, new_value: int | None = None, deposit: int = 0) -> Answer:
        """Try to buy a module; amounts in whole credits."""
        terms = {} if new_value is None else {"new_value": new_value * CREDIT, "deposit": deposit * CREDIT}
        return self.submit(agent, BuyModule, module=module, max_price=max_price * CREDIT, **terms)

    def set_rate(self, rate_bp: int) -> None:
        """Change the rate of the tax at once."""
        self.must(OPERATOR, SetParameter, name="harberger_rate_bp", value=rate_bp)

    def module(self, name: str = "core", agent: str = OPERATOR) -> ModuleView:
        return self.engine.query(agent, GetModule(module=name)).module  # type: ignore[attr-defined,no-any-return]

    def may_write(self, module: str, agent: str) -> tuple[bool, int]:
        """Return whether an agent may write, and the present token."""
        result: Any = self.engine.query(OPERATOR, MayWrite(module=module, agent=agent))
        return result.may_write, result.fencing_token

    def unknown(self, agent: str, query: Query) -> bool:
        """Return whether a query is answered by: not found."""
        try:
            self.engine.query(agent, query)
        except NotFound:
            return True
        return False

    @property
    def ownership(self) -> Property:
        found = self.engine.mechanisms["property"]
        assert isinstance(found, Property)
        return found

    def told(self, agent: str, tag: str) -> list[Any]:
        """Return the events of a tag that an agent heard."""
        return [event for event in self.events(agent) if event.__struct_config__.tag == tag]

    def credits(self, agent: str) -> int:
        """Return what an agent has available, in smallest units."""
        return self.balance(agent)[0]

    def reload(self) -> None:
        """Go on from a snapshot."""
        dumped = self.engine.dump()
        engine = Engine(WITH_RATES)
        engine.load(dumped)
        assert engine.dump() == dumped
        self.engine = engine
