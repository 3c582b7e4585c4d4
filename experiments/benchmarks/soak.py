"""`soak`: 10,000 tiny trials in one study; how memory grows with them, and what they leave on the disk.

The resident memory of the process and of the one that writes to MLflow is looked at twice a second and set
against the trials that had ended by then. The slope is a straight line's (least squares) over the second
half of the trials, when programs, libraries and pools are there. Files are those of the finished home.

No goal but this: after compiling, memory grows by what a trial's own record takes, and by nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import ROOT, home, machine, options, say, surroundings, write
from experiments.benchmarks.digits import study_file
from workbench.storage import outcomes

__all__ = ["main"]

_KINDS = {"journal": "studies/*/journal", "mlflow.db": "mlflow.db*", "optuna.log": "optuna.log"}


def main() -> None:
    """Measure, print, write."""
    chosen = options(__doc__, trials=(10_000, "trials of the study"), epochs=(1, "epochs of a trial"))
    before = machine()
    with home() as folder:
        study = study_file(
            folder,
            trials=chosen.trials,
            epochs=chosen.epochs,
            model={"depth": 1, "width": {"low": 4, "high": 16, "log": True}},
            training={"batch_size": 128},
        )
        at = folder / "home"
        looks = _run(study, at)
        (place,) = (at / "studies").iterdir()
        outcome = outcomes.load(place)
        assert outcome is not None
        sizes = {name: _size(at.glob(pattern)) for name, pattern in _KINDS.items()}
        sizes["everything"] = _size(at.rglob("*"))
    ended = np.sort([trial.finished for trial in outcome.trials])
    results: dict[str, Any] = {
        "trials": len(ended),
        "seconds": looks[-1][0] - looks[0][0],
        "file_megabytes": {name: size / 2**20 for name, size in sizes.items()},
        "file_bytes_per_trial": {name: size / len(ended) for name, size in sizes.items()},
    }
    for column, name in enumerate(("trainer", "writer"), start=1):
        results[name] = _growth(np.asarray(looks)[:, [0, column]], ended)
        say(f"{name}: {results[name]}")
    say(f"{len(ended):,} trials in {results['seconds']:.0f} s; {results['file_megabytes']}")
    write("soak", results, before, chosen.results)


def _run(study: Path, at: Path) -> list[tuple[float, float, float]]:
    """(time, megabytes of the trainer, megabytes of the writer), twice a second."""
    command = [
        sys.executable,
        "-m",
        "workbench",
        "run",
        str(study),
        "--search-only",
        "--json",
        "--home",
        str(at),
    ]
    looks = []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": surroundings()}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as process:
        while process.poll() is None:
            threads = Path(f"/proc/{process.pid}/task").glob("*/children")  # each has those it started
            pids = [process.pid, *(int(pid) for path in threads for pid in _text(path).split())]
            own, *others = [_resident(pid) for pid in pids]
            looks.append((time.time(), own, max(others, default=0.0)))
            time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return looks


def _resident(pid: int) -> float:
    """Megabytes; 0 for a process that is gone."""
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def _text(path: Path) -> str:
    """What a file of /proc says; nothing for a process that is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _growth(looks: np.ndarray, ended: np.ndarray) -> dict[str, float]:
    """Memory at the half and at the end of the trials, and the slope between."""
    trials = np.searchsorted(ended, looks[:, 0])
    late = (trials >= len(ended) // 2) & (trials < len(ended)) & (looks[:, 1] > 0)
    if late.sum() < 3:
        raise RuntimeError("the second half of the trials took less than three looks; give it more trials")
    slope, start = np.polyfit(trials[late], looks[late, 1], 1)
    return {
        "megabytes_at_half": float(start + slope * (len(ended) // 2)),
        "megabytes_at_end": float(start + slope * len(ended)),
        "kilobytes_per_trial": float(slope * 1024),
    }


def _size(paths: Any) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    main()
