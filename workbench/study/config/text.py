"""A study as the text of a study file, which a varied study is recorded as; and single settings of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from workbench.core.conditions import widened
from workbench.core.formatting import condition, toml
from workbench.core.types import Axis, Choice, DataSpec, Range, SearchSpec, Value
from workbench.study.config.errors import label
from workbench.study.config.schema import STOP_AT, DataTable, SelectTable, where

if TYPE_CHECKING:
    from workbench.study.config.study import Study


def dump(study: Study) -> str:
    """TOML that reads back as the same study. Settings at their defaults are left out."""
    said = [field.name for field in fields(DataSpec) if field.name in DataTable.model_fields]
    data = {key: getattr(study.data, key) for key in said if key != "split"}
    data = {key: value for key, value in data.items() if value != getattr(DataSpec, key, None)}
    tables: dict[str, dict[str, Any]] = {"data": {**data, "split": study.data.split._asdict()}}
    for key, value in study.settings.items():
        if value != where(key).default:
            *path, last = where(key).path
            table = tables
            for step in path:
                table = table.setdefault(step, {})
            table[last] = written(key, value)
    if study.search.stop_at is not None:
        tables.setdefault(STOP_AT[0], {})[STOP_AT[1]] = study.search.stop_at
    stopping = tables.get("regularization", {}).get("early_stopping")
    if stopping is not None:
        stopping.setdefault("patience", study.settings["patience"])
    always = ("trials", "sampler", "pruner", "seeds")
    search = {
        key: getattr(study.search, key)
        for key in (*always, "parallel", "stop", "timeout", "start", "start_from")
    }
    tables["search"] = {
        key: value for key, value in search.items() if key in always or value != getattr(SearchSpec, key)
    }
    for key in SelectTable.model_fields:
        if key not in study.settings and getattr(study, key) != SelectTable.model_fields[key].default:
            tables.setdefault("select", {})[key] = getattr(study, key)
    return rendered({"name": study.name, "question": study.question, "seed": study.seed, **tables})


def rendered(document: Mapping[str, Any]) -> str:
    """TOML of a study file's keys and tables."""
    lines = [f"{key} = {toml(value)}" for key, value in document.items() if not isinstance(value, Mapping)]
    for section, table in document.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{section}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def written(key: str, value: Any) -> Any:
    """A flat setting's value as a study file holds it: axes and lists as such, the whole batch as "all"."""
    kind = where(key).kind
    if isinstance(value, Range):
        step = {} if value.step is None else {"step": value.step}
        ends = {"low": value.low, "high": value.high} | ({"log": True} if value.log else {}) | step
        return ends | _condition(value)
    if isinstance(value, Choice):
        return {"choices": [written(key, item) for item in value.choices]} | _condition(value)
    if isinstance(value, Mapping):
        return {str(part): written(key, item) if part == "choices" else item for part, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [written(key, item) for item in value]
    if kind.type is list and isinstance(value, str):
        return [kind.item.type(number) for number in value.split()]
    names = {number: word for word, number in kind.words.items()}
    return names[value] if type(value) is int and value in names else value


def _condition(axis: Axis) -> dict[str, Any]:
    """`if` of an axis, its values as a study file holds them."""
    when = tuple((key, tuple(written(key, one) for one in wanted)) for key, wanted in axis.when)
    return condition(replace(axis, when=when))


def values(study: Study, key: str) -> tuple[Value, ...]:
    """What a setting may be, if that is not a range."""
    value = widened(study.settings[key])
    if isinstance(value, Choice):
        return value.choices
    return () if isinstance(value, Range) else (value,)


def numbers(study: Study, key: str) -> list[float]:
    """The numbers between which a setting lies."""
    value = widened(study.settings[key])
    return [value.low, value.high] if isinstance(value, Range) else [float(v) for v in values(study, key)]


def shown(study: Study, key: str) -> str:
    """`[model] family = "linear"`."""
    return f"{label(where(key).path)} = {toml(written(key, study.settings[key]))}"


def offence(study: Study, key: str, value: Value) -> str:
    """`[model] family = "linear"`, or the axis with the choice that offends."""
    if study.settings[key] == value:
        return shown(study, key)
    return f"{shown(study, key)} reaches {toml(written(key, value))}, which"
