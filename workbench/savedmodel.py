"""The delivered model as two plain files: what it is (`model.json`) and its numbers (`parameters.npz`).

No pickle is written or read, and nothing in the files is code: loading takes the architecture from the
registry of models and the arrays from the archive. A `Predictor` takes raw rows, as they stand in the user's
file, and gives predictions in the user's units and labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from workbench.errors import DataError, StoreError
from workbench.recipe import Hyperparameters, Recipe
from workbench.types import Array, Task

if TYPE_CHECKING:
    import pandas as pd

    from workbench.data.preprocess import Preprocessor

__all__ = ["FORMAT", "Predictor", "load", "save"]

#: The layout of model.json; a reader refuses a newer one.
FORMAT = 1
#: Rows in one call of the compiled program; the last call is padded, so nothing compiles twice.
CHUNK = 256
#: Raw rows kept as MLflow's input example.
EXAMPLES = 5


@dataclass(frozen=True)
class Predictor:
    """A loaded model. Call `predict`."""

    recipe: Recipe
    hyper: Hyperparameters
    params: Any  # nested dict of arrays, as the model's `init` makes it
    preprocessor: Preprocessor
    task: Task
    classes: tuple[str | int, ...]  # empty for regression
    threshold: float  # of two classes, the second is said above this probability
    shift: Array  # [K]
    scale: Array  # [K]
    columns: tuple[str, ...]  # of the table that `predict` gives

    def predict(self, rows: pd.DataFrame | Array | Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Predictions for raw rows, one row each, under the index of `rows` if it is a table.

        Regression gives `prediction` in the units of the data. Classification gives `prediction`, the label,
        and `probability_<label>` for every class.

        Raises DataError if the rows lack a column or hold what the model cannot read.
        """
        import pandas as pd

        table = pd.DataFrame(list(rows)) if isinstance(rows, list | tuple) else rows
        index = table.index if isinstance(table, pd.DataFrame) else None
        if not len(table):
            return pd.DataFrame({column: [] for column in self.columns})
        outputs = self.outputs(np.asarray(self.preprocessor.transform(table), dtype=np.float32))
        if self.task == "regression":
            values = outputs.astype(np.float64) * self.scale + self.shift
            return pd.DataFrame(values, columns=list(self.columns), index=index)
        probability = probabilities(outputs)
        codes = probability.argmax(axis=1)
        if len(self.classes) == 2:  # compared as `metrics.predictions` compares, to the last bit
            logit = outputs[:, -1] - (outputs[:, 0] if outputs.shape[1] == 2 else np.float32(0.0))
            codes = (logit > np.float32(np.log(self.threshold / (1.0 - self.threshold)))).astype(np.int64)
        frame = pd.DataFrame(probability, columns=list(self.columns[1:]), index=index)
        frame.insert(0, self.columns[0], [self.classes[code] for code in codes])
        return frame

    def outputs(self, x: Array) -> Array:
        """What the model gives for prepared rows: x [N, *F] float32 -> [N, K] float32."""
        parts = []
        for first in range(0, len(x), CHUNK):
            part = x[first : first + CHUNK]
            padded = np.zeros((CHUNK, *part.shape[1:]), np.float32)
            padded[: len(part)] = part
            parts.append(np.asarray(_program()(self.recipe, self.hyper, self.params, padded))[: len(part)])
        return np.concatenate(parts)


def probabilities(outputs: Array) -> Array:
    """Logits [N, K] -> [N, C] float64, rows summing to one. A single logit speaks for the second class."""
    z = outputs.astype(np.float64)
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    total: Array = e / e.sum(axis=1, keepdims=True)
    return total


def save(
    folder: Path | str,
    *,
    recipe: Recipe,
    hyper: Hyperparameters,
    params: Any,
    preprocessor: Preprocessor,
    task: Task,
    classes: Sequence[str | int] = (),
    threshold: float = 0.5,
    shift: Array | None = None,
    scale: Array | None = None,
    targets: Sequence[str] = (),
    example: pd.DataFrame | Array | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model into `folder`, the description last, so that a folder with model.json is whole.

    hyper      scalars of one lane; params  its parameters, without the lane axis
    shift, scale  [K], regression only: outputs * scale + shift is in the units of the data
    targets    names of the K columns a regression predicts, when there are several
    example    raw rows; the first few are kept as MLflow's input example and decide its signature
    about      anything worth keeping with the model (study, trial, score); plain data
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"params/{path}": np.asarray(leaf) for path, leaf in _flatten(params)}
    arrays |= {f"hyper/{name}": np.asarray(value) for name, value in hyper._asdict().items()}
    arrays["shift"] = np.zeros(recipe.outputs, np.float32) if shift is None else np.asarray(shift)
    arrays["scale"] = np.ones(recipe.outputs, np.float32) if scale is None else np.asarray(scale)
    description = {
        "format": FORMAT,
        "task": task,
        "recipe": asdict(recipe),
        "classes": [_label(label) for label in classes],
        "threshold": threshold,
        "columns": _columns(task, classes, recipe.outputs, targets),
        "preprocessor": preprocessor.to_json(),
        "example": _example(example),
        "about": dict(about or {}),
    }
    (folder / "model.json").unlink(missing_ok=True)
    with (folder / "parameters.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    draft = folder / "model.json.new"
    draft.write_text(json.dumps(description, indent=1), encoding="utf-8")
    draft.replace(folder / "model.json")
    return folder


def load(folder: Path | str) -> Predictor:
    """Read a model. Raises StoreError if the folder holds none, a damaged one, or one of a newer layout."""
    from workbench.data.preprocess import Preprocessor
    from workbench.models import MODELS

    folder = Path(folder)
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        with (folder / "parameters.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise StoreError(
            f"{folder}: holds no model ({missing} is missing); finish the study first"
        ) from error
    except (ValueError, OSError, BadZipFile) as error:
        raise StoreError(f"{folder}: the model cannot be read ({error}); run the study again") from error
    if description["format"] > FORMAT:
        raise StoreError(
            f"{folder}: format {description['format']} is newer than this workbench reads ({FORMAT}); "
            "install a newer one"
        )
    groups: dict[str, dict[str, Array]] = {"hyper": {}, "params": {}}
    for name, array in arrays.items():
        group, _, path = name.partition("/")
        groups.setdefault(group, {})[path] = array
    try:
        recipe = _recipe(description["recipe"])
        hyper = Hyperparameters(**groups["hyper"])
    except TypeError as error:
        raise StoreError(f"{folder}: was made by another version ({error}); load it with that one") from error
    if recipe.family not in MODELS:
        raise StoreError(
            f"{folder}: no model family is called {recipe.family!r} here; import the module that registers it"
        )
    return Predictor(
        recipe=recipe,
        hyper=hyper,
        params=_unflatten(groups["params"]),
        preprocessor=Preprocessor.from_json(description["preprocessor"]),
        task=description["task"],
        classes=tuple(description["classes"]),
        threshold=description["threshold"],
        shift=arrays["shift"],
        scale=arrays["scale"],
        columns=tuple(description["columns"]),
    )


@cache
def _program() -> Any:
    """One compiled program for every predictor of a recipe; made on first use, since it needs jax."""
    import jax

    from workbench.models import MODELS

    @partial(jax.jit, static_argnums=0)
    def apply(recipe: Recipe, hyper: Hyperparameters, params: Any, x: jax.Array) -> jax.Array:
        model = MODELS[recipe.family]
        outputs: jax.Array = jax.vmap(lambda row: model.apply(recipe, hyper, params, row, key=None))(x)
        return outputs

    return apply


def _columns(task: Task, classes: Sequence[str | int], outputs: int, targets: Sequence[str]) -> list[str]:
    if task == "classification":
        return ["prediction", *(f"probability_{label}" for label in classes)]
    if outputs == 1:
        return ["prediction"]
    return [f"prediction_{name}" for name in (targets or range(outputs))]


def _example(rows: Any) -> dict[str, Any] | None:
    """The first raw rows as plain data, with what is needed to read them back as they were."""
    if rows is None:
        return None
    if hasattr(rows, "columns"):
        head = rows.head(EXAMPLES)
        dtypes = {str(c): str(t) for c, t in head.dtypes.items() if t.kind in "biuf"}
        data = json.loads(head.to_json(orient="values", double_precision=15, date_format="iso"))
        return {"kind": "table", "columns": [str(c) for c in head.columns], "dtypes": dtypes, "data": data}
    array = np.asarray(rows)[:EXAMPLES]
    return {"kind": "array", "dtype": str(array.dtype), "data": array.tolist()}


def _recipe(fields: Mapping[str, Any]) -> Recipe:
    """JSON has lists where a recipe, being hashable, has tuples."""
    plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()}
    plain["options"] = tuple((name, value) for name, value in plain["options"])
    return Recipe(**plain)


def _flatten(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """Nested dicts as paths with slashes; deterministic."""
    if not isinstance(tree, Mapping):
        return [(path, tree)]
    for key in tree:
        if "/" in str(key):
            raise DataError(f"parameter {key!r}: a name holds no slash; rename it in the model's init")
    below = f"{path}/" if path else ""
    return [leaf for key in sorted(tree) for leaf in _flatten(tree[key], f"{below}{key}")]


def _unflatten(leaves: Mapping[str, Array]) -> Any:
    if set(leaves) == {""}:
        return leaves[""]
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def _label(label: Any) -> str | int:
    """Labels as JSON keeps them: whole numbers and text."""
    if isinstance(label, np.integer | int) and not isinstance(label, bool):
        return int(label)
    return str(label)
