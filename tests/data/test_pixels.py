"""Images that are bytes stay bytes until a step needs them, and train as the same numbers in float32 do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from workbench import data
from workbench.study.config import Study, read_study
from workbench.study.preparations import Preparations
from workbench.training.engine import Engine, Job
from workbench.tuning import space
from workbench.tuning.lane_plan import LanePlan

STUDY = """\
name = "images"
[data]
source = "images.npz"
scale  = "{scale}"
{more}
[model]
family   = "cnn"
blocks   = 1
channels = 2
width    = 4
[training]
epochs     = 2
batch_size = 32
[search]
trials = 1
"""


def study_of(folder: Path, dtype: str, scale: str, more: str = "") -> tuple[Study, Preparations]:
    """A study of 120 gray images in this type."""
    folder.mkdir()
    rows = load_digits()
    images = (15 * rows.images[:120, :, :, None]).astype(dtype)
    np.savez(folder / "images.npz", x=images, y=rows.target[:120])
    (folder / "study.toml").write_text(STUDY.format(scale=scale, more=more))
    study = read_study(folder / "study.toml")
    return study, Preparations(data.load(study.data)[0])


@pytest.mark.parametrize(
    ("scale", "more", "stays"),
    [
        ("standardize", "", True),
        ("minmax", "folds = 3", True),
        ("none", "", True),
        ("quantile", "", False),
    ],
)
def test_bytes_and_numbers_train_alike(scale: str, more: str, stays: bool, tmp_path: Path) -> None:
    trained = []
    for dtype in ("uint8", "float32"):
        study, prepared = study_of(tmp_path / dtype, dtype, scale, more)
        variant = space.variant(space.resolve(study.settings, {}))
        for division in (0, 1) if more else (0,):
            plan = LanePlan(study.settings, prepared.problem, "accuracy", (4,))
            program, hyper = plan.lane({}, 0, division)
            engine = Engine(prepared.compact, capacity=2, seed=0)
            job = Job(program.recipe, program.variant, hyper, 0, 2, blocks="ended")
            trained.append(engine.run_many([job])[0])
        rows = prepared.compact(variant).validation.x
        assert rows.dtype == (np.uint8 if dtype == "uint8" and stays else np.float32)
        assert engine.fold(program.variant).train.x.dtype == rows.dtype
        expected = prepared.preprocessor(variant).transform(
            prepared.dataset.pick(prepared.dataset.validation)
        )
        np.testing.assert_allclose(prepared.fold(variant).validation.x, expected, rtol=1e-6, atol=1e-6)
    half = len(trained) // 2
    for one, other in zip(trained[:half], trained[half:], strict=True):
        np.testing.assert_allclose(one.curves.train_loss, other.curves.train_loss, rtol=1e-3)
        np.testing.assert_allclose(one.curves.validation_loss, other.curves.validation_loss, rtol=1e-3)
        assert one.block is not None
        assert other.block is not None
