"""Records as JSON: what is read is what was written, to the bit, through text that any JSON reader takes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.records import (
    Curves,
    Finalist,
    SeedRecord,
    Selection,
    TrialRecord,
    decode,
    decode_trial,
    encode,
    encode_trial,
)
from workbench.core.types import Choice, Range

CURVES = Curves(*(np.array([0.1, value, 3e-45], np.float32) for value in (math.nan, math.inf, -0.0)))
SEED = SeedRecord(7, math.nan, 2, CURVES)
CHOSEN = Selection(
    trial=3,
    params={"clip": math.inf, "width": 8, "activation": "relu"},
    settings={"clip": math.inf, "width": 8, "family": "mlp", "beta2": 1.0, "nesterov": True},
    validation=0.5,
    default=math.nan,
    optimism=-math.inf,
    considered=4,
    seeds=(SEED, SEED),
    parameters=12,
    gain=(-0.5, math.inf),
    finalists=(Finalist(3, 0.5, math.nan, 12),),
)


def through_text(record: Any) -> Any:
    """What a journal line holds: JSON without NaN or Infinity."""
    return json.loads(json.dumps(encode(record), allow_nan=False))


@given(
    value=st.none() | st.floats(allow_subnormal=True),
    params=st.dictionaries(
        st.text(max_size=5), st.booleans() | st.integers() | st.floats() | st.just("relu")
    ),
    rungs=st.dictionaries(st.integers(1, 99), st.floats(), max_size=3),
    curve=st.lists(st.floats(width=32), max_size=4),
)
def test_a_trial_comes_back(
    value: float | None, params: dict[str, Any], rungs: dict[int, float], curve: list[float]
) -> None:
    curves = Curves(*(np.array(curve, np.float32) for _ in range(3)))
    trial = TrialRecord(
        5, params, "complete", "finished", value, 9, 3, curves, 1, "abc", 0.25, rungs, finished=12.5
    )
    again = decode_trial(json.loads(json.dumps(encode_trial(trial), allow_nan=False)))
    assert repr(again.params) == repr(trial.params)  # NaN is not equal to itself; types are kept
    assert repr(again.rungs) == repr(trial.rungs)
    assert repr(again.value) == repr(trial.value)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(again.curves, trial.curves, strict=True))
    assert all(a.dtype == np.float32 for a in again.curves)
    assert through_text(again) == through_text(trial)


def test_a_selection_comes_back() -> None:
    again = decode(Selection, through_text(CHOSEN))
    assert through_text(again) == through_text(CHOSEN)
    assert dict(again.settings) == dict(CHOSEN.settings)
    assert {key: type(value) for key, value in again.settings.items()} == {
        key: type(value) for key, value in CHOSEN.settings.items()
    }
    assert isinstance(again.seeds[0], SeedRecord)
    assert isinstance(again.finalists[0], Finalist)


def test_what_an_older_record_lacks_has_its_default() -> None:
    document = through_text(CHOSEN)
    for key in ("refit", "rule", "finalists"):
        del document[key]
    again = decode(Selection, document)
    assert (again.refit, again.rule, again.finalists) == (None, "single", ())


@pytest.mark.parametrize(
    "axis", [Range(1, 9, step=2, integer=True), Range(1e-4, 0.1, log=True), Choice((0, "all"))]
)
def test_an_axis_keeps_the_types_of_its_ends(axis: Range | Choice) -> None:
    assert repr(decode(type(axis), through_text(axis))) == repr(axis)


def test_numpy_scalars_are_numbers() -> None:
    assert through_text({"a": np.float32(0.5), "b": np.int32(3), "c": np.float64(math.nan)}) == {
        "a": 0.5,
        "b": 3,
        "c": "nan",
    }


@pytest.mark.parametrize(
    "damage", [{"validation": None}, {"seeds": 3}, {"trial": "x"}, {"curves": 1, "seeds": [1]}]
)
def test_what_is_no_record_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Selection"):
        decode(Selection, through_text(CHOSEN) | damage)
