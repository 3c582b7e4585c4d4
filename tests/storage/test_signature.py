"""The registered model takes the frames that people have, of whatever types, as the model itself does."""

from __future__ import annotations

import decimal
import logging
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.helpers.delivered import deliver
from workbench import data
from workbench.core.locations import local_store
from workbench.core.types import DataSpec
from workbench.evaluation import saved_model
from workbench.evaluation.predictor import Predictor
from workbench.storage.tracking.deliver import log_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),  # MLflow writing the example
]


def registered(folder: Path, spec: DataSpec, **recipe: Any) -> tuple[Any, Predictor]:
    """(the model as MLflow loads it, as it was saved)."""
    dataset, _ = data.load(spec)
    made = deliver(dataset, {"family": "softmax", **recipe})
    model = made.predictor
    saved = saved_model.save(
        folder / "model", recipe=model.recipe, hyper=model.hyper, params=model.params,
        preprocessor=model.preprocessor, task=model.task, classes=model.classes,
        example=dataset.examples(5),
    )  # fmt: skip
    uri = local_store(folder)
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.create_experiment("e", artifact_location=(folder / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    address, _ = log_model(uri, run, saved)
    return mlflow.pyfunc.load_model(address), saved_model.load(saved)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Types as a database or a notebook gives them, blanks among them."""
    draw = np.random.default_rng(0)
    n = 240
    blank = np.arange(n) % 11 == 0
    table = pd.DataFrame({"a": draw.normal(size=n), "whole": draw.integers(0, 5, n).astype(float)})
    table["nullable"] = pd.array(np.where(blank, None, draw.integers(0, 20, n)), dtype="Int64")
    table["yes"] = pd.array(np.where(blank, None, draw.random(n) > 0.5), dtype="boolean")
    table["kind"] = pd.Categorical(draw.choice(["u", "v", "w"], n))
    table["code"] = pd.Categorical(draw.integers(0, 3, n))
    table["when"] = pd.date_range("2024-01-01", periods=n, freq="h", tz="Europe/Berlin")
    table["money"] = [decimal.Decimal(f"{v:.2f}") for v in draw.normal(size=n)]
    table["text"] = pd.array(np.where(blank, None, draw.choice(["x", "y"], n)), dtype="string")
    table["y"] = table["a"] > 0
    return table.sample(frac=1.0, random_state=1)


@pytest.fixture(scope="module")
def table(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Predictor]:
    folder = tmp_path_factory.mktemp("table")
    frame.to_parquet(folder / "rows.parquet")
    return registered(folder, DataSpec("rows.parquet", folder, target="y"))


CHANGES: dict[str, Any] = {
    "the frame of the training": lambda f: f,
    "without the target": lambda f: f.drop(columns="y"),
    "whole numbers where floats were": lambda f: f.assign(a=f["a"].round().astype("int64"), whole=1),
    "floats where whole numbers were": lambda f: f.assign(nullable=f["nullable"].astype("float64")),
    "small types": lambda f: f.assign(a=f["a"].astype("float32"), whole=f["whole"].astype("uint8")),
    "text throughout": lambda f: f.astype("str").where(f.notna(), None),
    "Arrow's own types": lambda f: (
        f.drop(columns=["kind", "code"])
        .convert_dtypes(dtype_backend="pyarrow")
        .assign(kind=f["kind"].astype("str"), code=f["code"].astype("int64"))
    ),
    "moments without a zone": lambda f: f.assign(when=f["when"].dt.tz_convert("UTC").dt.tz_localize(None)),
    "columns in another order": lambda f: f[f.columns[::-1]],
    "one row": lambda f: f.head(1),
    "blanks alone in a column": lambda f: f.assign(money=None, text=None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_frames_are_predicted_and_never_refused(
    change: str, table: tuple[Any, Predictor], frame: pd.DataFrame
) -> None:
    registered_model, model = table
    rows = CHANGES[change](frame)
    said = registered_model.predict(rows)
    pd.testing.assert_frame_equal(said, model.predict(rows))
    assert len(said) == len(rows)
    if change in ("text throughout", "moments without a zone", "columns in another order"):
        pd.testing.assert_frame_equal(said, model.predict(frame))


def test_the_log_is_told_what_no_training_row_held(
    table: tuple[Any, Predictor], frame: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "workbench"):
        table[0].predict(frame)
        assert not [record for record in caplog.records if record.name == "workbench"]
        table[0].predict(frame.head(3).assign(kind="new", a=[None, 1e12, 0.0]))
    (said,) = [record.getMessage() for record in caplog.records if record.name == "workbench"]
    for fragment in ('3 of "kind" ("new")', '1 of "a";', "such as 1e+12"):
        assert fragment in said


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64"])
def test_arrays_of_any_kind_of_number(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 200, (90, 4)).astype("uint8")
    np.savez(tmp_path / "rows.npz", x=x, y=x[:, 0] > 100)
    registered_model, model = registered(tmp_path, DataSpec("rows.npz", tmp_path))
    rows = x.astype(kind)
    pd.testing.assert_frame_equal(registered_model.predict(rows), model.predict(x))
