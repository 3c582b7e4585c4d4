"""The outcome of a study on disk.

`outcome.json` beside `outputs.npz`, written when a run ends, read by `show`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.files import read_arrays, read_record, replaced, write_record
from workbench.core.records import (
    Declared,
    Finalist,
    Outcome,
    SeedRecord,
    Selection,
    TestScore,
    decode_curves,
    decode_number,
    decode_trial,
    encode_curves,
    encode_number,
    encode_trial,
)
from workbench.core.types import Array, Axis, Choice, Range

PLAIN = (
    "study", "question", "task", "metric", "direction", "outputs_on", "programs", "study_file",
)  # fmt: skip
#: What records of earlier versions may lack.
LATER = ("stopped", "model", "withheld")
NUMBERS = ("validation", "default", "optimism", "trivial_loss")
MAPPINGS = ("data", "seconds", "mlflow", "environment")


def save(outcome: Outcome, folder: Path) -> None:
    """Write both files, each replaced in one step."""
    document: dict[str, Any] = {name: getattr(outcome, name) for name in PLAIN}
    document |= {name: dict(getattr(outcome, name)) for name in MAPPINGS}
    document["baselines"] = {name: dict(figures) for name, figures in outcome.baselines.items()}
    document |= {name: getattr(outcome, name) for name in LATER}
    document["declared"] = [asdict(one) for one in outcome.declared]
    document["classes"] = list(outcome.classes)
    document["axes"] = {name: _encode_axis(axis) for name, axis in outcome.axes.items()}
    document["trials"] = [encode_trial(trial) for trial in outcome.trials]
    document["selection"] = None if outcome.selection is None else encode_selection(outcome.selection)
    document["test"] = None if outcome.test is None else asdict(outcome.test)
    document["shown"] = _shown(outcome.outputs, outcome.targets)
    with replaced(folder / "outputs.npz", private=True) as file:
        np.savez(file, outputs=outcome.outputs, targets=outcome.targets, model=np.array(outcome.model))
    write_record(folder / "outcome.json", document)


def _shown(outputs: Array, targets: Array) -> str:
    """The digest of what the model said of some rows, and of what they are."""
    return hashlib.sha256(outputs.tobytes() + targets.tobytes()).hexdigest()


def load(folder: Path) -> Outcome | None:
    """The outcome saved in a study's folder, None if there is none."""
    path = folder / "outcome.json"
    if not path.exists():
        return None
    try:
        document, _ = read_record(path)
        arrays = read_arrays(folder / "outputs.npz", "outputs", "targets") or {}
        outputs, targets = arrays["outputs"], arrays["targets"]
        said = document.get("shown", _shown(outputs, targets))
        if str(arrays.get("model", "")) != document.get("model", "") or _shown(outputs, targets) != said:
            # another model said so, or somebody
            outputs, targets = outputs[:0], targets[:0]
        return _decoded(document, outputs, targets)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder}: outcome.json or outputs.npz is damaged; remove result.json there and run the study "
            "again, which trains nothing and writes them anew"
        ) from error


def _decoded(document: Mapping[str, Any], outputs: Array, targets: Array) -> Outcome:
    return Outcome(
        **{name: document[name] for name in (*PLAIN, *MAPPINGS)},
        classes=tuple(document["classes"]),
        axes={name: _decode_axis(axis) for name, axis in document["axes"].items()},
        trials=tuple(decode_trial(trial) for trial in document["trials"]),
        selection=None if document["selection"] is None else decode_selection(document["selection"]),
        test=None if document["test"] is None else TestScore(**document["test"]),
        outputs=outputs,
        targets=targets,
        baselines=document.get("baselines", {}),
        **{name: document.get(name, "") for name in LATER},
        declared=tuple(Declared(**one) for one in document.get("declared", ())),
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


def encode_selection(selection: Selection) -> dict[str, Any]:
    """A selection as JSON."""
    document = {field.name: getattr(selection, field.name) for field in fields(selection)}
    document |= {"params": dict(selection.params), "settings": _finite(selection.settings)}
    document |= {name: encode_number(document[name]) for name in NUMBERS}
    document["gain"] = None if selection.gain is None else [encode_number(end) for end in selection.gain]
    document["seeds"] = [_encode_seed(seed) for seed in selection.seeds]
    document["refit"] = None if selection.refit is None else _encode_seed(selection.refit)
    document["finalists"] = [
        {**asdict(one), "mean": encode_number(one.mean), "spread": encode_number(one.spread)}
        for one in selection.finalists
    ]
    return document


def decode_selection(document: Mapping[str, Any]) -> Selection:
    """The inverse of `encode_selection`."""
    seeds = tuple(_decode_seed(seed) for seed in document["seeds"])
    refit = document.get("refit") and _decode_seed(document["refit"])
    numbers = {name: _required(document[name]) for name in NUMBERS}
    gain = document["gain"] and tuple(_required(end) for end in document["gain"])
    settings = {
        name: float(value) if value in WORDS else value for name, value in document["settings"].items()
    }
    finalists = tuple(
        Finalist(one["trial"], _required(one["mean"]), _required(one["spread"]), one["parameters"])
        for one in document.get("finalists", ())
    )
    parts = {"settings": settings, "seeds": seeds, "gain": gain, "refit": refit, "finalists": finalists}
    return Selection(**{**document, **numbers, **parts})


#: What `encode_number` makes of numbers that JSON cannot say.
WORDS = ("inf", "-inf", "nan")


def _finite(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: encode_number(value) if isinstance(value, float) else value for name, value in settings.items()
    }


def _encode_seed(seed: SeedRecord) -> dict[str, Any]:
    return {
        "seed": seed.seed,
        "validation": encode_number(seed.validation),
        "best_epoch": seed.best_epoch,
        "curves": encode_curves(seed.curves),
    }


def _decode_seed(document: Mapping[str, Any]) -> SeedRecord:
    score, curves = _required(document["validation"]), decode_curves(document["curves"])
    return SeedRecord(document["seed"], score, document["best_epoch"], curves)


def _required(value: float | str | None) -> float:
    number = decode_number(value)
    if number is None:
        raise ValueError("a number is missing in the record of a selection")
    return number


def _encode_axis(axis: Axis) -> dict[str, Any]:
    return {"choices": list(axis.choices)} if isinstance(axis, Choice) else asdict(axis)


def _decode_axis(document: Mapping[str, Any]) -> Axis:
    return Choice(tuple(document["choices"])) if "choices" in document else Range(**document)
