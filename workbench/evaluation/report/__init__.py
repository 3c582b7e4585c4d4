"""The report of a study: one self-contained HTML page and a Markdown page beside the figures.

Both are made from an `Outcome` by the templates that lie in `templates/`. The page needs no script and
loads nothing: style and figures are inside. All that a user wrote is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.core.records import Outcome
from workbench.evaluation.columns import ColumnImportance
from workbench.evaluation.mistakes import Slice, Worst
from workbench.evaluation.plots import Figure, data_uri, save
from workbench.evaluation.report.captions import WIDE_FIGURES, caption
from workbench.evaluation.report.sentences import (
    answer,
    comparison,
    declared,
    delivered,
    each_target,
    finalists,
    gain,
    rival,
    seeds,
    short_answer,
    warning,
)
from workbench.evaluation.report.tables import (
    best_trials,
    checklist,
    column_rows,
    data_rows,
    environment_rows,
    metric_rows,
    settings_rows,
)

_FOLDER = "figures"
_PIXELS_PER_INCH = 96  # of CSS
_SECTIONS = {
    "curves": (
        "learning_curves",
        "size_curve",
        "cost_bowl",
        "filters",
        "network",
        "loss_surface",
        "activations",
    ),
    "search": ("search_history", "trial_curves", "parallel_coordinates", "slices", "importances"),
    "errors": (
        "decision_boundary",
        "fitted_curve",
        "confusion_matrix",
        "label_counts",
        "mistaken_images",
        "ranking",
        "calibration",
        "residuals",
    ),
}


class Report(NamedTuple):
    """Where the two pages lie."""

    html: Path
    markdown: Path


class _Picture(NamedTuple):
    name: str
    path: str  # beside the Markdown page
    source: str  # the picture itself, as a data address
    width: int
    height: int
    wide: bool
    text: str
    alt: str


def write(
    outcome: Outcome,
    figures: Mapping[str, Figure],
    importances: Mapping[str, float] | None,
    diagnosis: Sequence[tuple[str, str]] | None,
    folder: Path,
    *,
    command: str | None = None,
    gain_interval: tuple[float, float] | None = None,
    worst: Sequence[Worst] = (),
    slices: Sequence[Slice] = (),
    columns: Sequence[ColumnImportance] = (),
) -> Report:
    """Write `report.html`, `report.md` and `figures/*.png` into `folder`, which is made.

    diagnosis      pairs of a finding and the advice that follows from it
    command        the exact command that ran the study; by default the one that runs the study's text
    worst, slices  where the model is most wrong: see `mistakes`
    columns        what the model leans on: see `evaluation.columns`
    gain_interval  95 % interval of the chosen configuration's gain over the default, better is positive
    """
    pictures = _pictures(outcome, figures, importances or {}, folder)
    command = command or f"workbench run {outcome.study}.toml"
    head, rows = best_trials(outcome)
    context: dict[str, Any] = {
        "answer": answer(outcome),
        "best_head": head,
        "best_rows": rows,
        "checklist": checklist(outcome, command),
        "columns": column_rows(columns),
        "command": command,
        "comparison": comparison(outcome),
        "data": data_rows(outcome),
        "declared": declared(outcome),
        "diagnosis": diagnosis or (),
        "each_target": each_target(outcome),
        "environment": environment_rows(outcome),
        "finalists": finalists(outcome),
        "gain": gain(outcome, gain_interval),
        "large": short_answer(outcome),
        "metrics": metric_rows(outcome),
        "outcome": outcome,
        "pictures": pictures,
        "rival": rival(outcome),
        "seeds": seeds(outcome),
        "members": outcome.selection.networks if outcome.selection else 1,
        "delivered": delivered(outcome),
        "settings": settings_rows(outcome),
        "slices": slices,
        "warning": warning(outcome),
        "overlap": outcome.data.get("overlap"),
        "worst": worst,
    }
    report = Report(folder / "report.html", folder / "report.md")
    templates = _templates()
    report.html.write_text(templates.get_template("report.html").render(context), encoding="utf-8")
    markdown = templates.get_template("report.md").render(context)
    report.markdown.write_text(re.sub(r"\n{3,}", "\n\n", markdown), encoding="utf-8")
    return report


def _pictures(
    outcome: Outcome, figures: Mapping[str, Figure], importances: Mapping[str, float], folder: Path
) -> dict[str, list[_Picture]]:
    """The saved figures by section; those of no section come last, as a user's own."""
    paths = save(figures, folder / _FOLDER)
    known = {name for names in _SECTIONS.values() for name in names}
    sections = {**_SECTIONS, "more": tuple(name for name in figures if name not in known)}
    made = {}
    for name, figure in figures.items():
        width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
        source, words = data_uri(paths[name].read_bytes()), caption(name, outcome, importances)
        wide = name in WIDE_FIGURES
        made[name] = _Picture(name, f"{_FOLDER}/{name}.png", source, width, height, wide, *words)
    return {section: [made[name] for name in names if name in made] for section, names in sections.items()}


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("workbench.evaluation.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    environment.filters["fenced"] = _fenced
    environment.filters["unbroken"] = lambda text: str(text).replace(" %", "\u00a0%")
    return environment


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#~$&])", r"\\\1", " ".join(str(text).split()))


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
