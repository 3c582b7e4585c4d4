"""Every complaint of pydantic about a study file as one sentence: file, key, value, expectation, remedy.

studies/x.toml: [optimizer] learning_rte is not a key; did you mean learning_rate?
studies/x.toml: [model] depth = 0 must be a whole number from 1 to 64
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from workbench.core.formatting import nearest, toml
from workbench.study.config.kinds import IF, RANGE_KEYS, Kind
from workbench.study.config.optimizer import arguments_of
from workbench.study.config.schema import KEYS, SETTINGS, StudyFile, keys_of

#: A complaint: pydantic's dictionary of type, loc, input and ctx.
Error = Mapping[str, Any]

#: What people call a key elsewhere.
_ALIASES = {
    "b1": "momentum",
    "b2": "beta2",
    "batch": "batch_size",
    "beta1": "momentum",
    "hidden": "width",
    "hidden_layer_sizes": "widths",
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
_AXES = "an axis is { low, high } or { choices = [...] }"
_IF = 'must be a table such as { family = "cnn" } or { depth = [2, 3] }'


def sentence(
    errors: Sequence[Error], document: Mapping[str, Any], optimizers: Sequence[str] = (), note: str = ""
) -> str:
    """The first of pydantic's `errors` worth mending, unknown keys before all others, as a sentence.

    document    that pydantic was given
    optimizers  that the file names, whose arguments are keys as well
    note        said after the value
    """
    located = [(*_located(error["loc"]), error) for error in errors]
    path, rest, error = min(located, key=lambda one: one[2]["type"] != "extra_forbidden" or one[1] != ())
    if path in KEYS:
        value: Any = document
        for step in path:
            value = value[step] if isinstance(value, Mapping) and step in value else None
        if error["type"] == "missing" and not rest:
            return f"{label(path)} is missing; write {_EXAMPLES[path[-1]]}"
        mine = [(others, one) for where, others, one in located if where == path]
        return f"{label(path)} = {_short(value)}{note} {complaint(KEYS[path].kind, value, mine)}"
    if error["type"] == "extra_forbidden":
        return _unknown(path, optimizers)
    if error["type"] == "missing":
        return f"{label(path)} is missing; write {_EXAMPLES[path[-1]]}"
    example = f"begin it with a line [{path[0]}]" if len(path) == 1 else _EXAMPLES.get(keys_of(path)[0], "")
    return f"{label(path)} = {_short(error['input'])} must be a table; write {example}"


def complaint(kind: Kind, value: Any, errors: Sequence[tuple[Sequence[Any], Error]]) -> str:
    """The second half of a sentence: what is wrong with a value.

    errors  of pydantic about it, each with its place in the value
    """
    said = next((error["ctx"]["error"] for rest, error in errors if error["type"] == "value_error"), None)
    first = errors[0][0]
    if first[:1] == ("choices",):
        return str(said or _of_choices(kind, value, errors))
    if first[:1] == ("range",):
        return str(said or _of_range(kind, value, errors))
    if isinstance(value, dict) and not kind.axis and kind.closed:
        return f"cannot be searched; it must be {kind.expected}, so write one"
    return str(said or _of_value(kind, value, first[1:] if kind.axis else first))


def label(path: Sequence[str]) -> str:
    """`[optimizer] learning_rate` for ("optimizer", "learning_rate"); `[optimizer]` and `seed` alone."""
    if len(path) == 1:
        return f"[{path[0]}]" if keys_of((path[0],)) else path[0]
    return f"[{path[0]}] {'.'.join(path[1:])}"


def unlike(word: str, known: Collection[str], otherwise: str) -> str:
    """What to say to a word that is not known: the nearest one, or something else."""
    close = nearest(word, known)
    return f"did you mean {close}?" if close else otherwise


def _located(loc: Sequence[Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """The key or table that a complaint is about, and the place in its value."""
    for end in range(1, len(loc)):
        if tuple(loc[:end]) in KEYS:
            return tuple(loc[:end]), tuple(loc[end:])
    return tuple(map(str, loc)), ()


def _of_value(kind: Kind, value: Any, rest: Sequence[Any]) -> str:
    if kind.type is list:
        return _of_list(kind, value, rest)
    if isinstance(value, dict) and kind.axis:
        if kind.type is int:
            return "takes no range, as every value has a program of its own; write { choices = [16, 48] }"
        what, item = ("words", '"..."') if kind.word else ("truth values", "true")
        return f"is no axis of {what}; write {{ choices = [{item}, {item if kind.word else 'false'}] }}"
    if isinstance(value, list):
        if kind.axis:
            return f"is a plain list; write {{ choices = {toml(value)} }} to search over it"
        if kind.closed:
            return f"must be {kind.expected}, not a list"
    if isinstance(value, str):
        if kind.word:
            part = next((part for part in kind.word.parts(value) if part not in kind.word), value)
            close = nearest(part, (*kind.word.extra, *kind.word.known))
            return f"is not known; did you mean {toml(close)}?" if close else f"must be {kind.expected}"
        if kind.type in (int, float) and re.fullmatch(r"[+-]?[\d_.]+([eE][+-]?\d+)?", value):
            return f"is text; write the number without quotes, {kind.expected}"
    whole = kind.type is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    quotes = ", without quotes" if kind.type is bool else ""
    return f"must be {kind.expected}{quotes}" + (f"; write {int(value)}" if whole else "")


def _of_list(kind: Kind, value: Any, rest: Sequence[Any]) -> str:
    if kind.item.type is str:
        if isinstance(value, str):
            return f"must be a list of column names; write [{toml(value)}]"
        return 'must be a list of column names such as ["age", "income"]'
    if isinstance(value, dict):
        return "is no axis of lists; write { choices = [[...], [...]] }"
    if rest:
        item = value[rest[0]]
        return f"has {toml(item)}, which {_of_value(kind.item, item, ())}"
    return f"must be {kind.expected}, such as [10, 20]"


def _of_choices(kind: Kind, value: Mapping[str, Any], errors: Sequence[tuple[Sequence[Any], Error]]) -> str:
    for key in value:
        if key in RANGE_KEYS and key != IF:
            return f"has both choices and {key}; {_AXES}"
    rest, error = errors[0]
    if strange := _strange(value, ("choices", IF)):
        return strange
    if IF in rest:
        return f"has if = {toml(value[IF])}; if {_IF}"
    if error["type"] == "twice":
        return f"has the choice {toml(value['choices'][error['ctx']['index']])} twice; drop one"
    if len(rest) < 3:
        return "has no choices; list at least one"
    item = value["choices"][rest[2]]
    return f"has the choice {toml(item)}, which {_of_value(kind._replace(axis=False), item, rest[3:])}"


def _of_range(kind: Kind, value: Mapping[str, Any], errors: Sequence[tuple[Sequence[Any], Error]]) -> str:
    missing = [key for key in ("low", "high") if key not in value]
    if strange := _strange(value, RANGE_KEYS):
        return strange
    if missing:
        return f"lacks {' and '.join(missing)}; {_AXES}"
    part = errors[0][0][1]
    said, item = f"has {part} = {toml(value[part])}; {part}", value[part]
    if part == IF:
        return f"{said} {_IF}"
    if part == "log":
        return f"{said} must be true or false"
    if isinstance(item, str) or (isinstance(item, float) and math.isinf(item)):
        return f"{said} must be a finite number"
    return f"{said} {_of_value(kind._replace(axis=False), item, ())}"


def _strange(value: Mapping[str, Any], known: Collection[str]) -> str:
    """That an axis has a part which is not known; empty if it has none."""
    others = [key for key in value if key not in known]
    if not others:
        return ""
    hint = "did you mean if?" if others[0] == "when" else unlike(others[0], known, "drop it")
    return f"has the unknown part {others[0]}; {hint}"


def _unknown(path: Sequence[str], optimizers: Sequence[str]) -> str:
    key, table = path[-1], tuple(path[:-1])
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
        place = f"[{'.'.join(table)}] takes" if table else "a study has"
        return f"{what} is not a key; {place} {', '.join(known)}"
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
