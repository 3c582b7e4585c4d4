"""A research workbench for neural networks: fused searches and honest test scores.

    import workbench as wb

    study = wb.create_study(frame, target="churned", trials=60, depth=wb.axis(1, 3))
    result = wb.run(study)
    result.model.predict(rows)

Names are loaded when first used, so that importing the package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.core.axes import axis, choices
    from workbench.core.errors import InputError, WorkbenchError
    from workbench.core.locations import resolve
    from workbench.evaluation.plots.lecture import lines, strip
    from workbench.evaluation.saved_model import load as load_model
    from workbench.evaluation.verdict import Verdict, verdict
    from workbench.nn.activations import register as register_activation
    from workbench.nn.losses import register as register_loss
    from workbench.nn.metrics import register as register_metric
    from workbench.nn.models import Model
    from workbench.nn.models import register as register_model
    from workbench.nn.transformations import register as register_optimizer
    from workbench.study.api import confirm, run, search
    from workbench.study.config import Study, read_study, vary
    from workbench.study.created import create_study
    from workbench.study.estimators import Classifier, Regressor
    from workbench.study.result import Result
    from workbench.study.runs import Runs, train, tuned
    from workbench.study.watch import Figures

__all__ = [
    "Classifier",
    "Figures",
    "InputError",
    "Model",
    "Regressor",
    "Result",
    "Runs",
    "Study",
    "Verdict",
    "WorkbenchError",
    "axis",
    "choices",
    "confirm",
    "create_study",
    "lines",
    "load_model",
    "read_study",
    "register_activation",
    "register_loss",
    "register_metric",
    "register_model",
    "register_optimizer",
    "resolve",
    "run",
    "search",
    "strip",
    "train",
    "tuned",
    "vary",
    "verdict",
]

_HOMES = {
    "Classifier": ("study.estimators", "Classifier"),
    "Figures": ("study.watch", "Figures"),
    "InputError": ("core.errors", "InputError"),
    "Model": ("nn.models", "Model"),
    "Regressor": ("study.estimators", "Regressor"),
    "Result": ("study.result", "Result"),
    "Runs": ("study.runs", "Runs"),
    "Study": ("study.config.study", "Study"),
    "Verdict": ("evaluation.verdict", "Verdict"),
    "WorkbenchError": ("core.errors", "WorkbenchError"),
    "axis": ("core.axes", "axis"),
    "choices": ("core.axes", "choices"),
    "confirm": ("study.api", "confirm"),
    "create_study": ("study.created", "create_study"),
    "lines": ("evaluation.plots.lecture", "lines"),
    "load_model": ("evaluation.saved_model", "load"),
    "read_study": ("study.config.reading", "read_study"),
    "register_activation": ("nn.activations", "register"),
    "register_loss": ("nn.losses", "register"),
    "register_metric": ("nn.metrics", "register"),
    "register_model": ("nn.models", "register"),
    "register_optimizer": ("nn.transformations", "register"),
    "resolve": ("core.locations", "resolve"),
    "run": ("study.api", "run"),
    "search": ("study.api", "search"),
    "strip": ("evaluation.plots.lecture", "strip"),
    "train": ("study.runs", "train"),
    "tuned": ("study.runs", "tuned"),
    "vary": ("study.config.reading", "vary"),
    "verdict": ("evaluation.verdict", "verdict"),
}


def __getattr__(name: str) -> Any:
    """The public name, from the module where it lives (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
