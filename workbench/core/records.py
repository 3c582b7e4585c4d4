"""What came out of trials, choices and openings; finished trials as JSON; and which trial is better.

JSON loses no bit: `encode` takes dataclasses and named tuples apart, `decode` has pydantic put them together
again, by their own annotations. Curves are text (see `types`), so NaN and infinity survive; other numbers
that JSON cannot say are written as the words that `float` reads back.

One rule says which trial is better, for the choice, the tables and the report. Many trials of a small
validation set share a score; among them the validation loss, which sees how sure a model is and not only
whether it is right, says more than the accident of which was tried first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np

from workbench.core.types import Array, Axis, Task, Value, encode_array

#: Reasons of trials that ended without a score, and how many did is told so.
NO_SCORE = {"diverged": "diverged", "undefined": "without a value of the metric"}


class Curves(NamedTuple):
    """What happened in each epoch that was trained, [E] float32. NaN and infinity are kept."""

    train_loss: Array
    validation_loss: Array
    validation_score: Array


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial: everything that is remembered of it."""

    number: int
    params: Mapping[str, Value]  # the axes only, in the order of the study
    state: Literal["running", "complete", "pruned", "failed"]  # only MLflow is shown one that is running
    reason: Literal[
        "in training", "finished", "early stopped", "reached", "pruned", "diverged", "undefined", "error"
    ]
    value: float | None  # validation score at `best_epoch`; None when there is none
    epochs: int  # epochs trained
    best_epoch: int  # 1-based; 0 when no epoch counted
    curves: Curves
    seed: int
    recipe: str  # short id of the compiled program it trained in
    seconds: float  # its share of the wall time
    rungs: Mapping[int, float] = field(default_factory=dict)  # epochs trained -> score reported
    finished: float = 0.0  # seconds since 1970 when it ended; 0.0 in records that do not say
    also: Mapping[str, float] = field(default_factory=dict)  # validation scores by further metrics


@dataclass(frozen=True)
class TestScore:
    """The score on rows that nothing had seen. Made by the seal and by nothing else."""

    __test__ = False  # the name is the field's word, not a pytest class

    metric: str
    value: float
    low: float  # NaN where no interval can be given honestly
    high: float
    rows: int
    look: int  # 1: the first look anybody took at these rows
    confidence: float = 0.95
    rows_opened_before: int = 0  # of these rows
    rows_reused: int = 0  # opened before, and now among those that were trained or selected on
    tried: Mapping[str, int] = field(default_factory=dict)  # on these rows so far: see `looks.tried`
    remarks: str = ""  # what is not known of earlier looks
    verdict: str = ""  # said in place of value and interval, which are NaN then
    note: str = ""  # why there is no interval, or what it does not cover


@dataclass(frozen=True)
class SeedRecord:
    """The chosen configuration, trained again from another seed."""

    seed: int
    validation: float
    best_epoch: int
    curves: Curves


@dataclass(frozen=True)
class Average:
    """The average of the networks that the choice was trained to from several seeds."""

    networks: int
    validation: float  # its score on the validation rows
    single: float  # what one of the networks scores there, on average
    delivered: bool  # whether it is the model that is delivered, or the first seed's network is


@dataclass(frozen=True)
class Calibration:
    """What validation rows said of the probabilities of the choice."""

    temperature: float  # by which logits are divided
    before: float  # log loss on the validation rows
    after: float


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again from fresh seeds, to be compared with the other finalists."""

    trial: int
    mean: float  # of its validation scores; NaN if it diverged from one of the seeds
    spread: float  # their sample standard deviation; NaN for one
    parameters: int


@dataclass(frozen=True)
class Declared:
    """What a study says beforehand of its answer, as the ledger has it."""

    question: str
    rule: str
    smallest_gain: float | None  # over the default configuration, in units of the metric
    fingerprint: str
    trials: int  # that were finished when this was declared: 0 is before the search
    opened: bool  # whether the test set had been opened by then


@dataclass(frozen=True)
class Selection:
    """The choice, frozen before the test set is opened."""

    trial: int
    params: Mapping[str, Value]  # the axes as sampled
    settings: Mapping[str, Value]  # every setting, resolved
    validation: float  # the score it was chosen by: of its trial, or the mean over seeds of a finalist
    default: float  # the same of the default configuration (trial 0)
    optimism: float  # how much better than the truth a score that was so chosen is expected to be
    considered: int  # finished trials compared
    seeds: tuple[SeedRecord, ...]  # the model that is delivered is the first one's, or the average
    parameters: int  # numbers in the model, of all networks that it averages
    gain: tuple[float, float] | None = None  # 95 % interval of the gain over the default, optimism taken off
    trivial_loss: float = float("nan")  # validation loss of the class frequencies, or of the mean
    refit: SeedRecord | None = None  # the training on validation rows as well
    rule: str = "single"  # by which it was chosen: see `finalists`
    finalists: tuple[Finalist, ...] = ()  # that it was chosen among, the best trial first; none by "single"
    #: Mean loss over all development rows of the refitted model, and of the judged one; None: not compared.
    refit_losses: tuple[float, float] | None = None
    average: Average | None = None  # over seeds; None: of one network, and by earlier versions
    calibration: Calibration | None = None  # of the probabilities; None: as they are
    inputs: tuple[int, ...] = ()  # *F of an example as the model sees it; records of earlier versions lack it

    @property
    def networks(self) -> int:
        """How many networks the delivered model averages, the members of an ensemble included."""
        seeds = self.average.networks if self.average is not None and self.average.delivered else 1
        return seeds * int(self.settings.get("ensemble", 1))

    @property
    def delivers_refit(self) -> bool:
        """Whether the model that is delivered was trained on validation rows as well."""
        return self.refit is not None and fits(self.refit_losses)


@dataclass(frozen=True)
class Opening:
    """The right to load a sealed test set: made by the ledger, after its row is committed."""

    study: str  # study id
    seal: str  # fingerprint of the sealed test rows
    choice: str  # fingerprint of the frozen choice
    look: int
    rows_opened_before: int = 0
    rows_reused: int = 0
    tried: Mapping[str, int] = field(default_factory=dict)
    remarks: str = ""


@dataclass(frozen=True)
class Outcome:
    """Everything a report says; what `show`, the tracker and the report draw from."""

    study: str
    question: str
    task: Task
    metric: str
    direction: Literal["maximize", "minimize"]
    axes: Mapping[str, Axis]
    trials: tuple[TrialRecord, ...]
    selection: Selection | None
    test: TestScore | None
    data: Mapping[str, str | int | float]  # name, rows, split sizes, fingerprint, target, …
    classes: tuple[str, ...]  # empty for regression
    outputs: Array  # [N, K] of the delivered model on test rows once opened, else on validation rows
    targets: Array  # [N] codes or [N, K]
    outputs_on: Literal["validation", "test"]
    seconds: Mapping[str, float]  # total, compile, train, sample, track, other
    programs: int
    mlflow: Mapping[str, str]  # tracking_uri, experiment, run_id
    environment: Mapping[str, str]  # python, jax, …, hardware, platform
    study_file: str  # its text
    stopped: str = ""  # why the search ended before its budget
    model: str = ""  # fingerprint of the delivered model, which `test` and `baselines` are of
    withheld: str = ""  # why the test set is open and this model has no figure all the same
    #: name -> value, gain, low, high, note, about: other models on the test rows, and how much better the
    #: choice is
    baselines: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)
    declared: tuple[Declared, ...] = ()  # oldest first; more than one if it was changed
    weights: Array | None = None  # [N] how much the rows of `outputs` count; None: all alike
    sizes: Mapping[int, int] = field(default_factory=dict)  # parameters of complete trials, by their numbers
    #: name -> value, low, high, note: further metrics of the choice on the test rows
    also: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of the K targets; of earlier versions none
    #: name -> metric, value, low, high, note: each of several targets by itself, on the rows of `outputs`
    by_target: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)


if TYPE_CHECKING:
    from pydantic import TypeAdapter


T = TypeVar("T")

#: What `encode_number` makes of numbers that JSON cannot say.
WORDS = ("inf", "-inf", "nan")
_AS_IT_IS = frozenset((str, int, bool, type(None)))
#: Parts of records that hold whatever a setting may be, so a word among them may be a number.
SETTINGS = ("params", "settings")


def encode(value: Any) -> Any:
    """A record as plain data: what JSON can say, and nothing else."""
    kind: Any = type(value)
    if kind in _AS_IT_IS:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if kind is np.ndarray:
        return encode_array(value)
    if names := _parts(kind):
        return {name: encode(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): one if type(one) in _AS_IT_IS else encode(one) for key, one in value.items()}
    if isinstance(value, np.generic):
        return encode(value.item())
    return [encode(one) for one in value]


def decode(kind: type[T], document: Mapping[str, Any]) -> T:
    """The inverse of `encode`; what an older record lacks has its default.

    Args:
        kind: the class of the record.
        document: what `encode` gave.

    Returns:
        The record.

    Raises:
        ValueError: if the document is none of this kind.
    """
    numbers = {
        key: {name: float(one) if one in WORDS else one for name, one in document[key].items()}
        for key in SETTINGS
        if key in document
    }
    which: Any = kind
    record: T = _adapter(which).validate_python({**document, **numbers})
    return record


def encode_trial(trial: TrialRecord) -> dict[str, Any]:
    """A finished trial as a record of kind `trial`."""
    return {"kind": "trial", **encode(trial)}


def decode_trial(record: Mapping[str, Any]) -> TrialRecord:
    """The inverse of `encode_trial`."""
    return decode(TrialRecord, record)


def encode_number(value: float | None) -> float | str | None:
    """JSON has no infinity and no NaN."""
    return value if value is None or math.isfinite(value) else str(value)


def decode_number(value: float | str | None) -> float | None:
    """The inverse of `encode_number`."""
    return None if value is None else float(value)


@cache
def _parts(kind: Any) -> tuple[str, ...]:
    """The fields of a record, none of what is no record."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(getattr(kind, "_fields", ()))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def ranked(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> list[TrialRecord]:
    """The complete trials, best first: by score, then by loss at the epoch that counts, then by number."""
    sign = -1.0 if direction == "maximize" else 1.0

    def key(trial: TrialRecord) -> tuple[float, float, int]:
        return sign * (trial.value or 0.0), counted_loss(trial), trial.number

    return sorted(
        (trial for trial in trials if trial.state == "complete" and trial.value is not None), key=key
    )


def configurations_of(
    trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]
) -> list[TrialRecord]:
    """The configurations of the complete trials, best first: of each the first trial, with the mean score.

    Another trial of the same settings is another seed of one configuration, and the best of several seeds is
    no better configuration than their mean says. Among equal means the lower loss, as in `ranked`.
    """
    sign = -1.0 if direction == "maximize" else 1.0
    alike: dict[tuple[tuple[str, Value], ...], list[TrialRecord]] = {}
    for trial in ranked(trials, direction):
        alike.setdefault(settings_of(trial), []).append(trial)

    def key(trials: list[TrialRecord]) -> tuple[float, float, int]:
        loss = math.fsum(map(counted_loss, trials)) / len(trials)
        return sign * _mean_score(trials), loss, min(trial.number for trial in trials)

    firsts = ((min(each, key=lambda trial: trial.number), each) for each in sorted(alike.values(), key=key))
    return [replace(first, value=_mean_score(each)) if len(each) > 1 else first for first, each in firsts]


def settings_of(trial: TrialRecord) -> tuple[tuple[str, Value], ...]:
    """What makes a trial's configuration, to be compared."""
    return tuple(sorted(trial.params.items()))


def _mean_score(trials: list[TrialRecord]) -> float:
    return math.fsum(trial.value or 0.0 for trial in trials) / len(trials)


def fits(losses: tuple[float, float] | None) -> bool:
    """Whether a refitted model fits its own rows no worse than the judged one does.

    losses  of both; None: they were not compared, as in earlier versions, which delivered it all the same
    """
    if losses is None:
        return True
    again, judged = losses
    return again <= judged or math.isnan(judged)


def counted_loss(trial: TrialRecord | SeedRecord) -> float:
    """Validation loss at the epoch that counts; infinite where it is not known."""
    losses = trial.curves.validation_loss
    loss = float(losses[trial.best_epoch - 1]) if 0 < trial.best_epoch <= len(losses) else math.nan
    return math.inf if math.isnan(loss) else loss
