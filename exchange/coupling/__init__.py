"""Find out what a change of a Python repository broke in modules that import what it changed; outside of the core."""

from __future__ import annotations

from exchange.coupling.attesting import Attestation, Progress, Settings, attest
from exchange.coupling.errors import AttestError
from exchange.coupling.findings import Affected, Findings, digest_of, severity_of
from exchange.coupling.repository import Change, Repository
from exchange.coupling.suites import Suites

__all__ = [
    "Affected",
    "AttestError",
    "Attestation",
    "Change",
    "Findings",
    "Progress",
    "Repository",
    "Settings",
    "Suites",
    "attest",
    "digest_of",
    "severity_of",
]
