"""What came out of a study, for Python: what `--json` prints, and what lies beside it in the home."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.core.errors import StudyError
from workbench.core.records import Outcome, TestScore, TrialRecord, decode_trial
from workbench.core.types import Value
from workbench.storage import journal, outcomes

if TYPE_CHECKING:
    import pandas as pd

    from workbench.evaluation.predictor import Predictor

#: The pictures that a notebook shows; the report has them all.
_SHOWN = ("search_history", "learning_curves")


class Best(NamedTuple):
    """The configuration that was chosen; of a search that was stopped, the best so far.

    Args:
        trial: Its number; 0 is the default configuration.
        metric: By which it was chosen.
        validation: Its score: the mean over seeds where finalists were trained again.
        params: The values of the axes.
    """

    trial: int
    metric: str
    validation: float
    params: Mapping[str, Value]


class Result(dict[str, Any]):
    """What `workbench run --json` prints, as a dictionary, and as attributes what else there is.

        result = wb.run(study)
        result["best"]["params"] == result.best.params

    In a notebook it shows the answer, the history of the search and the learning curves.

    Args:
        document: What `--json` prints.
        folder: Where the records of the study are.
    """

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        super().__init__(document)
        self._folder = folder

    @property
    def best(self) -> Best:
        """The choice. Raises StudyError if no trial was complete."""
        best = self["best"]
        if best is None:
            raise StudyError(f"study {self['study']}: no trial is complete, and nothing can be chosen")
        return Best(**{**best, "validation": _number(best["validation"])})

    @property
    def test(self) -> TestScore | None:
        """The score on the test rows with its interval; None while they are sealed."""
        test = self["test"]
        if test is None:
            return None
        return TestScore(**{name: _number(value) for name, value in test.items()})

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each finished trial, with the columns of Optuna's `trials_dataframe` and some more.

        number, value (the validation score), state, reason, epochs, best_epoch, seconds, `params_NAME` for
        every axis, and `validation_NAME` for every metric of `[select] also`.
        """
        import pandas as pd

        kept = ("number", "value", "state", "reason", "epochs", "best_epoch", "seconds")
        axes = dict.fromkeys(name for trial in self._trials for name in trial.params)
        also = dict.fromkeys(name for trial in self._trials for name in trial.also)
        rows = [
            {name: getattr(trial, name) for name in kept}
            | {f"params_{name}": trial.params.get(name) for name in axes}
            | {f"validation_{name}": trial.also.get(name) for name in also}
            for trial in self._trials
        ]
        beside = [*(f"params_{name}" for name in axes), *(f"validation_{name}" for name in also)]
        return pd.DataFrame(rows, columns=[*kept, *beside])

    @property
    def curves(self) -> pd.DataFrame:
        """A row for each epoch of each finished trial: trial, epoch, train_loss, validation_loss and score.

        The score, `validation_score`, is that of the study's metric, in the units of the data.
        """
        import pandas as pd

        parts = [
            pd.DataFrame(
                {"trial": trial.number, "epoch": range(1, trial.epochs + 1), **trial.curves._asdict()}
            )
            for trial in self._trials
        ]
        columns = ["trial", "epoch", "train_loss", "validation_loss", "validation_score"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    @property
    def model(self) -> Predictor:
        """The delivered model: `predict` and `predict_proba` take raw rows.

        Raises StudyError if nothing was chosen yet.
        """
        from workbench.evaluation.saved_model import load

        if self["status"] == "interrupted":
            raise StudyError(f"study {self['study']}: the search was stopped before its choice; run it again")
        return load(self._folder / "model")

    @property
    def report(self) -> Path:
        """The page that says everything. Raises StudyError if the study was stopped before."""
        if self["report"] is None:
            raise StudyError(f"study {self['study']}: the search was stopped before its report; run it again")
        return Path(self["report"])

    @property
    def figures(self) -> dict[str, Path]:
        """The pictures of the report by name, such as `search_history`."""
        return {path.stem: path for path in sorted((self._folder / "figures").glob("*.png"))}

    @property
    def _trials(self) -> list[TrialRecord]:
        records = journal.read(self._folder / "journal")
        trials = [decode_trial(record) for record in records if record["kind"] == "trial"]
        if not trials and (outcome := outcomes.recorded(self._folder, self["study"])):
            trials = list(outcome.trials)  # the journal was removed
        return sorted(trials, key=lambda trial: trial.number)

    @property
    def _outcome(self) -> Outcome | None:
        """The record, with the test score that this result has."""
        if self["status"] == "interrupted":
            return None
        outcome = outcomes.recorded(self._folder, self["study"])
        return outcome and replace(outcome, test=self.test)

    def _told(self) -> tuple[list[str], list[tuple[str, str, str]]]:
        """Sentences, and what was compared with what."""
        from workbench.evaluation.report import sentences

        outcome = self._outcome
        if outcome is None:
            best, done = self["best"], self["trials"]["total"]
            so_far = f"; best so far {best['validation']:.4g}, trial {best['trial']}" if best else ""
            return [f"Stopped after {done} trials{so_far}. Run the study again to go on."], []
        said = [sentences.rival(outcome), sentences.answer(outcome), sentences.warning(outcome)]
        return [sentence for sentence in said if sentence], sentences.comparison(outcome)

    def __repr__(self) -> str:
        told, compared = self._told()
        lines = [
            ": ".join(filter(None, (name, f"{value}   {remark}".strip()))) for name, value, remark in compared
        ]
        return "\n".join([f"{self['study']} · {self['status']}", *told, *(f"  {line}" for line in lines)])

    def _repr_html_(self) -> str:
        from workbench.evaluation.plots import data_uri

        told, compared = self._told()
        pictures = {
            name: data_uri(self.figures[name].read_bytes())
            for name in _SHOWN
            if self["report"] is not None and name in self.figures
        }
        page: str = _TEMPLATES.get_template("result.html").render(
            result=self, told=told, compared=compared, pictures=pictures
        )
        return page


def _number(value: Any) -> Any:
    """What JSON cannot say is None there."""
    return math.nan if value is None else value


_TEMPLATES = Environment(
    loader=PackageLoader("workbench.study"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
)
