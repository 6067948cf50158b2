"""Measure what the README claims: ``python -m benchmarks core|wire|replay|memory [--json]``."""
