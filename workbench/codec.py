"""Finished trials as JSON, without losing a bit.

Curves are base64 of little-endian float32, so NaN and infinity survive; other numbers that JSON cannot say
are written as the words that `float` reads back.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.types import Array, Curves, TrialRecord

__all__ = [
    "decode_array",
    "decode_curves",
    "decode_number",
    "decode_trial",
    "encode_array",
    "encode_curves",
    "encode_number",
    "encode_trial",
]


def encode_trial(trial: TrialRecord) -> dict[str, Any]:
    """A finished trial as a record of kind `trial`."""
    return {
        "kind": "trial",
        "number": trial.number,
        "params": dict(trial.params),
        "state": trial.state,
        "reason": trial.reason,
        "value": encode_number(trial.value),
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        "curves": encode_curves(trial.curves),
        "seed": trial.seed,
        "recipe": trial.recipe,
        "seconds": trial.seconds,
        "rungs": {str(epochs): encode_number(score) for epochs, score in trial.rungs.items()},
        "finished": trial.finished,
    }


def decode_trial(record: Mapping[str, Any]) -> TrialRecord:
    """The inverse of `encode_trial`; what an older record lacks has its default."""
    fields = {name: value for name, value in record.items() if name != "kind"}
    fields["value"] = decode_number(fields["value"])
    fields["curves"] = decode_curves(fields["curves"])
    fields["rungs"] = {int(epochs): decode_number(score) for epochs, score in fields["rungs"].items()}
    return TrialRecord(**fields)


def encode_curves(curves: Curves) -> dict[str, str]:
    """Each curve as text."""
    return {name: encode_array(curve) for name, curve in curves._asdict().items()}


def decode_curves(texts: Mapping[str, str]) -> Curves:
    """The inverse of `encode_curves`."""
    return Curves(**{name: decode_array(text) for name, text in texts.items()})


def encode_number(value: float | None) -> float | str | None:
    """JSON has no infinity and no NaN."""
    return value if value is None or math.isfinite(value) else str(value)


def decode_number(value: float | str | None) -> float | None:
    """The inverse of `encode_number`."""
    return None if value is None else float(value)


def encode_array(values: Array) -> str:
    """float32 of one dimension as text."""
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def decode_array(text: str) -> Array:
    """The inverse of `encode_array`."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
