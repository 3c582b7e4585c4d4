"""Results for people: a panel and a few tables on standard output.

Each function draws the object that `--json` prints; what such an object lacks is left out.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workbench.cli.streams import until_closed
from workbench.core.addresses import is_server, page, redact
from workbench.core.formatting import attempts, beaten, duration, opened_before
from workbench.core.locations import Locations
from workbench.study.config import Study, notes

_PARTS = ("compile", "train", "sample", "track", "other")
#: Targets whose own scores are shown.
_MOST_TARGETS = 12
_BEFORE = ("rows_opened_before", "rows_reused")

Result = Mapping[str, Any]


def run(result: Result, study: Study, locations: Locations) -> None:
    """What came out of a run: the panel that it ends with."""
    with printing() as console:
        console.print(_summary(result, study, locations))


def show(result: Result, study: Study, locations: Locations) -> None:
    """The panel, the best trials, which settings mattered, and the diagnosis."""
    with printing() as console:
        console.print(_summary(result, study, locations))
        top = result.get("top", [])
        if top:
            table = new_table("best trials", "trial", "validation", "by epoch", "epochs", "settings")
            for column in table.columns[:-1]:
                column.no_wrap = True
            for trial in top:
                curve = spark([math.nan if score is None else score for score in trial.get("curve", ())], 12)
                epochs, settings = str(trial["epochs"]), _settings(trial["params"])
                table.add_row(str(trial["trial"]), figure(trial["validation"]), curve, epochs, settings)
            console.print(table)
        importances: Mapping[str, float] = result.get("importances", {})
        if importances:
            table = new_table("what mattered", "setting", "share", "")
            for name, share in sorted(importances.items(), key=lambda item: -item[1]):
                table.add_row(name, f"{share:.2f}", Text("█" * round(30 * share), style="cyan"))
            console.print(table)
        if result.get("sizes"):
            table = new_table("would more rows help?", "training rows", "train", "validation")
            for size in result["sizes"]:
                table.add_row(*map(figure, (size["rows"], size["train"][0], size["validation"][0])))
            console.print(table)
        bullets(console, "diagnosis", result.get("diagnosis", ()))
        bullets(console, "notes", result.get("notes", ()))


def check(result: Result, study: Study) -> None:
    """The plan: data, split, axes, programs, cost, and what was found to be doubtful."""
    with printing() as console:
        plan = new_grid()
        for key, value in result.get("data", {}).items():
            plan.add_row(str(key), figure(value))
        plan.add_row(
            "split", ", ".join(f"{name} {rows:,}" for name, rows in result.get("splits", {}).items())
        )
        if encoded := result.get("encoded"):
            least, most = encoded["features"][0], encoded["features"][-1]
            span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            size = f"{encoded['bytes'] / 1e6:,.0f} MB of rows in all"
            plan.add_row("inputs", f"{encoded['plain']:,} features, encoded as {span}; {size}")
        plan.add_row(
            "search", f"{study.search.trials} trials, {study.search.sampler_name} and {study.search.pruner}"
        )
        if parallel := result.get("parallel"):
            plan.add_row("at a time", f"{parallel['trials']} trials on {parallel['cores']} cores")
            if parallel["advice"]:
                plan.add_row("", parallel["advice"])
        axes = result.get("axes", [])
        if "programs" in result:
            plan.add_row("programs", f"{result['programs']} to compile{_ladder(result, axes)}")
        cost, costs = result.get("cost") or {}, result.get("costs")
        if "seconds" in cost:
            rest = ", ".join(f"{key} {duration(value)}" for key, value in cost.items() if key != "seconds")
            plan.add_row("cost", f"about {duration(cost['seconds'])}" + (f" ({rest})" if rest else ""))
        if costs:
            rate = f"{costs['rate'] / 1e9:.0f} GFLOP/s on each of {costs['devices']} devices"
            plan.add_row("reckoned with", f"{duration(costs['compile'])} to compile a program, {rate}")
        console.print(framed(plan, f"{result.get('study', study.id)} · {result.get('task', 'checked')}"))
        if axes:
            table = new_table("axes", "setting", "values", "other programs")
            for axis in axes:
                table.add_row(axis["name"], axis["values"], "yes" if axis["recompiles"] else "–")
            console.print(table)
        bullets(console, "findings", result.get("findings", ()))
        bullets(console, "notes", result.get("notes", notes(study)))


#: What `keys` says of axes.
_AXIS = (
    'An axis is { low, high, log, step } or { choices = [...] }. With if = { family = "cnn" } or '
    "if = { depth = [2, 3] } beside them it takes part in trials in which the other keys have these values, "
    "and is at its default in all others."
)


def keys(result: Result) -> None:
    """The keys of a study file, a table for each of its sections."""
    sections = dict.fromkeys(key["section"] for key in result["keys"])
    with printing() as console:
        for section in sections:
            title = f"[{section}]" if section else "at the top"
            table = new_table(title, "key", "holds", "default", "meaning")
            table.columns[0].no_wrap = True
            for key in result["keys"]:
                if key["section"] == section:
                    holds = key["holds"] + (", or an axis" if key["axis"] else "")
                    default = key["default"] or ("required" if key["required"] else "–")
                    table.add_row(key["key"], holds, default, key["meaning"])
            console.print(table)
        console.print(_AXIS)


def _ladder(result: Result, axes: Sequence[Mapping[str, Any]]) -> str:
    """The rooms for hidden units, where widths are searched."""
    rooms = result.get("rooms", [])
    searched = any(axis["name"] == "width" for axis in axes)
    return f", with room for {', '.join(map(str, rooms))} units" if rooms and searched else ""


def experiment(record: Result, locations: Locations) -> None:
    """The verdict of an experiment."""
    colors = {"supported": "bold green", "not supported": "bold red"}
    with printing() as console:
        grid = new_grid()
        grid.add_row("verdict", Text(record["conclusion"], style=colors.get(record["conclusion"], "bold")))
        seeds = f"{len(record['effects'])} seeds"
        grid.add_row("effect", f"{figure(record['effect'])}   95 % interval {interval(record)}, {seeds}")
        grid.add_row("", f"{record['unit']}; more than {figure(record['beyond'])} is asked for")
        for fact, value in record["facts"].items():
            grid.add_row(fact.replace("_", " "), figure(value))
        grid.add_row("claim", record["claim"])
        grid.add_row("seconds", f"{record['seconds']:.1f}")
        grid.add_row("figure", str(locations.home / "experiments" / f"{record['name']}.png"))
        console.print(framed(grid, record["title"]))


def reproduce(result: Result) -> None:
    """The figures of the record and of the training again, and whether they agree."""
    with printing() as console:
        grid = new_grid()
        what = "choice" if result["trial"] is None else f"trial {result['trial']}"
        grid.add_row("trained again", f"{what} of {result['study']}")
        scores = f"{figure(result['again'])}, recorded {figure(result['recorded'])}"
        grid.add_row(f"{result['metric']} after the last epoch", scores)
        for name, apart in result["largest"].items():
            grid.add_row(f"largest difference, {name.replace('_', ' ')}", f"{apart:.3g}")
        verdict = (
            Text("the figures agree", style="bold green")
            if result["agrees"]
            else Text("the figures do not agree", style="bold red")
        )
        grid.add_row("", Text.assemble(verdict, f" within {result['tolerance']:g}"))
        console.print(framed(grid, f"reproduce {result['target']}"))
        bullets(console, "not as it was", result["warnings"])


def ledger(result: Result) -> None:
    """Every opening of every test set, oldest first."""
    with printing() as console:
        openings = result.get("openings", [])
        if openings:
            columns = ("#", "when", "study", "test rows", "look", "score", "interval")
            table = new_table("openings of test sets", *columns)
            for row in openings:
                table.add_row(
                    str(row.get("number", "")),
                    str(row.get("time", ""))[:19].replace("T", " "),
                    str(row.get("study", "")),
                    figure(row.get("test_rows")),
                    "by hand" if row.get("by_hand") else str(row.get("look", "")),
                    f"{row.get('metric') or ''} {figure(row.get('value'))}".strip(),
                    interval(row),
                )
            console.print(table)
        else:
            console.print("no test set has been opened")
        if result.get("verified") is not None:
            whole = Text("the chain is whole", style="green")
            broken = Text(f"the chain is broken: {result.get('problem', '')}", style="bold red")
            console.print(whole if result["verified"] else broken)


def _summary(result: Result, study: Study, locations: Locations) -> Panel:
    grid = new_grid()
    best, test, trials = result.get("best"), result.get("test"), result.get("trials", {})
    command = f"{shlex.quote(str(study.path))}{_home(locations)}"
    if test and test.get("verdict"):
        grid.add_row(f"test {test['metric']}", Text(test["verdict"], style="bold"))
        grid.add_row("", f"{test['rows']:,} rows, look {test['look']}: the score stays under seal")
    elif test:
        score = Text.assemble((figure(test["value"]), "bold green"), f"   {stated(test)}")
        grid.add_row(f"test {test['metric']}", score)
        if told := beaten(result.get("baselines", {}).get("boosted", {}), test["value"], figure):
            grid.add_row("", Text(told, style="bold yellow"))
        look = "first look" if test["look"] == 1 else f"look {test['look']}, so a wider interval"
        grid.add_row("", f"{test['rows']:,} rows, {look}")
        if result.get("weighted"):
            grid.add_row("weighted by", str(result["weighted"]))
        for name, figures in (result.get("also") or {}).items():
            if (also := figures["test"]) is not None:
                grid.add_row(f"test {name}", f"{figure(also['value'])}   {stated(also)}")
        for name, figures in result.get("baselines", {}).items():
            gain = f"{figure(figures['gain'])}   {stated(figures)}"
            of_it = f"{name} has {figure(figures['value'])}"
            if figures["value"] is None and figures.get("note"):
                gain, of_it = figure(None), str(figures["note"])
            grid.add_row(f"gain over {name}", f"{gain}; {of_it}")
    each = list((result.get("targets") or {}).items())
    for name, one in each[:_MOST_TARGETS]:
        said = f"{figure(one['value'])}   {stated(one)}"
        grid.add_row(f"{one['metric']} of {name}", said if test else f"{said}; {one['on']} rows")
    if more := len(each[_MOST_TARGETS:]):
        grid.add_row("", f"and {more} more targets, each in the report and by --json")
    if test:
        for told in opened_before(test["rows"], *(test.get(key, 0) for key in _BEFORE)):
            grid.add_row("", told)
        if test.get("remarks"):
            grid.add_row("", test["remarks"])
        if test.get("tried"):
            grid.add_row("tried on them", attempts(test["tried"]))
    elif result.get("note"):
        grid.add_row("test", f"none for this model: {result['note']}")
    elif result["status"] == "searched":
        grid.add_row("test", f"still sealed; open it with: workbench confirm {command}")
    if best:
        default = figure(result.get("default", {}).get("validation"))
        how = result.get("choice") or {}
        finalists = how.get("finalists", ())
        over = f", mean over {how['seeds']} seeds" if finalists and how["seeds"] > 1 else ""
        among = f", one of {len(finalists)} finalists" if len(finalists) > 1 else ""
        grid.add_row(
            f"validation {best['metric']}",
            f"{figure(best['validation'])}   trial {best['trial']}{over}{among}",
        )
        for name, figures in (result.get("also") or {}).items():
            grid.add_row(
                f"validation {name}", f"{figure(figures['validation'])}   trial {best['trial']} in the search"
            )
        grid.add_row("default", f"{default}   the file's default configuration{over}")
        if not result.get("under_way"):
            grid.add_row("optimism", f"{figure(result.get('optimism'))}   what choosing adds by luck")
        if how.get("default_kept"):
            noise = "" if how["rule"] == "best" else " beyond noise"
            grid.add_row("", f"the default configuration is kept: no finalist beats it{noise}")
        grid.add_row("best so far" if result.get("under_way") else "chosen", _settings(best["params"]))
        if made := result.get("encoded"):
            as_what = f"numbers {made['numbers']}, at most {made['bins']} bins each"
            grid.add_row("inputs", f"{made['inputs']:,} of {made['columns']:,} columns: {as_what}")
    if result.get("declared"):
        grid.add_row("smallest gain", _smallest_gain(result["declared"]))
    if result.get("average"):
        grid.add_row("delivered", _averaged(result["average"]))
    if found := result.get("calibration"):
        losses = f"log loss on validation rows {figure(found['before'])} to {figure(found['after'])}"
        grid.add_row("calibrated", f"temperature {figure(found['temperature'])}: {losses}")
    if result.get("refit"):
        grid.add_row("refitted", _refitted(result["refit"]))
    if now := result.get("under_way"):
        grid.add_row("so far", f"{trials['total']} of {now['budget']} trials; {_training(now)}")
    ended = (f"{trials.get(state, 0)} {state}" for state in ("complete", "pruned", "failed"))
    grid.add_row("trials", f"{trials.get('total', 0)}: {', '.join(ended)}")
    if without := result.get("without_score"):
        grid.add_row("", f"no score: {', '.join(f'{n} {why}' for why, n in without.items())}")
    if result.get("stopped"):
        grid.add_row("", f"ended before the budget: {result['stopped']}")
    seconds = result.get("seconds", {})
    parts = ", ".join(f"{part} {seconds[part]:.1f}" for part in _PARTS if seconds.get(part) is not None)
    if seconds or not result.get("under_way"):  # they are known when a run ends
        grid.add_row("seconds", f"{seconds.get('total', 0):.1f}: {parts}")
        grid.add_row("programs", f"{result.get('programs', 0)} compiled")
    if result.get("report"):
        grid.add_row("report", str(result["report"]))
    grid.add_row("MLflow", _pages(result, locations))
    if result["status"] == "interrupted":
        grid.add_row("interrupted", f"go on with: workbench run {command}")
    return framed(grid, f"{result['study']} · {result['status']}")


def _pages(result: Mapping[str, Any], locations: Locations) -> str:
    """Where MLflow shows the study and its trials; or the command that does."""
    if not is_server(locations.tracking_uri):
        return f"workbench ui{_home(locations)}"
    server = (os.environ.get("WORKBENCH_UI") or redact(locations.tracking_uri)).rstrip("/")
    experiment, run = (result.get("mlflow", {}).get(name) for name in ("experiment_id", "run_id"))
    if not run:  # it has not answered yet
        return server
    pages = (f"#/experiments/{experiment}/runs/{run}", page(experiment, result["study"]))
    return "\n".join(f"{server}/{each}" for each in pages)


def _training(now: Mapping[str, Any]) -> str:
    """What has begun and not ended, with the scores that are known of it."""
    scores = [f"trial {number} has {figure(score)}" for number, score in now["scores"].items()]
    return f"{now['training']} in training" + (f" ({', '.join(scores)})" if scores else "")


def _averaged(average: Mapping[str, Any]) -> str:
    """One network or the average of several, and why."""
    scores = f"validation {figure(average['validation'])}, one of them {figure(average['single'])}"
    if average["delivered"]:
        return f"the average of {average['networks']} networks, one a seed: {scores}"
    return f"the first seed's network: the average of {average['networks']} is worse ({scores})"


def _refitted(refit: Mapping[str, Any]) -> str:
    """On what, and what came of it."""
    said = "on {rows:,} training and validation rows, {epochs} epochs".format(**refit)
    if refit.get("delivered", True):
        return said
    fits = f"fits them worse (loss {figure(refit['loss'])}, the judged model {figure(refit['judged_loss'])})"
    return f"{said}; {fits}, so the judged model is delivered"


def _smallest_gain(declared: Mapping[str, Any]) -> str:
    """What would count, since when it is said, and what came out."""
    said = "before the first trial" if not declared["trials"] else f"after {declared['trials']} trials"
    said = "after the test set was opened" if declared["opened"] else said
    changed = ", and changed" if declared["earlier"] else ""
    wanted = declared["smallest_gain"]
    what = (
        "none is asked for any more" if wanted is None else f"{figure(wanted)} over the default would count"
    )
    verdict = f": {declared['reached']}" if declared["reached"] else ""
    return f"{what}, declared {said}{changed}{verdict}"


def _settings(params: Mapping[str, Any]) -> str:
    """Such as `depth 2, learning_rate 0.003`."""
    return ", ".join(f"{name} {figure(value)}" for name, value in params.items())


def _home(locations: Locations) -> str:
    from workbench.core.locations import resolve

    return "" if locations.home == resolve().home else f" --home {shlex.quote(str(locations.home))}"


_WIDTH_WITHOUT_TERMINAL = 110


def stated(score: Mapping[str, Any]) -> str:
    """Such as `95 % interval 0.97 to 0.99`; or what must be said beside it, or why there is none."""
    note = score.get("note")
    if score.get("low") is None or score.get("high") is None:
        return f"no interval: {note}" if note else "no interval"
    return f"interval {interval(score)}: {note}" if note else f"95 % interval {interval(score)}"


def interval(score: Mapping[str, Any]) -> str:
    """Such as `0.97 to 0.99`."""
    low, high = score.get("low"), score.get("high")
    return "–" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def figure(value: Any) -> str:
    """Four digits for a number, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(figure, value)) if isinstance(value, (list, tuple)) else str(value)


def bullets(console: Console, title: str, lines: Iterable[Any]) -> None:
    """A titled list; nothing if it is empty."""
    shown: list[RenderableType] = []
    for line in lines:
        bullet = new_grid(width=1)
        bullet.add_row("·", str(line))
        shown.append(bullet)
    if shown:
        console.print(Text(title, style="bold"), Group(*shown))


def new_table(title: str, *columns: str) -> Table:
    """A table whose cells fold where there is no room."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def new_grid(width: int | None = None) -> Table:
    """Lines of a name and what belongs to it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, width=width)
    grid.add_column(overflow="fold")
    return grid


def framed(content: RenderableType, title: str) -> Panel:
    """A panel as wide as what is in it."""
    return Panel(content, title=Text(title, style="bold"), title_align="left", box=box.ROUNDED, expand=False)


@contextmanager
def printing() -> Iterator[Console]:
    """A console whose output is written at once, when all of it is there."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    with until_closed():
        with console.capture() as capture:
            yield console
        sys.stdout.write(capture.get())
        sys.stdout.flush()


_BARS = "▁▂▃▄▅▆▇█"
_GAP = "·"


def spark(curve: Iterable[float], width: int = 40) -> str:
    """Draw the curve with at most `width` bars, lowest to highest finite value.

    A longer curve is cut into `width` equal pieces and each shows the mean of its finite values. A piece
    without one (NaN, infinity) is a dot; a flat curve is drawn at half height.
    """
    values = list(map(float, curve))
    pieces = values if len(values) <= width else [_mean(piece) for piece in _cut(values, width)]
    finite = [value for value in pieces if math.isfinite(value)]
    if not finite:
        return _GAP * len(pieces)
    low, span = min(finite), max(finite) - min(finite)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return _GAP
        return _BARS[min(int((value - low) / span * len(_BARS)), len(_BARS) - 1) if span else 3]

    return "".join(map(bar, pieces))


def _cut(values: Sequence[float], count: int) -> list[Sequence[float]]:
    edges = [i * len(values) // count for i in range(count + 1)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def _mean(piece: Sequence[float]) -> float:
    finite = [value for value in piece if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
