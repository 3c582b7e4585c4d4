"""The delivered model as a StableHLO program that needs neither this package nor pandas.

    program/model.stablehlo   jax.export: (parameters, features [N, *F]) -> predictions, for cpu, cuda and tpu
    program/features.json     what the features are, in order, and what the columns of the predictions are
    program/run.py            runs it with jax, flatbuffers and NumPy alone; parameters are ../parameters.npz

The program takes features as the preprocessor makes them (`wb.load_model(...).preprocessor.transform`), so
that it can stand behind somebody else's own preparation. Source: https://docs.jax.dev/en/latest/export/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.files import replaced, write_text
from workbench.core.target_transform import to_data
from workbench.evaluation.predictor import Predictor
from workbench.evaluation.saved_model import unflatten

PLATFORMS = ("cpu", "cuda", "tpu")


def export(model: Predictor, parameters: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write the program of a saved model into `folder`.

    parameters  the arrays of the model by their paths, as parameters.npz holds them
    """
    import jax
    import jax.numpy as jnp

    from workbench.nn.models import predict

    def predictions(arrays: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        """Features [N, *F] -> numbers [N, K], or probabilities [N, C]; of labels [N, K], each by itself."""
        params = unflatten(arrays)
        outputs = jax.vmap(lambda row: predict(model.recipe, model.hyper, params, row))(x)
        if model.task == "regression":
            single = replace(
                model, shift=model.shift.astype(np.float32), scale=model.scale.astype(np.float32)
            )
            predicted: jax.Array = to_data(outputs, single, jnp)
            return predicted
        outputs = outputs / jnp.float32(model.temperature)
        if model.task == "multilabel":
            return jax.nn.sigmoid(outputs)
        if outputs.shape[-1] == 1:
            outputs = jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=-1)
        return jax.nn.softmax(outputs, axis=-1)

    rows = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("n"), *model.recipe.inputs), jnp.float32)
    shapes = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in parameters.items()}
    program = jax.export.export(jax.jit(predictions), platforms=PLATFORMS)(shapes, rows)
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / "model.stablehlo", durable=False) as file:
        file.write(program.serialize())
    write_text(folder / "features.json", json.dumps(_described(model), indent=1))
    write_text(folder / "run.py", files("workbench.evaluation").joinpath("run.py.txt").read_text("utf-8"))


def _described(model: Predictor) -> dict[str, Any]:
    decides = len(model.classes) == 2 or model.task == "multilabel"
    return {
        "task": model.task,
        "features": list(model.preprocessor.feature_names),
        "shape": list(model.recipe.inputs),
        "columns": list(model.probability_columns or model.columns),
        "classes": list(model.classes),
        "threshold": model.threshold if decides else None,
        "parameters": "../parameters.npz",
    }
