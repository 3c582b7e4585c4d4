"""Writing the end of a study on its parent run: figures, files, the dataset, and the model in the registry.

Runs in the tracker's own process, through MLflow's client alone, so it is the same for every kind of store.
Doing it twice leaves the same as doing it once: what is there already is not written again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core import addresses
from workbench.core.errors import StoreError
from workbench.evaluation.predictor import STEP_COLUMNS
from workbench.evaluation.saved_model import MISSED, fingerprint
from workbench.storage.tracking.rows import MAX_TAG, NOTE, Final

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: The registered version to use: models:/NAME@champion.
ALIAS = "champion"
#: The tag that says which model this is.
_DIGEST = "digest"
#: What a delivered model needs to predict, beside the package's own code that travels with it.
REQUIREMENTS = ("jax", "mlflow", "numpy", "optax", "pandas", "scikit-learn", "scipy")


def deliver(uri: str, run: str, final: Final) -> None:
    """Write everything but the parameters. Raises StoreError, when all is written, for files not there."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    client = MlflowClient(uri, uri)
    there = client.get_run(run)
    now = int(time.time() * 1000)
    metrics = [
        Metric(key, value, now, 0)
        for key, value in final.metrics.items()
        if there.data.metrics.get(key) != value
    ]
    link = addresses.page(there.info.experiment_id, there.data.tags["study"])
    tags = {**final.tags, NOTE: f"{final.note}\n\n[All trials, best first]({link})"}
    client.log_batch(run, metrics, [], [RunTag(key, value[:MAX_TAG]) for key, value in tags.items()])
    _dataset(client, run, final.dataset)
    missing = [file for file in final.files.values() if not file.is_file()]
    for path, file in final.files.items():
        if file not in missing:
            _file(client, run, path, file)
    if final.model is not None:
        _model(client, run, final, final.model)
    if missing:
        names = ", ".join(map(str, missing))
        raise StoreError(f"{names}: not there to be logged, all else is written; run the study again")


def outdated(uri: str, run: str, final: Final) -> list[str]:
    """Test figures of the run that are not the delivered model's: those of one that was delivered before."""
    from mlflow import MlflowClient

    there = MlflowClient(uri, uri).get_run(run).data.metrics
    return [key for key in there if key.startswith("test_") and key not in final.metrics]


def warm(uri: str) -> None:
    """Import what `deliver` needs and open the store, beforehand: two to three seconds."""
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    with suppress(ImportError):  # fills a table of installed packages that logging a model looks into (0.5 s)
        from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

        warn_dependency_requirement_mismatches(_requirements())
    with suppress(MlflowException):  # a store in trouble is the business of the next job
        mlflow.MlflowClient(uri, uri).search_experiments(max_results=1)


def _dataset(client: MlflowClient, run: str, dataset: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": dataset["source"]})
    entity = Dataset(dataset["name"], dataset["digest"], "local", source, profile=dataset["profile"])
    client.log_inputs(run, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])


def _file(client: MlflowClient, run: str, path: str, file: Path) -> None:
    """One artifact under the name it should have there."""
    folder, _, name = path.rpartition("/")
    if name == file.name:
        client.log_artifact(run, str(file), folder or None)
    else:
        with tempfile.TemporaryDirectory() as draft:
            renamed = shutil.copyfile(file, Path(draft) / name)
            client.log_artifact(run, str(renamed), folder or None)


def _model(client: MlflowClient, run: str, final: Final, folder: Path) -> None:
    """Log the model on the run, register it, give it the alias; not again if it is the champion already."""
    digest, champion = fingerprint(folder), _champion(client, final.model_name)
    if champion is None or (champion.tags.get(_DIGEST), champion.run_id) != (digest, run):
        uri, model_id = log_model(client.tracking_uri, run, folder)
        version = _register(client, final, uri, run, digest, model_id)
        client.set_registered_model_alias(final.model_name, ALIAS, version)
    elif champion.description != final.model_note:
        client.update_model_version(final.model_name, champion.version, final.model_note)


def log_model(uri: str, run: str, folder: Path) -> tuple[str, str]:
    """Log the model on the run, unless it is there. Returns its address and what MLflow calls it."""
    import mlflow
    from mlflow.models import Model

    mlflow.set_tracking_uri(uri)  # what logs and registers models takes no client
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    digest, home = fingerprint(folder), client.get_run(run).info
    known = client.search_logged_models(
        [home.experiment_id], filter_string=f"tags.{_DIGEST} = '{digest}' AND source_run_id = '{run}'"
    )
    for model in known:
        if model.status == "READY":
            return model.model_uri, model.model_id

    here = Path(__file__)
    with mlflow.start_run(run_id=run):
        info = Model.log(
            artifact_path=None,
            name="model",
            flavor=_Untried,
            flavor_name="pyfunc.ModelFromCode",
            validate_serving_input=False,
            python_model=str(here.with_name("pyfunc.py")),
            artifacts={"model": addresses.folder(folder)},
            code_paths=[str(here.parents[2])],  # the whole of workbench
            pip_requirements=_requirements(),
            tags={_DIGEST: digest},
            **_signature(folder),
        )
    client.update_run(run, status=home.status)  # leaving the block said FINISHED
    return info.model_uri, info.model_id


class _Untried:
    """`mlflow.pyfunc` for `Model.log`, which would load every model to try its example, and tell nobody."""

    @staticmethod
    def save_model(*, validate_serving_input: bool, **settings: Any) -> None:
        import mlflow.pyfunc

        del validate_serving_input  # `Model.log` reads it, and hands it on
        mlflow.pyfunc.save_model(**settings)


def _register(client: MlflowClient, final: Final, uri: str, run: str, digest: str, model_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(final.model_name, description=f"The study {final.model_name}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        final.model_name, uri, run, {_DIGEST: digest}, description=final.model_note, model_id=model_id
    )
    return str(version.version)


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """The registered champion."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _signature(folder: Path) -> dict[str, Any]:
    """Signature and input example from the raw rows that were saved with the model."""
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    example = described["example"]
    if example is None:
        return {}
    rows: Any
    if example["kind"] == "table":
        rows = pd.DataFrame(example["data"], columns=example["columns"]).astype(example["dtypes"])
    else:
        rows = np.asarray(example["data"], dtype=example["dtype"])
    first, *others = described["columns"]
    label = DataType.long if all(isinstance(c, int) for c in described["classes"]) else DataType.string
    kind = label if described["classes"] else DataType.double
    places = STEP_COLUMNS if ["output", "each"] in described["recipe"]["options"] else ()
    columns = [*((DataType.long, name) for name in places), (kind, first)]
    columns += [(DataType.double, name) for name in others]
    if described["task"] == "multilabel":  # what is said of each label, then the probabilities
        said = described["recipe"]["outputs"] + len(places)
        columns = [(DataType.long if i < said else kind, name) for i, (kind, name) in enumerate(columns)]
    outputs = Schema([ColSpec(kind, name) for kind, name in columns])
    inputs = None
    if isinstance(rows, pd.DataFrame):
        # Of types MLflow takes none for another: no int64 for float64, no category, nullable number or
        # moment with a zone for text, no array of bytes for one of floats. The model's own preparation reads
        # them all, and refuses with a reason; so columns have names alone, and arrays nothing.
        anything = AnyType()  # type: ignore[no-untyped-call]
        inputs = Schema([ColSpec(anything, str(name)) for name in rows.columns])
    more: dict[str, Any] = {}
    if (folder / MISSED).exists():  # of a regression: an interval may be asked for
        more["params"] = ParamSchema([ParamSpec("interval", DataType.double, None)])
    signature = ModelSignature(inputs=inputs, outputs=outputs, **more)
    return {"signature": signature, "input_example": rows}


def _requirements() -> list[str]:
    """Named with their versions, so that MLflow need not load the model to find them (3 s)."""
    return [f"{name}=={metadata.version(name)}" for name in REQUIREMENTS]
