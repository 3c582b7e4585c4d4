"""The delivered model as plain files: what it is (`model.json`) and its numbers (`parameters.npz`).

Beside these `training.npz` has what rows to be predicted are compared with, which no prediction depends on.
No pickle is written or read, and nothing in the files is code: loading takes the architecture from the
registry of models and the arrays from the archive.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core import plugins
from workbench.core.errors import DataError, StoreError
from workbench.core.files import read_arrays, write_text
from workbench.core.target_transform import AS_IT_IS, Transform
from workbench.core.types import Array, Task
from workbench.evaluation.conformal import Residuals
from workbench.evaluation.predictor import Predictor
from workbench.nn.recipe import Hyperparameters, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from workbench.data.preprocessing import Preprocessor


#: What of a lane's hyperparameters is not saved: read in training alone, and no single number or a late one.
TRAINING = ("arguments", "sigma", "shift", "flip", "ema")
#: Saved unless it is at its default: a model without it has the fingerprint that it had.
LATE = "taper"
#: What of a recipe is read in training alone: a model that is trained again has the fingerprint that it had.
NOT_SAVED = "by_loss"
#: What training rows held; models that earlier versions saved lack it, and it is no part of the fingerprint.
HELD = "training.npz"
#: What validation rows were missed by, of a regression; likewise.
MISSED = "residuals.npz"
#: The layout of model.json; a reader refuses a newer one. It is as old as what the model needs: 2 for a
#: transform of the target, 3 for numbers that are encoded or scaled in a way that earlier versions lack, and
#: for a temperature, 4 for several labels of a row.
FORMAT = 4
#: Beside the folder `model` of a study: the model that validation rows judged, if `model` has seen them.
JUDGED = "judged"
#: Raw rows kept as MLflow's input example.
EXAMPLES = 5


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
    transform: Transform = AS_IT_IS,
    temperature: float = 1.0,
    targets: Sequence[str] = (),
    residuals: Residuals | None = None,
    example: pd.DataFrame | Array | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model into `folder`, the description last, so that a folder with model.json is whole.

    hyper      scalars of one lane; params  its parameters, without the lane axis
    shift, scale  [K], regression only: outputs * scale + shift is in the units of the data, before
    transform  of the targets is undone
    temperature  classification only: by which logits are divided
    targets    names of the K columns a regression predicts, when there are several, or of the labels
    residuals  what validation rows were missed by, from which `predict` takes intervals
    example    raw rows; the first few are kept as MLflow's input example and decide its signature
    about      anything worth keeping with the model (study, trial, score); plain data
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"params/{path}": np.asarray(leaf) for path, leaf in _flatten(params)}
    arrays |= {
        f"hyper/{name}": np.asarray(value)
        for name, value in hyper._asdict().items()
        if name not in TRAINING and not (name == LATE and value == Hyperparameters._field_defaults[name])
    }
    arrays["shift"] = np.zeros(recipe.outputs, np.float32) if shift is None else np.asarray(shift)
    arrays["scale"] = np.ones(recipe.outputs, np.float32) if scale is None else np.asarray(scale)
    arrays["knots"] = np.asarray(transform.knots)
    prepared = preprocessor.to_json()
    description = {
        "format": 4 if task == "multilabel" else _format(prepared, transform, temperature),
        "task": task,
        "target_transform": transform.kind,
        "recipe": {name: value for name, value in asdict(recipe).items() if name != NOT_SAVED},
        "classes": [_label(label) for label in classes],
        "threshold": threshold,
        "columns": _columns(task, classes, recipe.outputs, targets),
        "preprocessor": prepared,
        "example": _example(example),
        "about": dict(about or {}),
    }
    if temperature != 1.0:
        description["temperature"] = temperature
    (folder / "model.json").unlink(missing_ok=True)
    if preprocessor.training is not None:
        with (folder / HELD).open("wb") as file:
            np.savez(file, allow_pickle=False, **preprocessor.training.arrays())
    if residuals is not None:
        with (folder / MISSED).open("wb") as file:
            np.savez(file, allow_pickle=False, **residuals._asdict())
    with (folder / "parameters.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    write_text(folder / "model.json", json.dumps(description, indent=1))
    return folder


def load(folder: Path | str) -> Predictor:
    """Read a delivered model.

    Args:
        folder: That of the model: `model` in the folder of a study, or a copy of it.

    Returns:
        The model; its `predict` takes raw rows, as they stand in the user's file.

    Raises:
        StoreError: if the folder holds no model, a damaged one, or one of a newer layout or unknown family.
    """
    folder = Path(folder)
    try:
        return _load(folder)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder}: the model cannot be read (model.json and parameters.npz are not what was saved: "
            f"{type(error).__name__} {error}); run the study again"
        ) from error


def _load(folder: Path) -> Predictor:
    from workbench.data.preprocessing import Preprocessor
    from workbench.nn.models import MODELS

    plugins.load_installed()
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        arrays = read_arrays(folder / "parameters.npz", "shift", "scale")
        held = read_arrays(folder / HELD, "blank", "low", "high") if (folder / HELD).exists() else {}
        missed = read_arrays(folder / MISSED, "size", "weight") if (folder / MISSED).exists() else {}
    except FileNotFoundError as error:
        raise _missing(folder, Path(error.filename).name) from error
    except (ValueError, OSError) as error:
        raise StoreError(f"{folder}: the model cannot be read ({error}); run the study again") from error
    if arrays is None or held is None or missed is None:
        damaged = "parameters.npz" if arrays is None else HELD if held is None else MISSED
        raise StoreError(f"{folder}: the model cannot be read ({damaged} is damaged); run the study again")
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
            f"{folder}: no model family is called {recipe.family!r} here; import the module that registers "
            "it, or name its file by --plugin"
        )
    preprocessor = Preprocessor.from_json(description["preprocessor"])
    return Predictor(
        recipe=recipe,
        hyper=hyper,
        params=unflatten(groups["params"]),
        preprocessor=preprocessor.knowing(held) if held else preprocessor,
        task=description["task"],
        classes=tuple(description["classes"]),
        threshold=description["threshold"],
        shift=arrays["shift"],
        scale=arrays["scale"],
        columns=tuple(description["columns"]),
        transform=Transform(description.get("target_transform", "none"), arrays.get("knots", AS_IT_IS.knots)),
        temperature=description.get("temperature", 1.0),
        residuals=Residuals(missed["size"], missed["weight"]) if missed else None,
    )


def judged(folder: Path) -> Path:
    """Of the models in a study's folder, the one that has not seen the validation rows."""
    return folder / JUDGED if (folder / JUDGED).exists() else folder / "model"


def fingerprint(folder: Path) -> str:
    """SHA-256 of everything the model consists of: parameters, preprocessing, threshold, recipe.

    Raises StoreError if the folder holds no model.
    """
    digest = hashlib.sha256()
    for name in ("model.json", "parameters.npz"):
        try:
            digest.update((folder / name).read_bytes())
        except FileNotFoundError:
            raise _missing(folder, name) from None
    return digest.hexdigest()


def holds(folder: Path, model: str) -> bool:
    """Whether the model in a folder is the one with this fingerprint; not if there is none."""
    try:
        return fingerprint(folder) == model
    except StoreError:
        return False


def _format(prepared: Mapping[str, Any], transform: Transform, temperature: float) -> int:
    if "bins" in prepared or prepared.get("scale") == "robust" or temperature != 1.0:
        return 3
    return 2 if transform.kind != "none" else 1


def _missing(folder: Path, name: str) -> StoreError:
    return StoreError(f"{folder}: holds no model ({name} is missing); finish the study first")


def _columns(task: Task, classes: Sequence[str | int], outputs: int, targets: Sequence[str]) -> list[str]:
    if task == "classification":
        return ["prediction", *(f"probability_{label}" for label in classes)]
    if outputs == 1:
        return ["prediction"]
    each = ("prediction", "probability") if task == "multilabel" else ("prediction",)
    return [f"{what}_{name}" for what in each for name in (targets or range(outputs))]


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
    for field in ("options", "arguments"):
        plain[field] = tuple((name, value) for name, value in plain.get(field, ()))
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


def parameters(folder: Path) -> dict[str, Array]:
    """The arrays of a saved model by their paths."""
    with np.load(folder / "parameters.npz", allow_pickle=False) as archive:
        names = [name for name in archive.files if name.startswith("params/")]
        return {name.removeprefix("params/"): archive[name] for name in names}


def unflatten(leaves: Mapping[str, Any]) -> Any:
    """The nested dicts of parameters from paths with slashes."""
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
