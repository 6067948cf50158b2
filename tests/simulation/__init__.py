"""A whole venue in one process, fully determined by a seed, under every fault that we could think of.

``python -m tests.simulation --seeds N --seed S``. See exchange/ARCHITECTURE.md, "Simulation".
"""
