"""What all benchmarks share: options, fresh processes, alternating runs, medians, and results as JSON.

Two contenders are measured in turn, A B A B, each run in a process of its own, so that drift of a shared
machine falls on both and nothing stays warm. Wall seconds are what a user waits; processor seconds (user
and system, with children) are the steadier figure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.cores import cores as available_cores
from workbench.core.provenance import environment

__all__ = [
    "Run",
    "alternate",
    "fresh",
    "home",
    "installed",
    "machine",
    "options",
    "python",
    "say",
    "spread",
    "surroundings",
    "toml",
    "workbench",
    "write",
]

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
#: What only a comparison needs: `pip install -e '.[peers]'`.
PEERS = ("torch",)
#: What would lead a run to other stores, or to programs that were compiled before.
LEADING = ("WORKBENCH_HOME", "WORKBENCH_STORAGE", "MLFLOW_TRACKING_URI", "JAX_COMPILATION_CACHE_DIR")


class Run(NamedTuple):
    """A process that has ended."""

    wall: float  # seconds
    processor: float  # seconds, user and system, children included
    output: Any  # the last line of its standard output, from JSON


def options(description: str | None, **arguments: tuple[Any, str]) -> argparse.Namespace:
    """Options of a benchmark: each of `arguments` is a default and a line of help. False is a switch."""
    lines = (description or "").strip().splitlines()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, prog=_module()
    )
    for name, (default, text) in {"repeats": (3, "runs of each contender"), **arguments}.items():
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, default=default, type=type(default), help=f"{text} ({default})")
    parser.add_argument("--results", default=RESULTS, type=Path, help="folder of the JSON that is written")
    chosen = parser.parse_args()
    say(lines[0] if lines else "")
    return chosen


def fresh(command: Sequence[str | Path], **environ: str) -> Run:
    """Run a command to its end in a new process, without the variables that would lead it elsewhere.

    Raises RuntimeError with its last words if it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={**surroundings(), **environ},
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace").strip())
    if process.returncode:
        words = " ".join(str(word) for word in command)
        raise RuntimeError(f"{words} ended with status {process.returncode}:\n{texts[1][-2000:]}")
    last = texts[0].splitlines()[-1] if texts[0] else "null"
    return Run(wall, used.ru_utime + used.ru_stime, json.loads(last))


def surroundings() -> dict[str, str]:
    """The environment of a process that is measured: this one's, without what would lead it elsewhere."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if name not in LEADING}
    return {**kept, "PYTHONPATH": path, "WORKBENCH_LEDGER": "off"}  # a measurement is nobody's look


def python(module: str, *arguments: str | Path, **environ: str) -> Run:
    """A module of this folder in a fresh process."""
    return fresh([sys.executable, "-m", f"experiments.benchmarks.{module}", *arguments], **environ)


def workbench(study: Path, at: Path, *arguments: str) -> Run:
    """`workbench run STUDY --search-only --json` with everything embedded in `at`."""
    command = [sys.executable, "-m", "workbench", "run", study, "--json", "--home", at]
    return fresh([*command, *(arguments or ("--search-only",))])


def alternate(contenders: Mapping[str, Callable[[], Run]], repeats: int) -> dict[str, list[Run]]:
    """Every contender in turn, `repeats` times."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name, contender in contenders.items():
            run = contender()
            runs[name].append(run)
            say(f"  {name}, run {turn + 1}: {run.wall:.2f} s, {run.processor:.2f} s of processors")
    return runs


@contextmanager
def home() -> Iterator[Path]:
    """An empty folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median, and what it is the median of."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }


def installed(*modules: str) -> bool:
    """Whether the peers' packages are there."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    peers = {name: version(name) for name in PEERS if installed(name)}
    cores = available_cores()
    return {
        **environment(f"{cores} cores, unless the results say otherwise"),
        **peers,
        "cores": cores,
        "load": os.getloadavg()[0],  # others that run on it: above zero at the start, results are noisy
    }


def write(name: str, results: Mapping[str, Any], began: Mapping[str, Any], folder: Path) -> Path:
    """Write `folder/NAME.json`: results, command, and the machine as it was when the benchmark began."""
    document = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "-m", _module(), *sys.argv[1:]]),
        "machine": dict(began),
        "results": dict(results),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    say(f"written: {path}")
    return path


def toml(tables: Mapping[str, Any]) -> str:
    """A study file from nested dictionaries."""
    plain = [f"{key} = {_value(value)}" for key, value in tables.items() if not _is_table(value)]
    for name, table in tables.items():
        if _is_table(table):
            plain += [f"\n[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(plain) + "\n"


def say(text: str, goal: str = "", *, met: bool = False) -> None:
    """A line for who watches; where there is a goal, whether it is met."""
    end = f" (goal: {goal}; {'met' if met else 'NOT MET'})" if goal else ""
    print(text + end, file=sys.stderr, flush=True)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)


def _module() -> str:
    """The name that a benchmark is called by."""
    return f"experiments.benchmarks.{Path(sys.argv[0]).stem}"
