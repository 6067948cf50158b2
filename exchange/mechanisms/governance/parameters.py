"""List what owners may vote on: every parameter with its bounds, in one place; nothing else may be voted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from exchange.messages.governance import ParameterUnit

__all__ = ["CONSTITUTION", "EXTERNALITY_RATES", "PARAMETERS", "Parameter", "adjusted"]

CONSTITUTION: Final = (
    "credits are conserved, property is defined and transferable, contracts execute by themselves, disputes reach a "
    "neutral arbiter, and how votes are counted was settled when the venue was created"
)
"""What no vote can touch."""

_CREDIT: Final = 1_000_000
_HOUR: Final = 3_600
_WEEK: Final = 7 * 86_400

_STEPS: Final = 8
"""A dynamic rate moves by at most one part in so many a day."""


class Parameter(NamedTuple):
    """Describe a parameter: a field of the venue's settings, in ``unit``, from ``low`` to ``high``.

    A dynamic one has a ``target``, the field of the settings that says how much of what ``observed`` names a day should
    see. Its ``low`` is at least 8, for a rate below never rises again by an eighth that is rounded down.
    """

    name: str
    unit: ParameterUnit
    low: int
    high: int
    summary: str
    target: str = ""
    observed: str = ""


_ALL: Final = (
    Parameter(
        "urgency_premium_ppm", "ppm", 10_000, 1_000_000,
        "the most by which urgency raises the reserve of a task; a round keeps what it opened with",
        "urgent_empty_target", "owners with a round of an urgent task that closed without an award",
    ),
    Parameter(
        "critical_floor", "credits", _CREDIT, 1_000 * _CREDIT,
        "what a critical task pays at least; a task keeps what it was posted with",
        "critical_failed_target", "owners with a critical task that failed or that nobody took",
    ),
    Parameter("endowment", "credits", 0, 10_000 * _CREDIT, "what a new agent gets from the treasury by default"),
    Parameter(
        "harberger_rate_bp", "basis_points", 0, 2_000,
        "the tax on the stated value of a module, per month of 30 days; it accrues, so a change counts from then on",
    ),
    Parameter(
        "coupling_rate", "credits", _CREDIT // 10, 1_000 * _CREDIT,
        "what a change that breaks one dependent module with severity 100 costs",
        "coupling_target", "final severity, once for each pair of owners",
    ),
    Parameter("max_coupling_tax", "credits", _CREDIT, 10_000 * _CREDIT, "what one change costs at most for coupling"),
    Parameter(
        "context_switch_rate", "credits", _CREDIT // 100, 100 * _CREDIT, "what an interruption costs",
        "context_switch_target", "final interruptions, once for each pair of owners",
    ),
    Parameter(
        "blocking_rate", "credits", _CREDIT // 100, 100 * _CREDIT, "what a started hour of blocking somebody costs",
        "blocking_target", "final hours, once for each pair of owners",
    ),
    Parameter(
        "debt_rate", "credits", _CREDIT // 100, 100 * _CREDIT,
        "what an hour of interest of technical debt costs when it is issued",
        "debt_target", "final hours, once for each pair of owners",
    ),
    Parameter(
        "knowledge_hoarding_rate", "credits", _CREDIT // 100, 100 * _CREDIT,
        "what a month without documentation of a module costs",
        "knowledge_hoarding_target", "final module-months, once for each pair of owners",
    ),
    Parameter("debt_hour_rate", "credits", _CREDIT // 10, 100 * _CREDIT, "what an hour of technical debt is valued at"),
    Parameter(
        "crisis_overdue_hours_milli", "milli_hours", 1_000, 10_000_000,
        "so much overdue debt is a crisis, in thousandths of an hour",
    ),
    Parameter("crisis_overdue_bp", "basis_points", 100, 10_000, "such a share of all debt overdue is a crisis"),
    Parameter(
        "dispute_deposit_min", "credits", _CREDIT // 10, 100 * _CREDIT,
        "what a dispute deposits at least, which is the panel's fee; a dispute keeps what it opened with",
    ),
    Parameter(
        "dispute_deposit_bp", "basis_points", 0, 2_000,
        "what a dispute deposits, as a share of what it is about; a dispute keeps what it opened with",
    ),
    Parameter(
        "dispute_window_seconds", "seconds", _HOUR, _WEEK,
        "how long a failure, an attestation or a levy may be disputed; a settlement keeps what it opened with",
    ),
    Parameter(
        "confirm_seconds", "seconds", _HOUR, _WEEK,
        "how long a payer has to confirm where nothing else was agreed; what is open keeps what it opened with",
    ),
    Parameter(
        "ruling_seconds", "seconds", _HOUR, _WEEK,
        "how long a panel has to rule; a dispute keeps what it opened with",
    ),
    Parameter(
        "replacement_ruling_seconds", "seconds", _HOUR, _WEEK,
        "how long arbitrators have who replace absent ones; a dispute keeps what it opened with",
    ),
)  # fmt: skip

PARAMETERS: Final[dict[str, Parameter]] = {parameter.name: parameter for parameter in _ALL}
"""Every parameter by its name."""

EXTERNALITY_RATES: Final[dict[str, str]] = {
    "coupling": "coupling_rate",
    "context_switch": "context_switch_rate",
    "blocking": "blocking_rate",
    "debt": "debt_rate",
    "knowledge_hoarding": "knowledge_hoarding_rate",
}
"""The rate of each kind of externality."""


def adjusted(parameter: Parameter, rate: int, observed: int, target: int) -> int:
    """Return a dynamic rate after a day: r · (1 + ⅛ · clamp((x − target) / target, −1, 1)), rounded down, in bounds.

    So a rate finds the price at which a day sees what it aims at, by the same rule as the base fee of EIP-1559. With a
    ``target`` of 0 it stays; so does one that the venue was created with outside of the bounds, until a vote moves it.
    """
    if target <= 0 or not parameter.low <= rate <= parameter.high:
        return rate
    excess = min(max(observed - target, -target), target)
    moved = rate * (_STEPS * target + excess) // (_STEPS * target)
    return min(max(moved, parameter.low), parameter.high)
