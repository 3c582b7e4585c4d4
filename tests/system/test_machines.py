"""One study on machines with 1 to 64 cores: the same trials, prunings and choice, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.helpers.end_to_end import SMALL, Place, Ran, place, process, scores

IMAGES = """\
name = "images"
[data]
source = "images.npz"
[model]
family   = "cnn"
blocks   = 1
channels = { choices = [2, 4] }
width    = { low = 4, high = 8 }
[optimizer]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[training]
epochs = 8
[search]
trials   = 12
parallel = 5
seeds    = 2
"""
STUDIES = {
    "asha": SMALL.replace("early_stopping = { patience = 4 }\n", ""),
    "early stopping": SMALL,
    "folds": SMALL.replace('source = "wine"', 'source = "wine"\nfolds = 3'),
    "cnn": IMAGES,
}

#: Each with all studies: 24 searches of some ten processor seconds, four minutes on two quiet cores.
DEVICES = (2, 1, 5, 8, 16, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_devices_decide_how_long_it_takes_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for devices in DEVICES:
        on(devices, monkeypatch)
        where = prepared(tmp_path / str(devices), name)
        found[devices] = searched(where)
        assert found[devices] == found[2], f"{devices} devices"


@pytest.mark.slow
def test_with_a_worker_of_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader of one core: one of sixteen is never busy with so few trials, and would give nothing away."""
    on(2, monkeypatch)
    alone = searched(prepared(tmp_path / "alone", "folds"))
    for attempt in range(6):  # on a busy machine a worker may come too late for a search of a second
        where, file = prepared(tmp_path / str(attempt), "folds"), str(tmp_path / f"{attempt}.json")
        on(16, monkeypatch)
        with (
            process("scheduler", "--port", "0", "--scheduler-file", file),
            process("worker", file, "--home", str(tmp_path / "worker")) as worker,
        ):
            assert worker.stderr is not None
            while "worker at" not in worker.stderr.readline():
                assert worker.poll() is None
            on(1, monkeypatch)
            ran = where.run("--search-only", "--cluster", file)
            assert ran.status == 0, ran.err
            assert told(where) == alone
        if "workers have trained 0 of" not in ran.err:
            return
    pytest.fail("no worker came in time")


def test_sixteen_devices_find_what_this_machine_found(
    finished: tuple[Place, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(16, monkeypatch)
    where = prepared(tmp_path, "early stopping")
    assert searched(where)[0] == decided(finished[0])


def on(devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next processes see a machine of so many cores."""
    monkeypatch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={devices}")


def prepared(folder: Path, name: str) -> Place:
    """A study, and the images that one of them needs."""
    where = place(folder, STUDIES[name])
    rows = load_digits()
    images = rows.images[:200, :, :, None].astype(np.float32)
    np.savez(where.file.parent / "images.npz", x=images, y=rows.target[:200])
    return where


def searched(where: Place) -> tuple[Any, ...]:
    """All that a search decides, in the order in which it was decided."""
    ran = where.run("--search-only")
    assert ran.status == 0, ran.err
    return told(where)


def told(where: Place) -> tuple[Any, ...]:
    """The same of a search that has ended."""
    asks = [(event["first"], event["params"]) for event in where.events("ask")]
    order = [(event["trial"], event["status"]) for event in where.events("launch")]
    return decided(where), asks, order


def decided(where: Place) -> dict[str, Any]:
    """Trials and choice, to the bit."""
    found = scores(where.outcome)
    return {"trials": found["trials"], "selection": found["selection"]}
