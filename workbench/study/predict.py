"""`predict`: a file of raw rows in, a file of predictions out, by the model that a study delivers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from workbench.core.errors import DataError, InputError
from workbench.core.files import replaced
from workbench.core.formatting import nearest, toml
from workbench.core.locations import Locations
from workbench.core.records import Selection
from workbench.data.preprocessing.novelty import told
from workbench.data.seal import sealed_among
from workbench.data.sources import read_file, read_rows
from workbench.evaluation import saved_model
from workbench.evaluation.predictor import STEP_COLUMNS, Predictor
from workbench.study import results
from workbench.study.config import Study
from workbench.study.delivered import check_place, delivered, writing

if TYPE_CHECKING:
    import pandas as pd


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


#: Of these, what spreadsheets read.
SPREADSHEETS = (".csv", ".tsv")
#: A spreadsheet takes text that begins so for a formula, which may call programs and send cells away …
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
#: … unless it is a number.
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


def predict(
    study: Study,
    locations: Locations,
    data: Path,
    output: Path,
    tell: Callable[[str], None] = lambda _: None,
    *,
    keep: Sequence[str] = (),
    interval: float | None = None,
    escape: bool = False,
) -> dict[str, Any]:
    """Write the predictions for the rows of `data` into `output`, one row each, in the same order.

    What the rows hold that no training row did is counted: labels, blanks, numbers far outside.

    The test set of the study stays under seal. Where the file holds its rows, targets among them, whoever
    reads both has looked: that is noted in the ledger as a look by hand, and `tell` hears of it.

    keep    columns of `data`, such as ids, that come first in the output, as they stand in the file
    interval  a share, such as 0.9, of new rows that shall lie between the columns `lower` and `upper`
    escape  put a ' before labels and names of columns that a spreadsheet would take for a formula

    Raises StudyError if the study has not chosen a model, DataError if the rows cannot be read by it,
    StoreError or InputError if the output cannot be written, InputError for an interval that cannot be given.
    """
    check_output(output, data)
    chosen = delivered(study, locations)
    model = chosen.model
    rows = read_rows(data, study.data.encoding)
    try:
        table, new = model.predict(rows, interval=interval), model.novelties(rows)
    except DataError as error:
        raise DataError(f"{data.name}: {str(error).removeprefix('rows: ')}") from error
    unused = _unused(rows, model, {str(chosen.outcome.data.get("target")), *_named(study), *keep})
    table = _with_columns(table, data, keep)
    formulas = _formulas(table) if output.suffix.lower() in SPREADSHEETS else []
    if escape and formulas:
        table = _escaped(table)
    seen = _seen(study, locations, data, saved_model.fingerprint(chosen.folder), tell)
    with writing(output), replaced(output, durable=False) as file:
        WRITERS[output.suffix.lower()](table, file)
    return {
        "study": chosen.found.study.id,
        "trial": chosen.selection.trial,
        "model": saved_model.fingerprint(chosen.folder),
        "rows": len(table),
        "test_rows": seen,
        "columns": [str(column) for column in table.columns],
        "output": str(output),
        "new": new,
        "unused": unused,
        "interval": interval,
        "notes": [
            *_notes(data, new, unused),
            *([str(chosen.found.missing)] if chosen.found.missing else []),
            *([] if interval is None else [_promised(interval, model, study, chosen.selection)]),
        ],
        "formulas": formulas,
    }


def _notes(data: Path, new: dict[str, Any], unused: Sequence[str]) -> list[str]:
    """What the rows hold that the model has not met, and columns it does not look at."""
    notes = [f"{data.name}: {said}"] if (said := told(new)) else []
    if unused:
        some = ", ".join(map(toml, unused[:5])) + ", …" * (len(unused) > 5)
        notes.append(
            f"{data.name}: {len(unused):,} column{'s' * (len(unused) > 1)} that the model does not use: "
            f"{some}"
        )
    return notes


def _promised(interval: float, model: Predictor, study: Study, chosen: Selection) -> str:
    """What an interval is worth."""
    assert model.residuals is not None
    half = ", ".join(f"{each:.4g}" for each in model.half_width(interval))
    said = (
        f"interval {interval:g}: ± {half}, from {len(model.residuals.size):,} validation rows, for new rows "
        "like these; the choice was made on them, so it may cover slightly less"
    )
    if chosen.delivers_refit:
        said += "; they judged the model before it was trained on them as well"
    if study.data.time:
        said += f"; rows later in {study.data.time} may have drifted, which it does not cover"
    return said


def _named(study: Study) -> set[str]:
    """Columns that the study names and the model does not look at."""
    data = study.data
    return {*data.drop, *data.target_names, *filter(None, (data.group, data.time, data.weight))}


def _unused(rows: Any, model: Predictor, known: set[str]) -> list[str]:
    """Other columns of a table than those of the model and the known ones."""
    if not model.preprocessor.columns:
        return []
    names = (str(name) for name in rows.columns) if hasattr(rows, "columns") else ()
    return [name for name in names if name not in known | {one.name for one in model.preprocessor.columns}]


def _with_columns(table: pd.DataFrame, data: Path, keep: Sequence[str]) -> pd.DataFrame:
    """The predictions behind columns of the file, whose cells stay as they are. Raises InputError."""
    if not keep:
        return table
    import pandas as pd

    rows = read_file(data).rows
    if not isinstance(rows, pa.Table):
        raise InputError(f"--keep = {toml(keep[0])}: {data.name} has no columns, it is an archive of arrays")
    for name in keep:
        if name not in rows.column_names:
            close = nearest(name, rows.column_names)
            raise InputError(
                f"--keep = {toml(name)}: {data.name} has no such column; "
                + (f"did you mean {toml(close)}?" if close else f"it has {', '.join(rows.column_names[:10])}")
            )
        if name in table.columns:
            raise InputError(
                f"--keep = {toml(name)}: the predictions have a column of this name; rename that of the file"
            )
    kept = rows.select(list(dict.fromkeys(keep))).to_pandas(types_mapper=pd.ArrowDtype)
    if STEP_COLUMNS[0] in table.columns:  # of sequences, a row for every step
        kept = kept.iloc[table[STEP_COLUMNS[0]].to_numpy()]
    both: pd.DataFrame = pd.concat([kept.reset_index(drop=True), table.reset_index(drop=True)], axis=1)
    return both


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    """The same table without text that a spreadsheet would run; numbers stay as they are."""
    plain = table.rename(columns=_quoted)
    for place in range(plain.shape[1]):
        if plain.dtypes.iloc[place].kind not in "iufb":
            plain.isetitem(place, plain.iloc[:, place].map(_quoted).array)
    return plain


def _formulas(table: pd.DataFrame) -> list[str]:
    """Labels and names of columns that a spreadsheet would take for formulas."""
    texts = {str(name) for name in table.columns}
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if column.dtype.kind not in "iufb":
            texts |= {value for value in column.unique() if isinstance(value, str)}
    return sorted(text for text in texts if _quoted(text) != text)


def _quoted(value: Any) -> Any:
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _seen(study: Study, locations: Locations, data: Path, choice: str, tell: Callable[[str], None]) -> int:
    """How many sealed test rows the file holds, targets among them; noted before predictions are written."""
    try:
        known = sealed_among(read_file(data, study.data.encoding), study.data)
    except DataError as error:
        tell(f"whether {data.name} holds sealed test rows cannot be seen: {error}")
        return 0
    if known is None:
        return 0
    from workbench.storage import ledger

    ledger.by_hand(
        results.ledger_of(locations),
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
    check_place(output, where)
    if output.exists() and data.exists() and output.samefile(data):
        raise InputError(f"{where}: is the file of the rows itself; name another")
