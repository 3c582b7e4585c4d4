"""Models: named pairs of pure functions.

    init(recipe, hyper, *, key) -> params                     nested dict; keys start with "weight" or "bias"
    apply(recipe, hyper, params, x, *, key=None) -> outputs    ONE example: x [*F] -> [K]

`key` is given to `apply` in training when units are dropped, and is None in evaluation. The batch axis is mapped
in `train`, the lane axis in `population`, nowhere else. Leaves whose name starts with "weight" are
regularized; biases are free.
"""

from __future__ import annotations

from workbench import words
from workbench.errors import InputError
from workbench.models import affine, mlp
from workbench.models.base import Model
from workbench.words import Family

__all__ = ["MODELS", "Model", "n_parameters", "register"]

MODELS: dict[str, Model] = {
    "linear": affine.MODEL,
    "logistic": affine.MODEL,
    "softmax": affine.MODEL,
    "mlp": mlp.MODEL,
}


def register(name: str, model: Model, family: Family | None = None) -> None:
    """Add a model under a name that study files may then use.

    `family` says which tasks and inputs it takes and which settings shape it; by default any task, rows of
    features, and the settings of a multilayer perceptron.

    Raises InputError if the name is taken.
    """
    if name in MODELS:
        raise InputError(f"model {name!r} is registered already; choose another name")
    words.FAMILIES[name] = family or words.FAMILIES["mlp"]
    MODELS[name] = model


def n_parameters(family: str, inputs: tuple[int, ...], outputs: int, **shape: int) -> int:
    """How many numbers a model of this shape has: a closed formula, padding not counted."""
    return MODELS[family].n_parameters(inputs, outputs, **shape)
