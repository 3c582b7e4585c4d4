"""Every complaint of pydantic about a study file as one sentence.

studies/x.toml: [optimizer] learning_rte is not a key; did you mean learning_rate?
studies/x.toml: [model] depth = 0 must be a whole number from 1 to 64
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.formatting import nearest, toml
from workbench.study.config.optimizer import arguments_of
from workbench.study.config.schema import SETTINGS, StudyFile, keys_of

#: What people call a key elsewhere.
_ALIASES = {
    "b1": "momentum",
    "b2": "beta2",
    "batch": "batch_size",
    "beta1": "momentum",
    "hidden": "width",
    "hidden_layers": "depth",
    "layers": "depth",
    "lr": "learning_rate",
    "max_epochs": "epochs",
    "n_trials": "trials",
    "optimiser": "optimizer",
    "path": "source",
    "regularisation": "regularization",
    "units": "width",
    "wd": "weight_decay",
}
_EXAMPLES = {
    "name": 'name = "my-study" at the top',
    "data": 'a section [data] with source = "digits" or the path of a file',
    "source": 'source = "digits" or the path of a file',
    "train": "split = { train = 0.6, validation = 0.2, test = 0.2 }",
    "validation": "split = { train = 0.6, validation = 0.2, test = 0.2 }",
    "patience": "early_stopping = { patience = 10 }",
}


def sentence(file: str, errors: Sequence[Mapping[str, Any]], optimizers: Sequence[str] = ()) -> str:
    """The first of pydantic's `errors` worth mending, unknown keys before all others, as a sentence.

    optimizers  that the file names, whose arguments are keys as well
    """
    error = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    path = tuple(str(step) for step in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return f"{file}: {_unknown(path, optimizers)}"
        case "missing":
            return f"{file}: {label(path)} is missing; write {_EXAMPLES[path[-1]]}"
        case "value_error":
            return f"{file}: {label(path)} = {_short(error['input'])} {error['ctx']['error']}"
        case _:  # a table was expected
            keys = keys_of(path)
            example = f"begin it with a line [{path[0]}]" if len(path) == 1 else _EXAMPLES.get(keys[0], "")
            return f"{file}: {label(path)} = {_short(error['input'])} must be a table; write {example}"


def label(path: Sequence[str]) -> str:
    """`[optimizer] learning_rate` for ("optimizer", "learning_rate"); `[optimizer]` and `seed` alone."""
    if len(path) == 1:
        return f"[{path[0]}]" if keys_of(tuple(path)) else path[0]
    return f"[{path[0]}] {'.'.join(path[1:])}"


def _unknown(path: tuple[str, ...], optimizers: Sequence[str]) -> str:
    key, table = path[-1], path[:-1]
    own = arguments_of(optimizers) if table == ("optimizer",) else ()
    known = (*keys_of(table), *own)
    what = label(path) if table else key
    wanted = "b1" if key == "beta1" and "b1" in own else _ALIASES.get(key, key)
    if own and (close := nearest(key, known, cutoff=0.5)) in own:  # b1 and b2 are no more alike than that
        wanted = str(close)
    if wanted in known:
        return f"{what} is not a key; did you mean {wanted}?"
    home = _home(wanted)
    if home is not None:
        return f"{what} is not a key {'here' if table else 'outside a section'}; {home} is its place"
    close = nearest(key, known)
    if close is None:
        listed = ", ".join(known)
        place = f"[{'.'.join(table)}] takes" if table else "a study has"
        return f"{what} is not a key; {place} {listed}"
    if table:
        return f"{what} is not a key; did you mean {close}?"
    return f"{what} is not a key or section; did you mean {label((close,))}?"


def _home(key: str) -> str | None:
    """Where a key of this very name stands."""
    if key in SETTINGS:
        return label(SETTINGS[key].path)
    sections = [section for section in StudyFile.model_fields if key in keys_of((section,))]
    if key in StudyFile.model_fields:
        return f"the section [{key}]" if keys_of((key,)) else "the top of the file"
    return f"[{sections[0]}]" if len(sections) == 1 else None


def _short(value: Any) -> str:
    text = toml(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
