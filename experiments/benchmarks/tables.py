"""`tables`: what comes of `workbench new` on ordinary tables, beside what scikit-learn's user has.

Every table is divided several times, a fifth of its rows for the test (official test rows stay what they
are). Ours is the study that `new` writes for the other rows, with so many trials and the test rows as its
official test file; nothing else of it is changed. Its rivals (see `table_peers`) are fitted on the very rows
that ours trains and chooses on. All of them are scored by scikit-learn's metrics on the same test rows:

    rank          by RMSE, or accuracy, of each table and division; ties share their ranks
    rank_loss     the same by RMSE or log loss
    win rate      of ours over a rival, a tie counted half; 95 % interval by resampling whole tables, since
                  divisions of one table share most of their rows
    gain          of ours over a rival on one table, mean over divisions, with Student's interval for
                  divisions that overlap (Nadeau and Bengio 2003, doi:10.1023/A:1024068626366)

What was done stays in tables.jsonl beside the results, one line for each table, division and contender, so
an interrupted run goes on. Ours is taken up again where `new` still writes the same study; remove the file
to have everything measured anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.benchmarks.common import home, machine, options, say, toml, workbench, write
from experiments.benchmarks.table_peers import PEERS, Rows
from experiments.benchmarks.table_sources import TABLES, Table, read, why_not
from workbench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["main"]

TEST_SHARE = 0.2
SPLIT = {"train": 0.75, "validation": 0.25}  # of the development rows: 60 and 20 % of all
#: What --quick measures.
QUICK = {"tables": "wine,diabetes,crabs", "splits": 1, "trials": 8}
RESAMPLED = 4000


class Scored(NamedTuple):
    """A contender on one division of one table."""

    table: str
    split: int
    contender: str
    score: float  # RMSE or accuracy
    loss: float  # RMSE or log loss
    seconds: float
    more: Mapping[str, Any]


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        tables=("", "names with commas between; all unless given"),
        splits=(5, "divisions of each table"),
        trials=(60, "trials of ours, and of tuned gradient boosting"),
        contenders=(",".join(["ours", *PEERS]), "who is measured"),
        quick=(False, f"{QUICK['tables']}, one division, {QUICK['trials']} trials"),
    )
    if chosen.quick:
        vars(chosen).update(QUICK)
    names = chosen.tables.split(",") if chosen.tables else list(TABLES)
    if unknown := sorted(set(names) - set(TABLES)):
        raise SystemExit(f"--tables {','.join(unknown)}: not among {', '.join(TABLES)}")
    before, skipped, found = machine(), {}, []
    log = Log(chosen.results / "tables.jsonl", chosen.trials)
    for name in names:
        if reason := why_not(TABLES[name]):
            skipped[name] = reason
            say(f"{name}: left out, {reason}")
            continue
        for split in range(chosen.splits):
            found += _measured(name, split, chosen.contenders.split(","), log)
    if not found:
        say("no table is left: nothing to do")
        return
    results = {"trials": chosen.trials, "splits": chosen.splits, "skipped": skipped, **summary(found)}
    _tell(results)
    write("tables", results, before, chosen.results)


# ── one division of one table ──


class Log:
    """What was measured before, and what is measured now."""

    def __init__(self, path: Path, trials: int) -> None:
        self._path, self._trials = path, trials
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known = {tuple(line["key"]): Scored(**line["scored"]) for line in map(json.loads, lines)}

    def once(self, key: Sequence[Any], measure: Callable[[], Scored]) -> Scored:
        """What `measure` gives, or gave in an earlier run."""
        whole = (*key, self._trials)
        if whole not in self._known:
            scored = measure()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": whole, "scored": scored._asdict()}) + "\n")
            self._known[whole] = scored
        return self._known[whole]


def _measured(name: str, split: int, contenders: Sequence[str], log: Log) -> Iterator[Scored]:
    table = TABLES[name]
    with home() as at:
        test, study = _divided(table, split, at)
        rows = _rows(table, at, study, split, log._trials)
        text = hashlib.sha256(study.read_bytes()).hexdigest()[:12]
        for contender in contenders:
            key = (name, split, contender, *([text] if contender == "ours" else []))

            def measure(contender: str = contender) -> Scored:
                fit = _ours(study, at, log._trials) if contender == "ours" else _peer(PEERS[contender], rows)
                predict, seconds, more = fit
                return Scored(
                    name, split, contender, *_scores(table, test, predict, rows), round(seconds, 2), more
                )

            scored = log.once(key, measure)
            say(
                f"  {name}/{split} {contender}: {scored.score:.4f}, {scored.loss:.4f}, {scored.seconds:.1f} s"
            )
            yield scored


def _divided(table: Table, split: int, at: Path) -> tuple[pd.DataFrame, Path]:
    """Test rows, and the study that `new` writes for the other rows, with the test rows in a file."""
    from sklearn.model_selection import train_test_split

    from workbench.study.scaffold import new

    rows, test = read(table)
    if test is None:
        stratify = rows[table.target] if table.classes else None
        rows, test = train_test_split(rows, test_size=TEST_SHARE, random_state=split, stratify=stratify)
    rows.to_csv(at / "table.csv", index=False)
    test.to_csv(at / "test.csv", index=False)
    path = Path(new(at / "table.csv", table.target)["study"])
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    tables["data"] |= {"test": "test.csv", "split": SPLIT, "split_seed": split}
    path.write_text(toml({**tables, "seed": split}), encoding="utf-8")
    return test, path


def _rows(table: Table, at: Path, study: Path, split: int, trials: int) -> Rows:
    """The rows that ours trains on and chooses by, as the file has them."""
    import pandas as pd

    from workbench import data
    from workbench.study.config import read_study

    frame = pd.read_csv(at / "table.csv")
    dataset, _ = data.load(read_study(study).data)
    if len(dataset.target) != len(frame):
        raise SystemExit(f"{study}: has {len(dataset.target)} rows, the file {len(frame)}")
    target = frame.pop(table.target).to_numpy()
    frame = frame.drop(columns=list(dataset.spec.drop))
    text = frame.select_dtypes(exclude="number").columns
    frame = frame.astype(dict.fromkeys(text, "category"))
    train, validation = (
        (frame.iloc[part].reset_index(drop=True), target[part])
        for part in (dataset.train, dataset.validation)
    )
    return Rows(train, validation, table.classes, split, trials)


#: Makes predictions of raw rows: numbers [N], or probabilities [N, C] of sorted classes.
Predict = Callable[["pd.DataFrame"], Array]


def _ours(study: Path, at: Path, trials: int) -> tuple[Predict, float, dict[str, Any]]:
    """The study by one command; what it delivers."""
    from workbench.evaluation.saved_model import load

    run = workbench(study, at / "home", "--trials", str(trials))
    model = load(at / "home" / "studies" / run.output["study"] / "model")

    def predict(rows: pd.DataFrame) -> Array:
        said = model.predict(rows)
        order = sorted(range(len(model.classes)), key=lambda k: _known(model.classes[k]))
        columns = [f"probability_{model.classes[k]}" for k in order]
        return np.asarray(said[columns] if model.classes else said["prediction"])

    kept = ("test", "best", "default", "optimism", "choice", "refit", "average", "programs", "trials")
    more = {name: run.output.get(name) for name in kept}
    more["gain over default"] = (run.output.get("baselines") or {}).get("default", {}).get("gain")
    return predict, run.wall, {**more, "processor": round(run.processor, 1)}


def _peer(fit: Callable[[Rows], Any], rows: Rows) -> tuple[Predict, float, dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    began = time.perf_counter()
    with threadpool_limits(limits=1):  # so that one thread waits for no other on a busy machine
        model = fit(rows)
    seconds = time.perf_counter() - began
    return model.predict_proba if rows.classes else model.predict, seconds, {}


def _scores(table: Table, test: pd.DataFrame, predict: Predict, rows: Rows) -> tuple[float, float]:
    """RMSE twice, or accuracy and log loss."""
    from sklearn.metrics import log_loss, root_mean_squared_error

    y, x = test[table.target].to_numpy(), test.drop(columns=table.target)
    kinds = rows.train[0].dtypes
    x = x[list(kinds.index)].astype(dict(kinds))
    said = np.asarray(predict(x))
    if not table.classes:
        error = float(root_mean_squared_error(y, said))
        return error, error
    classes = np.unique(rows.both[1])
    loss = log_loss(y, np.clip(said, 1e-15, 1.0), labels=list(classes))
    return float(np.mean(classes[said.argmax(axis=1)] == y)), float(loss)


def _known(label: Any) -> Any:
    """A label as the file's reader has it: whole numbers as such."""
    try:
        return int(label)
    except ValueError:
        return label


# ── what it comes to ──


def summary(found: Sequence[Scored]) -> dict[str, Any]:
    """Means, ranks, win rates and gains of what was measured."""
    contenders = list(dict.fromkeys(one.contender for one in found))
    tables = list(dict.fromkeys(one.table for one in found))
    cells = {(one.table, one.split, one.contender): one for one in found}
    splits = sorted({one.split for one in found})

    def better(table: str, field: str) -> Array:
        """[splits, contenders], greater is better."""
        sign = 1.0 if TABLES[table].classes and field == "score" else -1.0
        return np.array(
            [[sign * getattr(cells[table, split, who], field) for who in contenders] for split in splits]
        )

    scores, losses = ({table: better(table, field) for table in tables} for field in ("score", "loss"))
    rivals = [who for who in contenders if who != "ours"] if "ours" in contenders else []
    ours = {who: contenders.index(who) for who in ["ours", *rivals]} if rivals else {}
    return {
        "contenders": contenders,
        "tables": {
            table: {
                "score": "accuracy" if TABLES[table].classes else "rmse",
                **{
                    who: {
                        "mean": float(np.abs(scores[table][:, k]).mean()),
                        "loss": float(np.abs(losses[table][:, k]).mean()),
                        "rank": float(_ranks(scores[table])[:, k].mean()),
                        "seconds": float(np.mean([cells[table, s, who].seconds for s in splits])),
                    }
                    for k, who in enumerate(contenders)
                },
                "gain over": {
                    who: _gain(scores[table][:, ours["ours"]] - scores[table][:, ours[who]]) for who in rivals
                },
            }
            for table in tables
        },
        "rank": dict(zip(contenders, _mean_rank(scores.values()), strict=True)),
        "rank_loss": dict(zip(contenders, _mean_rank(losses.values()), strict=True)),
        "wins": {who: _wins(scores, ours["ours"], ours[who]) for who in rivals},
        "wins_loss": {who: _wins(losses, ours["ours"], ours[who]) for who in rivals},
        "below its own default": _below(found),
        "all": [one._asdict() for one in found],
    }


def _ranks(scores: Array) -> Array:
    from scipy.stats import rankdata

    return np.asarray(rankdata(-scores, axis=1))


def _mean_rank(scores: Any) -> list[float]:
    return [float(rank) for rank in np.mean([_ranks(each).mean(axis=0) for each in scores], axis=0)]


def _wins(scores: Mapping[str, Array], one: int, other: int) -> dict[str, float]:
    """Of `one` over `other`: the share, and its interval over tables."""
    apart = [each[:, one] - each[:, other] for each in scores.values()]
    shares = np.array([np.mean((each > 0) + 0.5 * (each == 0)) for each in apart])
    drawn = np.random.default_rng(0).integers(0, len(shares), (RESAMPLED, len(shares)))
    low, high = np.quantile(shares[drawn].mean(axis=1), [0.025, 0.975])
    tables = float(np.mean([each.mean() > 0 for each in apart]))
    return {"rate": float(shares.mean()), "low": float(low), "high": float(high), "tables": tables}


def _gain(apart: Array) -> dict[str, float | None]:
    """Mean and interval of a difference over divisions that share rows; no interval of a single one."""
    from scipy.stats import t

    mean, n = float(apart.mean()), len(apart)
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    error = float(np.sqrt(apart.var(ddof=1) * (1 / n + TEST_SHARE / (1 - TEST_SHARE))))
    reach = float(t.ppf(0.975, n - 1)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def _below(found: Sequence[Scored]) -> float | None:
    """The share of ours whose choice is worse on the test rows than the study's own default."""
    gains = [one.more.get("gain over default") for one in found if one.contender == "ours"]
    known = [0.0 if gain is None else gain for gain in gains]  # where the default is the choice there is none
    return float(np.mean([gain < 0 for gain in known])) if known else None


def _tell(results: Mapping[str, Any]) -> None:
    width, contenders = max(map(len, results["tables"])), results["contenders"]
    say(" " * width + "".join(f"{who:>15}" for who in contenders))
    for name, table in results["tables"].items():
        say(f"{name:{width}}" + "".join(f"{table[who]['mean']:15.5g}" for who in contenders))
    for what in ("rank", "rank_loss"):
        say(f"{what:{width}}" + "".join(f"{results[what][who]:15.2f}" for who in contenders))
    seconds = [np.mean([table[who]["seconds"] for table in results["tables"].values()]) for who in contenders]
    say(f"{'seconds':{width}}" + "".join(f"{each:15.1f}" for each in seconds))
    for who, won in results["wins"].items():
        say(
            f"ours over {who}: {won['rate']:.2f} of the divisions ({won['low']:.2f} to {won['high']:.2f}), "
            f"{won['tables']:.2f} of the tables"
        )


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
