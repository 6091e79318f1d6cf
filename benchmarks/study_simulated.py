"""Study (a): the metrics on a simulated personaliser. Writes evals/studies/simulated.md.

python benchmarks/study_simulated.py            # the full study, minutes on one core
python benchmarks/study_simulated.py --quick    # a short form; prints, writes nothing
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tireg.metrics.study import Size, run_study, to_markdown

QUICK = Size(worlds=8, alarm_worlds=40, coverage_worlds=2, coverage_runs=40)
PAGE = Path(__file__).resolve().parent.parent / "evals" / "studies" / "simulated.md"


def main() -> None:
    """Run the study, print its tables, keep the full form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form that is not kept")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr)

    rows = run_study(size, seed=options.seed, tell=tell)
    command = f"python benchmarks/study_simulated.py --seed {options.seed}"
    page = to_markdown(rows, size, command=command)
    print(page)
    if not options.quick:
        PAGE.write_text(page, encoding="utf-8")
        tell(f"written to {PAGE}")


if __name__ == "__main__":
    main()
