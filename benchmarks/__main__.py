"""python -m benchmarks [--quick] [name …]: run all benchmarks, or those named; see harness.py."""

from __future__ import annotations

import argparse
import json
import os
import sys

from benchmarks import harness


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure relevo beside its baselines."
    )
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(harness.names()) or 'none so far'}")
    parser.add_argument(
        "--quick", action="store_true", help="short rounds: shows that it works, not how fast it is"
    )
    parser.add_argument("--report-to", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    known = harness.names()
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")

    if asked.report_to is not None:
        figures = [found for name in asked.names for found in harness.run_here(name, quick=asked.quick)]
        with os.fdopen(asked.report_to, "w") as answer:
            json.dump(figures, answer)
        return 0

    figures, failures = [], []
    for name in asked.names or known:
        print(f"bench_{name} …", file=sys.stderr, flush=True)
        found = harness.run_apart(name, quick=asked.quick)
        if isinstance(found, str):
            failures.append(found)
        else:
            figures += found
    path = harness.FOLDER / "results" / "latest.json"
    harness.write(figures, path)
    print(harness.table(figures))
    print(f"\nwritten to {path}", *failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
