"""The mechanisms, and their registry: one line each."""

from __future__ import annotations

from typing import Final

from exchange.mechanisms.admin import Admin
from exchange.mechanisms.assurance import Assurance
from exchange.mechanisms.base import Mechanism
from exchange.mechanisms.contracts import Contracts
from exchange.mechanisms.debts import Debts
from exchange.mechanisms.disputes import Disputes
from exchange.mechanisms.expertise import Expertise
from exchange.mechanisms.externalities import Externalities
from exchange.mechanisms.governance import Governance
from exchange.mechanisms.leases import Leases
from exchange.mechanisms.orders import Orders
from exchange.mechanisms.packages import Packages
from exchange.mechanisms.payments import Payments
from exchange.mechanisms.predictions import Predictions
from exchange.mechanisms.property import Property
from exchange.mechanisms.settlements import Settlements
from exchange.mechanisms.tasks import Tasks

__all__ = ["REGISTRY"]

REGISTRY: Final[tuple[type[Mechanism], ...]] = (
    Admin,
    Orders,
    Payments,
    Settlements,
    Disputes,
    Leases,
    Tasks,
    Contracts,
    Expertise,
    Packages,
    Property,
    Assurance,
    Predictions,
    Debts,
    Externalities,
    Governance,
)
"""Every mechanism of the venue. The order is that of invariants, dumps and reactions."""
