"""The exported program runs with jax and NumPy alone and says what the loaded model says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_wine

from tests.helpers.delivered import deliver
from tests.helpers.end_to_end import Place, Ran
from tests.helpers.families import predicted
from workbench import data
from workbench.core.types import DataSpec
from workbench.evaluation import saved_model
from workbench.evaluation.export import PLATFORMS, export

#: What the program must not need: importing any of these fails.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("workbench", "pandas", "optax", "mlflow", "sklearn"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


def alone(program: Path, x: np.ndarray, folder: Path) -> np.ndarray:
    """What run.py writes, in a process that has nothing but jax and NumPy, after the model was moved."""
    moved = folder / "elsewhere"
    shutil.copytree(program.parent, moved)
    np.save(folder / "x.npy", x)
    code = BLOCK + (
        "import runpy; sys.argv = ['run.py', 'x.npy', 'out.npy']; "
        f"runpy.run_path({str(moved / 'program' / 'run.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    out: np.ndarray = np.load(folder / "out.npy")
    return out


def test_the_program_of_a_study(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    folder = finished[0].folder / "model"
    model = saved_model.load(folder)
    rows = load_wine(as_frame=True).data
    x = model.preprocessor.transform(rows)
    out = alone(folder / "program", x, tmp_path)
    expected = model.predict(rows)
    np.testing.assert_allclose(out, expected.iloc[:, 1:], atol=2e-6)
    about = json.loads((folder / "program" / "features.json").read_text())
    assert about["columns"] == list(expected.columns[1:])
    assert about["features"] == list(rows.columns)
    assert about["shape"] == [13]


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_numbers_and_two_classes(task: str, tmp_path: Path) -> None:
    regression = task == "regression"
    dataset, _ = data.load(DataSpec("diabetes" if regression else "breast_cancer"))
    model = deliver(dataset, {"family": "linear" if regression else "logistic"}).predictor
    arrays = {"weight": np.asarray(model.params["weight"]), "bias": np.asarray(model.params["bias"])}
    export(model, arrays, tmp_path)
    program = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    assert program.platforms == PLATFORMS
    x = np.random.default_rng(0).normal(size=(9, *model.recipe.inputs)).astype(np.float32)
    out = np.asarray(program.call(arrays, x))
    estimates = model.estimates(x)
    if regression:
        np.testing.assert_allclose(out, estimates, rtol=1e-5)
    else:
        np.testing.assert_allclose(out[:, 1], 1.0 / (1.0 + np.exp(-estimates[:, 0])), atol=1e-6)
        np.testing.assert_allclose(out.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("task", ["regression", "binary", "classes"])
def test_members_that_share_weights(task: str, tmp_path: Path) -> None:
    """Saved, read back and exported, a batch ensemble says the average of what its members say."""
    source = {"regression": "diabetes", "binary": "breast_cancer", "classes": "wine"}[task]
    dataset, _ = data.load(DataSpec(source))
    design = {
        "family": "tabm",
        "depth": 2,
        "width": 6,
        "activations": ("relu",),
        "options": (("members", 3),),
    }
    made = deliver(dataset, design).predictor
    saved_model.save(
        tmp_path, recipe=made.recipe, hyper=made.hyper, params=made.params, preprocessor=made.preprocessor,
        task=made.task, classes=made.classes, shift=made.shift, scale=made.scale,
    )  # fmt: skip
    model, arrays = saved_model.load(tmp_path), saved_model.parameters(tmp_path)
    export(model, arrays, tmp_path)
    rows = dataset.rows[:9]
    x = model.preprocessor.transform(rows)
    said = np.asarray(predicted(made.recipe, made.hyper, made.params, x), np.float64)
    if task == "regression":
        wanted = said.mean(axis=1) * made.scale + made.shift
    else:
        logits = np.concatenate([np.zeros_like(said), said], axis=-1) if task == "binary" else said
        wanted = softmax(logits, axis=-1).mean(axis=1)
    told = model.predict(rows).iloc[:, 0 if task == "regression" else 1 :]
    np.testing.assert_allclose(told, wanted, rtol=1e-4, atol=1e-6)
    program = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    np.testing.assert_allclose(program.call(arrays, x), wanted, rtol=1e-4, atol=1e-6)
