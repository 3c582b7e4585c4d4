"""What a study file says of its sampler: a word, or a table of a word and arguments that Optuna takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import optuna

from workbench.core.formatting import nearest, toml
from workbench.core.vocabulary import SAMPLERS

#: What a study file says of its sampler: a word, or a table of `name` and arguments.
Sampler = str | Mapping[str, Any]
#: How the values of an argument are annotated in Optuna, and what a study file may hold for each.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text in quotes"),
    "dict[str, Any]": ((dict,), "a table of numbers"),
}
#: The words, in a sentence.
_LISTED = f"{', '.join(map(toml, [*SAMPLERS][:-1]))} or {toml([*SAMPLERS][-1])}"


def named(sampler: Sampler) -> tuple[str, dict[str, Any]]:
    """The word of a sampler, and the arguments that a study gives it."""
    if isinstance(sampler, str):
        return sampler, {}
    return str(sampler["name"]), {key: value for key, value in sampler.items() if key != "name"}


def read(value: Any) -> Sampler:
    """A sampler as a study file holds it: `"tpe"`, or `{ name = "cmaes", sigma0 = 0.2 }`.

    Raises ValueError with the second half of a sentence if it is not known, or does not take an argument.
    """
    table = value if isinstance(value, Mapping) else {"name": value}
    if "choices" in table or "low" in table:
        raise ValueError(f"cannot be searched; it must be {_LISTED}, so write one")
    if "name" not in table:
        raise ValueError('has no name; write { name = "tpe" } with its arguments')
    name = str(table["name"]).replace(" ", "_")
    if name not in SAMPLERS:
        said = f"has the name {toml(table['name'])}, which " if isinstance(value, Mapping) else ""
        close = nearest(name, SAMPLERS) if isinstance(table["name"], str) else None
        hint = f"is not known; did you mean {toml(close)}?" if close else f"must be {_LISTED}"
        raise ValueError(said + hint)
    arguments = {str(key): given for key, given in table.items() if key != "name"}
    for key, given in arguments.items():
        _check_argument(name, key, given)
    return {"name": name, **arguments} if arguments else name


def _check_argument(name: str, key: str, given: Any) -> None:
    """Raises ValueError if a sampler does not take an argument, or not this value."""
    owner = SAMPLERS[name]
    known = inspect.signature(getattr(optuna.samplers, owner)).parameters
    if key == "seed":
        raise ValueError("has the argument seed, but the study's own seed decides; drop it")
    if key not in known:
        takes = {other: kinds for other in known if other != "seed" and (kinds := _kinds(known[other]))}
        close = nearest(key, takes)
        hint = f"did you mean {close}?" if close else f"it takes {', '.join(takes) or 'none'}"
        raise ValueError(f"has the argument {key}, which Optuna's {owner} does not take; {hint}")
    kinds = _kinds(known[key])
    if not kinds:
        raise ValueError(f"has the argument {key}, which is an object of Python; leave it out")
    if not any(_is(given, kind) for kind in kinds):
        expected = " or ".join(KINDS[kind][1] for kind in kinds)
        raise ValueError(f"has the argument {key} = {toml(given)}, which must be {expected}")


def _kinds(parameter: inspect.Parameter) -> list[str]:
    """What a study file may hold for an argument; nothing if Optuna asks for an object."""
    return [kind for part in str(parameter.annotation).split("|") if (kind := part.strip()) in KINDS]


def _is(given: Any, kind: str) -> bool:
    return isinstance(given, KINDS[kind][0]) and isinstance(given, bool) == (kind == "bool")
