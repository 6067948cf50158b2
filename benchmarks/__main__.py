"""Run one benchmark and print its table, or with ``--json`` one flat object as the last line."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.report import Report


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ["core", "wire", "replay", "memory", "snapshot", "idle", "packages", "commons"]
    parser.add_argument("benchmark", choices=names)
    parser.add_argument("--json", action="store_true", help="print one flat JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a first look and for tests")
    arguments = parser.parse_args()
    module = importlib.import_module(f"benchmarks.{arguments.benchmark}")
    report: Report = module.run(quick=arguments.quick)
    report.print(as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
