"""`cold`: the second run of a study compiles nothing.

The same study twice in two fresh homes, the second of which is given the compilation cache that the first
has filled, and nothing else: it trains everything again. What jax says of its cache is counted: programs
that were compiled (misses) and programs that were found (hits).

Goal: no misses in the second run.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import home, machine, options, python, say, spread, write
from experiments.benchmarks.digits import study_file

__all__ = ["main"]

EVENTS = {"/jax/compilation_cache/cache_misses": "compiled", "/jax/compilation_cache/cache_hits": "found"}


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_child(Path(sys.argv[2]), Path(sys.argv[3]))))
        return
    chosen = options(__doc__, trials=(200, "trials of the study"), epochs=(50, "epochs of a trial"))
    before = machine()
    runs: dict[str, list[dict[str, Any]]] = {"first": [], "second": []}
    for turn in range(chosen.repeats):
        with home() as folder:
            study = study_file(folder, trials=chosen.trials, epochs=chosen.epochs, pruner="asha")
            for which in runs:
                run = python("cold", "--child", study, folder / which)
                if which == "first":
                    shutil.copytree(folder / "first" / "cache", folder / "second" / "cache")
                runs[which].append({**run.output, "wall": run.wall, "processor": run.processor})
                counts = f"{run.output['compiled']} compiled, {run.output['found']} found"
                say(f"  {which}, run {turn + 1}: {run.wall:.1f} s, {counts}")
    walls = {which: spread([run["wall"] for run in runs[which]]) for which in runs}
    compiled = max(run["compiled"] for run in runs["second"])
    results = {
        "seconds": walls,
        "ratio": walls["first"]["median"] / walls["second"]["median"],
        "runs": runs,
        "met": compiled == 0,
    }
    say(f"the second run compiled {compiled} programs", "none", met=results["met"])
    write("cold", results, before, chosen.results)


def _child(study: Path, at: Path) -> dict[str, Any]:
    """Run the study here and count."""
    from jax import monitoring

    from workbench.core import locations
    from workbench.study import workflow
    from workbench.study.config import read_study

    counts = dict.fromkeys(EVENTS.values(), 0)

    def count(event: str, **unused: Any) -> None:
        if event in EVENTS:
            counts[EVENTS[event]] += 1

    monitoring.register_event_listener(count)
    result = workflow.run(read_study(study), locations.resolve(home=str(at), environ={}), search_only=True)
    return {**counts, "seconds": result["seconds"], "programs": result["programs"]}


if __name__ == "__main__":
    main()
