"""The outcome of a study on disk.

`outcome.json` beside `outputs.npz`, written when a run ends, read by `show`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.files import read_arrays, read_record, replaced, write_record
from workbench.core.records import (
    Declared,
    Outcome,
    Selection,
    TestScore,
    decode,
    decode_trial,
    encode,
    encode_trial,
)
from workbench.core.types import Array, Choice, Range

PLAIN = (
    "study", "question", "task", "metric", "direction", "outputs_on", "programs", "study_file",
)  # fmt: skip
#: What records of earlier versions may lack.
LATER = ("stopped", "model", "withheld")
MAPPINGS = ("data", "seconds", "mlflow", "environment")


def save(outcome: Outcome, folder: Path) -> None:
    """Write both files, each replaced in one step."""
    document: dict[str, Any] = {name: getattr(outcome, name) for name in PLAIN}
    document |= {name: dict(getattr(outcome, name)) for name in MAPPINGS}
    document["baselines"] = {name: dict(figures) for name, figures in outcome.baselines.items()}
    document |= (
        {"also": {name: dict(figures) for name, figures in outcome.also.items()}} if outcome.also else {}
    )
    document |= {name: getattr(outcome, name) for name in LATER}
    document["declared"] = [asdict(one) for one in outcome.declared]
    document["sizes"] = {str(number): size for number, size in outcome.sizes.items()}
    document["classes"], document["names"] = list(outcome.classes), list(outcome.names)
    document["by_target"] = {name: dict(figures) for name, figures in outcome.by_target.items()}
    document["axes"] = encode(outcome.axes)
    document["trials"] = [encode_trial(trial) for trial in outcome.trials]
    document["selection"] = encode(outcome.selection)
    document["test"] = None if outcome.test is None else asdict(outcome.test)
    document["shown"] = _shown(outcome.outputs, outcome.targets, outcome.weights)
    arrays = {"outputs": outcome.outputs, "targets": outcome.targets, "model": np.array(outcome.model)}
    arrays |= {} if outcome.weights is None else {"weights": outcome.weights}
    with replaced(folder / "outputs.npz", private=True) as file:
        np.savez(file, allow_pickle=False, **arrays)
    write_record(folder / "outcome.json", document)


def _shown(outputs: Array, targets: Array, weights: Array | None) -> str:
    """The digest of what the model said of some rows, of what they are, and of how much they count."""
    beside = b"" if weights is None else weights.tobytes()
    return hashlib.sha256(outputs.tobytes() + targets.tobytes() + beside).hexdigest()


def load(folder: Path) -> Outcome | None:
    """The outcome saved in a study's folder, None if there is none."""
    path = folder / "outcome.json"
    if not path.exists():
        return None
    try:
        document, _ = read_record(path)
        arrays = read_arrays(folder / "outputs.npz", "outputs", "targets") or {}
        outputs, targets, weights = arrays["outputs"], arrays["targets"], arrays.get("weights")
        shown = _shown(outputs, targets, weights)
        if (str(arrays.get("model", "")), shown) != (document.get("model", ""), document.get("shown", shown)):
            # another model said so, or somebody
            outputs, targets, weights = outputs[:0], targets[:0], None
        return replace(_decoded(document, outputs, targets), weights=weights)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder}: outcome.json or outputs.npz is damaged; remove result.json there and run the study "
            "again, which trains nothing and writes them anew"
        ) from error


def _decoded(document: Mapping[str, Any], outputs: Array, targets: Array) -> Outcome:
    return Outcome(
        **{name: document[name] for name in (*PLAIN, *MAPPINGS)},
        classes=tuple(document["classes"]),
        axes={
            name: decode(Choice, axis) if "choices" in axis else decode(Range, axis)
            for name, axis in document["axes"].items()
        },
        trials=tuple(decode_trial(trial) for trial in document["trials"]),
        selection=document["selection"] and decode(Selection, document["selection"]),
        test=None if document["test"] is None else TestScore(**document["test"]),
        outputs=outputs,
        targets=targets,
        baselines=document.get("baselines", {}),
        also=document.get("also", {}),
        **{name: document.get(name, "") for name in LATER},
        names=tuple(document.get("names", ())),
        by_target=document.get("by_target", {}),
        declared=tuple(Declared(**one) for one in document.get("declared", ())),
        sizes={int(number): size for number, size in document.get("sizes", {}).items()},
    )


def recorded(folder: Path, study: str) -> Outcome | None:
    """The outcome of a study in its folder, None if there is none. Raises StoreError for one of another."""
    outcome = load(folder)
    if outcome is not None and outcome.study != study:
        raise StoreError(
            f"{folder / 'outcome.json'}: is of study {outcome.study}, expected {study}; bring its own back, "
            "or remove it and run the study again"
        )
    return outcome
