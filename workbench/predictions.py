"""`predict`: a file of raw rows in, a file of predictions out, by the model that a study delivers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workbench import outcomes, savedmodel, spool
from workbench.data.sources import read_rows
from workbench.errors import DataError, InputError, StoreError
from workbench.files import replaced
from workbench.identity import identified
from workbench.places import Places
from workbench.study import Study
from workbench.wording import toml

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WRITERS", "check_output", "predict"]


def _delimited(separator: str) -> Callable[[pd.DataFrame, IO[bytes]], None]:
    def write(table: pd.DataFrame, file: IO[bytes]) -> None:
        table.to_csv(file, index=False, sep=separator)

    return write


def _parquet(table: pd.DataFrame, file: IO[bytes]) -> None:
    table.to_parquet(file, index=False)


#: How predictions are written, by the suffix of the file.
WRITERS: dict[str, Callable[[pd.DataFrame, IO[bytes]], None]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".parquet": _parquet,
}


def predict(study: Study, places: Places, data: Path, output: Path) -> dict[str, Any]:
    """Write the predictions for the rows of `data` into `output`, one row each, in the same order.

    The test set of the study stays as it is: rows that are given here are somebody's own.

    Raises StudyError if the study has not chosen a model, DataError if the rows cannot be read by it,
    StoreError or InputError if the output cannot be written.
    """
    check_output(output, data)
    found = identified(study, places)
    of_study = places.study(found.study.id)
    outcome = outcomes.recorded(of_study, found.study.id)
    if outcome is None or outcome.selection is None:
        raise found.lacks(
            f"no model is chosen under {places.home}; run workbench run {study.path} --search-only first, or "
            "name its --home"
        )
    folder = of_study / "model"
    model = savedmodel.load(folder)
    chosen = outcome.model or _chosen(of_study)
    if chosen and not savedmodel.holds(folder, chosen):
        raise StoreError(
            f"{folder}: is not the model that study {found.study.id} has chosen, it was exchanged or "
            f"changed; workbench run {study.path} trains the chosen one again"
        )
    rows = read_rows(data)
    try:
        table = model.predict(rows)
    except DataError as error:
        raise DataError(f"{data.name}: {str(error).removeprefix('rows: ')}") from error
    try:
        with replaced(output, durable=False) as file:
            WRITERS[output.suffix.lower()](table, file)
    except OSError as error:
        raise StoreError(
            f"{output}: cannot be written ({error.strerror or error}); name another -o"
        ) from error
    return {
        "study": found.study.id,
        "trial": outcome.selection.trial,
        "model": savedmodel.fingerprint(folder),
        "rows": len(table),
        "columns": [str(column) for column in table.columns],
        "output": str(output),
        "notes": [str(found.missing)] if found.missing else [],
    }


def _chosen(folder: Path) -> str:
    """Fingerprint of the model that was chosen last, where an outcome of an earlier version does not say."""
    models = [event["model"] for event in spool.read(folder / "journal") if event["kind"] == "choice"]
    return models[-1] if models else ""


def check_output(output: Path, data: Path) -> None:
    """Raises InputError if predictions could not be written there, before any work is done."""
    where = f"-o = {toml(str(output))}"
    if output.suffix.lower() not in WRITERS:
        raise InputError(f"{where}: predictions are written as {', '.join(WRITERS)}; end the name so")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{where}: the folder {output.parent} does not exist; make it first")
    if output.is_dir():
        raise InputError(f"{where}: is a folder; name a file in it")
    if output.exists() and data.exists() and output.samefile(data):
        raise InputError(f"{where}: is the file of the rows itself; name another")
