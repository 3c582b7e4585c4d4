"""How many cores this process may use: what devices, compilers and BLAS are cut to.

A machine has more than a process may use: affinity (`taskset`, cpusets), a quota of its control group (a
container with `--cpus=2`, a unit with `CPUQuota=`), an allocation of Slurm's. joblib's count knows the first
two, the second only for a container's outermost group, and it costs a quarter of a second to import; so they
are read here.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from workbench.core.errors import InputError

#: Names a number that goes before all that is found.
VARIABLE = "WORKBENCH_CORES"
_MOST = 4096
#: How many devices jax makes of a CPU, where its user says so.
FORCED = re.compile(r"--xla_force_host_platform_device_count=(\d+)")
#: Slurm's allocation for a task, else for all tasks of this node.
_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
#: What the libraries of threads read once, when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def cores(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> int:
    """Cores that may be used, 1 or more.

    What jax's own XLA_FLAGS forces comes next to WORKBENCH_CORES.

    Args:
        environ: Variables by name; None: those of this process.
        root: Of the file system in which /proc and /sys are.

    Raises:
        InputError: for a WORKBENCH_CORES that is no number.
    """
    environ = os.environ if environ is None else environ
    if told := environ.get(VARIABLE):
        if not (told.isascii() and told.isdigit() and 1 <= int(told) <= _MOST):
            raise InputError(f"{VARIABLE} = {told}: must be a whole number from 1 to {_MOST}; or unset it")
        return int(told)
    if forced := FORCED.search(environ.get("XLA_FLAGS", "")):
        return max(1, int(forced.group(1)))
    found = [_affinity(), *_quotas(root)]
    slurm = next((environ[name] for name in _SLURM if name in environ), "")
    if slurm.isascii() and slurm.isdigit():
        found.append(int(slurm))
    return max(1, min(found))


def limit_threads() -> None:
    """Keep the libraries that this process and its children will load to as many threads.

    What the user has set stays. Effective before NumPy is imported.
    """
    count = str(cores())
    for name in _THREADS:
        os.environ.setdefault(name, count)


def _affinity() -> int:
    """Linux says which cores are meant; macOS and Windows only how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    try:
        return len(allowed(0)) if allowed else os.cpu_count() or 1
    except OSError:
        return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[int]:
    """Cores' worth of time that this process's control group and those around it have, rounded up."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, group = f"{line}::".split(":", 2)
        # Within a container the group may be named as the host sees it, and only the outermost is there.
        parts = [part for part in PurePosixPath(group.removesuffix("::")).parts if part not in {"/", ".."}]
        inner = PurePosixPath("/", *parts)
        groups = [str(one).lstrip("/") for one in (inner, *inner.parents)]
        if controllers == "":  # version 2, beside version 1 in a folder of its own
            for place in (mounts / top / name for top in ("", "unified") for name in groups):
                yield from _cores(_text(place / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for place in (mounts / top / name for top in ("cpu", controllers) for name in groups):
                values = (_text(place / f"cpu.cfs_{value}_us").strip() for value in ("quota", "period"))
                yield from _cores([value for value in values if value])


def _cores(values: list[str]) -> Iterator[int]:
    """Of a quota and its period in microseconds; none where there is no quota (`max`, -1)."""
    if len(values) == 2 and all(value.isdigit() and int(value) for value in values):
        yield math.ceil(int(values[0]) / int(values[1]))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or not to be read
        return ""
