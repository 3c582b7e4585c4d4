"""The training core runs where nothing is installed but jax, optax and NumPy."""

from __future__ import annotations

import subprocess
import sys

CODE = '''
import sys
import jax, optax, numpy

allowed = {name.partition(".")[0] for name in sys.modules} | {*sys.stdlib_module_names, "workbench", "tests"}


class Nothing:
    """Finds no module that is not named above."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"{name} is not installed")


for package in ("sklearn", "scipy", "pandas", "pydantic", "optuna", "mlflow", "sqlalchemy", "rich"):
    assert package not in sys.modules, f"{package} is imported by jax or optax"
sys.meta_path.insert(0, Nothing())

from tests.helpers.problems import blobs, lane, line, mlp
from workbench.core import vocabulary
from workbench.training.engine import Engine, Job
from workbench.nn.recipe import Recipe

recipe = mlp(optimizers=tuple(vocabulary.OPTIMIZERS))
lanes = [lane(seed=i, optimizer=i % len(recipe.optimizers), depth=1 + i % 2, patience=2) for i in range(4)]
engine = Engine(lambda variant: line() if variant == "line" else blobs(), capacity=3, seed=0)
jobs = [Job(recipe, "blobs", hyper, 0, 3, blocks="ended") for hyper in lanes]
jobs.append(Job(Recipe("linear", (4,), 1, "mse", "rmse", batch=8), "line", lane(depth=0), 0, 3))
trained = engine.run_many(jobs)
assert all(one.score is not None for one in trained), trained
assert all(one.block is not None for one in trained[:-1])
print(len(trained), *sorted(allowed & {"jax", "optax", "numpy"}))
'''


def test_the_core_trains_with_jax_optax_and_numpy_alone() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["5", "jax", "numpy", "optax"]
