"""The engine: pure, synchronous, deterministic. Commands in, outcomes and events out."""

from __future__ import annotations

from exchange.engine.batch import AgentEvents, Batch, Outputs, Submission
from exchange.engine.engine import Engine, Offender, hash_state
from exchange.engine.genesis import genesis_batch

__all__ = ["AgentEvents", "Batch", "Engine", "Offender", "Outputs", "Submission", "genesis_batch", "hash_state"]
