"""Every benchmark in turn, each by its own command; one that fails does not keep the others from running.

python -m experiments.benchmarks.all            medians of three, peers extrapolated from ten trials
python -m experiments.benchmarks.all --quick    one run of each, smaller budgets: minutes
python -m experiments.benchmarks.all --full     the peers run their whole studies: hours
"""

from __future__ import annotations

import subprocess
import sys
import time

from experiments.benchmarks.common import ROOT, options, say

__all__ = ["main"]

#: What --quick asks of each.
QUICK = {
    "study": ["--repeats", "1", "--trials", "3"],
    "quality": ["--seeds", "1", "--only", "asha,none"],
    "step": ["--repeats", "1", "--lanes", "1,8,32"],
    "overhead": ["--repeats", "1"],
    "children": ["--repeats", "1"],
    "cold": ["--repeats", "1"],
    "asha": ["--repeats", "1", "--seeds", "1"],
    "busy": ["--lanes", "48"],
    "growth": ["--repeats", "1", "--trials", "2500"],
    "housing": ["--repeats", "1"],
    "tables": ["--quick"],
    "splitting": ["--repeats", "1"],
    "preprocessing": ["--repeats", "1", "--rows", "100000"],
    "workers": ["--quick"],
    "gpu": ["--repeats", "1"],
}


def main() -> int:
    """Run them; 1 if any failed."""
    chosen = options(
        __doc__,
        quick=(False, "one run of each, smaller budgets"),
        full=(False, "whole studies for the peers of `study`"),
        only=("", "names of benchmarks, with commas between"),
    )
    names = chosen.only.split(",") if chosen.only else list(QUICK)
    failed = []
    for name in names:
        words = QUICK[name] if chosen.quick else ["--repeats", str(chosen.repeats)]
        if chosen.full and name == "study":
            words = [*words, "--full"]
        say(f"== {name}")
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            f"experiments.benchmarks.{name}",
            *words,
            "--results",
            str(chosen.results),
        ]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        say(f"   {time.perf_counter() - began:.0f} s")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
