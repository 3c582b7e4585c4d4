"""The commands, one function each: options in, exit status out. The work itself is done in `workflow`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.cli import present
from workbench.cli.streams import Output
from workbench.core.errors import DataError, InputError
from workbench.core.locations import Locations, resolve
from workbench.study.config import Study, read_study
from workbench.study.locating import home_of, study_file
from workbench.study.progress import watching


def run(options: argparse.Namespace, out: Output) -> int:
    """Search, choose, retrain over seeds, open the test set once, report."""
    study, locations = _both(options)
    from workbench.study import workflow

    with _named(study), watching() as watch:
        result = workflow.run(
            study,
            locations,
            search_only=options.search_only,
            watch=watch,
            cluster=options.cluster,
            **_verdict(options),
        )
    return _finish(result, out, study, locations)


def confirm(options: argparse.Namespace, out: Output) -> int:
    """Open the test set of a finished search."""
    study, locations = _both(options)
    from workbench.study import workflow

    with _named(study), watching() as watch:
        result = workflow.confirm(study, locations, watch, cluster=options.cluster, **_verdict(options))
    return _finish(result, out, study, locations)


def check(options: argparse.Namespace, out: Output) -> int:
    """Validate and plan; train nothing."""
    study, locations = _both(options)
    from workbench.study import workflow

    with _named(study):
        result = workflow.check(study, locations)
    if not out.json:
        present.check(result, study)
    out.result(result)
    return 0


def scheduler(options: argparse.Namespace, out: Output) -> int:
    """Where leaders and workers meet, until a signal."""
    from workbench.study import cluster

    port = _whole("--port", options.port or "8786", 0, 65535, "0 for any that is free")
    cluster.scheduler(options.host, port, options.interface, options.scheduler_file, _say)
    out.result({"status": "ended"})
    return 0


def worker(options: argparse.Namespace, out: Output) -> int:
    """Train for whoever leads a study, until the scheduler ends."""
    from workbench.study import cluster

    address = options.scheduler_file or options.address or os.environ.get(cluster.VARIABLE, "")
    device = (
        None if options.device is None else _whole("--device", options.device, 0, 1023, "of an accelerator")
    )
    cluster.worker(address, device, resolve(options.home), _say)
    out.result({"status": "ended"})
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def keys(options: argparse.Namespace, out: Output) -> int:
    """Every key of a study file: what it may hold, its default, what it means."""
    from workbench.study.config import keys

    result = {"keys": keys.keys()}
    if not out.json:
        present.keys(result)
    out.result(result)
    return 0


def show(options: argparse.Namespace, out: Output) -> int:
    """Best trials, importances, curves, diagnosis; writes the report."""
    study, locations = _both(options)
    from workbench.study import workflow

    sizes = (
        0 if options.sizes is None else _whole("--sizes", options.sizes, 2, 12, "parts of the training rows")
    )
    result = workflow.show(study, locations, sizes)
    if not out.json:
        present.show(result, study, locations)
    out.result(result)
    return 0


def new(options: argparse.Namespace, out: Output) -> int:
    """Write a starter study for a data file of the user's own."""
    from workbench.study import scaffold

    output = None if options.output is None else Path(options.output)
    result = scaffold.new(Path(options.data), options.target, output)
    said = f"{result['study']} is written; next: workbench check {shlex.quote(result['study'])}"
    return _done(out, result, said, result["assumptions"])


def predict(options: argparse.Namespace, out: Output) -> int:
    """Predictions of the chosen model for new rows."""
    if options.output is None:
        raise InputError("workbench predict: -o FILE is missing; name the file for the predictions")
    study, locations = _both(options)
    from workbench.study import predict as predictions

    data, output = Path(options.data), Path(options.output)
    result = predictions.predict(
        study, locations, data, output, lambda said: print(said, file=sys.stderr),
        keep=options.keep, interval=_share(options.interval), escape=options.escape,
    )  # fmt: skip
    remarks = list(result["notes"])
    if result["formulas"] and not options.escape:
        known = ", ".join(repr(text) for text in result["formulas"][:3])
        remarks.append(f"note: a spreadsheet takes {known} for formulas; --escape puts a ' before such text")
    said = f"{result['rows']:,} predictions of trial {result['trial']} in {result['output']}"
    return _done(out, result, said, remarks)


def export(options: argparse.Namespace, out: Output) -> int:
    """The chosen model as an ONNX file."""
    if options.output is None:
        raise InputError("workbench export: -o FILE is missing; name the file, such as model.onnx")
    study, locations = _both(options)
    from workbench.study import delivered

    result = delivered.export(study, locations, Path(options.output))
    return _done(out, result, f"the model of trial {result['trial']} in {result['output']}", result["notes"])


def _done(out: Output, result: dict[str, Any], said: str, remarks: Sequence[str]) -> int:
    """Tell what a command has written."""
    for remark in remarks:
        print(remark, file=sys.stderr)
    if not out.json:
        print(said)
    out.result(result)
    return 0


def reproduce(options: argparse.Namespace, out: Output) -> int:
    """Train a run or a trial again from its record; exit status 1 if the figures do not agree."""
    locations = _locations(options)
    if re.fullmatch(r"[cC]\d\d(_\w+)?", options.target):
        return _again(options.target, locations, out)
    from workbench.study import reproduce as reproduction

    with watching() as watch:
        result = reproduction.reproduce(options.target, locations, watch.note)
    if not out.json:
        present.reproduce(result)
    out.result(result)
    return 0 if result["agrees"] else 1


def experiment(options: argparse.Namespace, out: Output) -> int:
    """Put a claim to the test, or all of them; a verdict against a claim is no failure."""
    locations = _locations(options)
    from workbench.study import experiments

    wanted = experiments.names() if options.name == "all" else [experiments.find(options.name)]
    records = []
    with watching() as watch:
        for name in wanted:
            record, picture = experiments.run(name, locations, watch.note)
            records.append(record)
            if options.write:
                experiments.write(record, picture)
            if not out.json:
                present.experiment(record, locations)
    out.result({"experiments": records})
    return 0


def _again(name: str, locations: Locations, out: Output) -> int:
    """Run an experiment again and compare it with its record."""
    from workbench.study import experiments

    record = experiments.recorded(name)
    with watching() as watch:
        again, _ = experiments.run(record["name"], locations, watch.note, seeds=len(record["effects"]))
        compared = experiments.compared(record, again)
        if compared == "averages":
            watch.note("recorded on another processor or with other versions: the averages are compared")
        if compared == "verdict":
            watch.note("what is measured are times: the verdict is compared")
    differences = experiments.differences(record, again)
    if not out.json:
        present.experiment(again, locations)
        for difference in differences:
            print(difference)
        print(f"the figures {'do not ' if differences else ''}agree with the record")
    result = {"target": name, "agrees": not differences, "compared": compared, "differences": differences}
    out.result({**result, "again": again})
    return 1 if differences else 0


def ledger(options: argparse.Namespace, out: Output) -> int:
    """Every opening of every test set; with --verify, exit status 1 if the chain is broken."""
    locations = _locations(options)
    from workbench.study import workflow

    result = workflow.ledger(locations, options.verify)
    if not out.json:
        present.ledger(result)
    out.result(result)
    return 1 if options.verify and not result["verified"] else 0


def ui(options: argparse.Namespace, out: Output) -> int:
    """The MLflow UI over the same store, until Ctrl-C."""
    from workbench.cli import ui as viewer

    port = _whole("--port", options.port or "5000", 1, 65535, "of this machine")
    return viewer.serve(_locations(options), port, out)


def _study(options: argparse.Namespace) -> Study:
    study = read_study(study_file(options.study, resolve(options.home).home))
    if getattr(options, "trials", None) is None:
        return study
    trials = _whole("--trials", options.trials, 1, 1_000_000, "the study's total budget")
    return replace(study, search=replace(study.search, trials=trials))


def _verdict(options: argparse.Namespace) -> dict[str, bool]:
    return {"verdict_only": True} if options.verdict_only else {}


def _whole(option: str, text: str, low: int, high: int, meaning: str) -> int:
    """A whole number within limits. Raises InputError."""
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise InputError(f"{option} = {text}: must be a whole number from {low} to {high}, {meaning}")
    return int(text)


def _share(text: str | None) -> float | None:
    """A share between 0 and 1. Raises InputError."""
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 < share < 1.0:
        raise InputError(f"--interval = {text}: must be a share above 0 and below 1, such as 0.9")
    return share


def _locations(options: argparse.Namespace, study: Study | None = None) -> Locations:
    own = None if study is None or options.home else home_of(study)
    home = options.home if own is None else str(own)
    return resolve(home, getattr(options, "tracking_uri", None), getattr(options, "storage", None))


def _both(options: argparse.Namespace) -> tuple[Study, Locations]:
    study = _study(options)
    return study, _locations(options, study)


@contextmanager
def _named(study: Study) -> Iterator[None]:
    """A complaint about data begins with the study file that asks for them."""
    try:
        yield
    except DataError as error:
        if str(error).startswith(f"{study.path}: "):
            raise
        raise DataError(f"{study.path}: {error}") from error


def _finish(result: dict[str, Any], out: Output, study: Study, locations: Locations) -> int:
    if not out.json:
        present.run(result, study, locations)
    out.result(result)
    return 130 if result["status"] == "interrupted" else 0
