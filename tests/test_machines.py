"""One study on machines with 1 to 64 cores: the same trials, prunings and choice, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.end_to_end import SMALL, place, scores

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


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_devices_decide_how_long_it_takes_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = load_digits()
    images = rows.images[:200, :, :, None].astype(np.float32)
    found = {}
    for devices in (2, 1, 5, 8, 16, 64):
        monkeypatch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={devices}")
        where = place(tmp_path / str(devices), STUDIES[name])
        np.savez(where.file.parent / "images.npz", x=images, y=rows.target[:200])
        ran = where.run("--search-only")
        assert ran.status == 0, ran.err
        asks = [(event["first"], event["params"]) for event in where.events("ask")]
        order = [(event["trial"], event["status"]) for event in where.events("launch")]
        found[devices] = scores(where.outcome), asks, order
        assert found[devices] == found[2], f"{devices} devices"
