"""How many cores are used: by affinity, control groups of both versions, Slurm, and a variable before all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.core import cores as module
from workbench.core.cores import cores
from workbench.core.errors import InputError

V1, V2 = "4:cpuset:/\n3:cpu,cpuacct:{}\n2:memory:/m\n", "0::{}\n"


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of 64 cores."""
    monkeypatch.setattr(module, "_affinity", lambda: 64)


def machine(root: Path, groups: str, **files: str) -> Path:
    """A root with control groups; of a file's name __ is a /, and _max of cpu_max is an ending."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_max", "cpu.max")
        file = file.with_name(file.name.replace("cpu_cfs", "cpu.cfs"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 64),
        (V2.format("/"), {"cpu_max": "200000 100000\n"}, 2),  # a container with --cpus=2
        (V2.format("/"), {"cpu_max": "150000 100000\n"}, 2),  # rounded up
        (V2.format("/"), {"cpu_max": "10000 100000\n"}, 1),
        (V2.format("/"), {"cpu_max": "max 100000\n"}, 64),
        (V2.format("/"), {"cpu_max": "9900000 100000\n"}, 64),  # more than there are
        (V2.format("/a.slice/b:c.service"), {"a.slice__b:c.service__cpu_max": "300000 100000"}, 3),
        (V2.format("/a/b"), {"a__b__cpu_max": "max 100000", "a__cpu_max": "400000 100000"}, 4),
        (V2.format("/a/b"), {"a__b__cpu_max": "800000 100000", "a__cpu_max": "400000 100000"}, 4),
        (V2.format("/docker/1234"), {"cpu_max": "200000 100000"}, 2),  # named as the host sees it
        (V2.format("/../x"), {"cpu_max": "200000 100000"}, 2),
        (V2.format("/"), {"cpu_max": "nonsense"}, 64),
        (V2.format("/"), {"cpu_max": ""}, 64),
        (V1.format("/"), {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, 64),
        (V1.format("/"), {"cpu__cpu_cfs_quota_us": "250000\n", "cpu__cpu_cfs_period_us": "100000\n"}, 3),
        (
            V1.format("/x") + V2.format("/x"),
            {"cpu__x__cpu_cfs_quota_us": "500000", "cpu__x__cpu_cfs_period_us": "100000"},
            5,
        ),
        (V1.format("/"), {"cpu__cpu_cfs_quota_us": "200000"}, 64),  # without a period
    ],
)  # fmt: skip
def test_quotas(groups: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert cores({}, machine(tmp_path, groups, **files)) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "32"}, 4),
        ({"SLURM_CPUS_ON_NODE": "32"}, 32),
        ({"SLURM_CPUS_ON_NODE": "128"}, 64),
        ({"SLURM_CPUS_PER_TASK": "0"}, 1),
        ({"SLURM_CPUS_PER_TASK": "2(x3)"}, 64),
        ({"WORKBENCH_CORES": "3", "SLURM_CPUS_PER_TASK": "4"}, 3),
        ({"WORKBENCH_CORES": "100"}, 100),
        ({"WORKBENCH_CORES": ""}, 64),
        ({"LOKY_MAX_CPU_COUNT": "1"}, 64),  # joblib's own
    ],
)
def test_what_the_environment_says(environ: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert cores(environ, tmp_path) == expected


def test_a_quota_and_slurm_together(tmp_path: Path) -> None:
    root = machine(tmp_path, V2.format("/"), cpu_max="600000 100000")
    assert cores({"SLURM_CPUS_PER_TASK": "8"}, root) == 6
    assert cores({"SLURM_CPUS_PER_TASK": "5"}, root) == 5


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "9999999", "٣"])
def test_a_variable_that_is_no_number(text: str) -> None:
    with pytest.raises(InputError, match=r"WORKBENCH_CORES = .*: must be a whole number from 1"):
        cores({"WORKBENCH_CORES": text})


def test_a_machine_without_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores({}, tmp_path) == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores({}, tmp_path) == 1


@contextmanager
def control_group(quota: int) -> Iterator[Path]:
    """A real one, with a quota in hundredths of a core."""
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (old if old.is_dir() else new) / f"workbench-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group can be made here: that needs root")
    try:
        if old.is_dir():
            (group / "cpu.cfs_quota_us").write_text(str(quota * 1000))
        else:
            (group / "cpu.max").write_text(f"{quota * 1000} 100000")
        yield group
    except OSError:
        pytest.skip("no quota can be set here")
    finally:
        group.rmdir()


@pytest.mark.parametrize(("quota", "expected"), [(60, 1), (150, 2)])
def test_a_real_quota(quota: int, expected: int) -> None:
    code = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
        "from workbench.core import cores; cores._affinity = lambda: 64; print(cores.cores({}))"
    )
    with control_group(quota) as group:
        done = subprocess.run(
            [sys.executable, "-c", code, str(group)], capture_output=True, text=True, check=False
        )
    assert done.stdout.strip() == str(expected), done.stderr


def test_threads_of_libraries_follow() -> None:
    code = (
        "from workbench.core.cores import limit_threads; limit_threads(); import os\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environ = {**os.environ, "WORKBENCH_CORES": "1", "OMP_NUM_THREADS": "5"}
    environ.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ
    )
    assert done.stdout.split() == ["5", "1"], done.stderr
