"""`predict`: a file of raw rows in, a file of predictions out, by the model that a study delivers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workbench import outcomes, results, savedmodel
from workbench.data.seal import sealed_among
from workbench.data.sources import read_file, read_rows
from workbench.errors import DataError, InputError, StoreError, StudyError
from workbench.files import replaced
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


def predict(
    study: Study, places: Places, data: Path, output: Path, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write the predictions for the rows of `data` into `output`, one row each, in the same order.

    The test set of the study stays under seal. Where the file holds its rows, targets among them, whoever
    reads both has looked: that is noted in the ledger as a look by hand, and `tell` hears of it.

    Raises StudyError if the study has not chosen a model, DataError if the rows cannot be read by it,
    StoreError or InputError if the output cannot be written.
    """
    check_output(output, data)
    outcome = outcomes.load(places.study(study.id))
    if outcome is None or outcome.selection is None:
        raise StudyError(
            f"{study.path}: no model is chosen under {places.home}; run workbench run {study.path} "
            "--search-only first, or name its --home"
        )
    folder = places.study(study.id) / "model"
    model = savedmodel.load(folder)
    rows = read_rows(data)
    try:
        table = model.predict(rows)
    except DataError as error:
        raise DataError(f"{data.name}: {str(error).removeprefix('rows: ')}") from error
    seen = _seen(study, places, data, savedmodel.fingerprint(folder), tell)
    try:
        with replaced(output, durable=False) as file:
            WRITERS[output.suffix.lower()](table, file)
    except OSError as error:
        raise StoreError(
            f"{output}: cannot be written ({error.strerror or error}); name another -o"
        ) from error
    return {
        "study": study.id,
        "trial": outcome.selection.trial,
        "model": savedmodel.fingerprint(folder),
        "rows": len(table),
        "test_rows": seen,
        "columns": [str(column) for column in table.columns],
        "output": str(output),
    }


def _seen(study: Study, places: Places, data: Path, choice: str, tell: Callable[[str], None]) -> int:
    """How many sealed test rows the file holds, targets among them; noted before predictions are written."""
    try:
        known = sealed_among(read_file(data), study.data)
    except DataError as error:
        tell(f"whether {data.name} holds sealed test rows cannot be seen: {error}")
        return 0
    if known is None:
        return 0
    from workbench import ledger

    ledger.by_hand(
        results.ledger_of(places),
        study=study.id,
        name=data.name,
        choice=choice,
        marks=known.marks,
        table=known.table,
    )
    count = len(known.marks)
    tell(
        f"{data.name} holds {count:,} sealed test row{'s' * (count > 1)} with the target: a look by hand, "
        "which the ledger notes and which counts when the test set is opened"
    )
    return count


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
