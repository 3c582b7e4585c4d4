"""`[optimizer] name` and the arguments that go with it: which words there are, which keys each one takes.

The common seven are known without loading optax. For any other word optax is asked, and the numbers and truth
values that its function takes are keys of `[optimizer]`, fixed or axes. A key that none of the study's
optimizers takes is left in the table, where it is refused as any unknown key is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from workbench.core import vocabulary
from workbench.study.config.kinds import Chosen, Real, Searched

#: The optimizer of a file that names none.
DEFAULT = "adam"
#: Settings of the common seven by which name other optimizers have arguments of their own.
SHARED = ("momentum", "beta2")

Truth = Chosen[bool]
Whole = Searched[int]
Number = Searched[Real]
_HINTS: Mapping[str, Any] = {"truth": Truth, "whole": Whole, "real": Number}


class Optimizers(Collection[str]):
    """Every optimizer. Only a word that is none of the common seven, or a list of all, loads optax."""

    def __contains__(self, word: object) -> bool:
        return word in vocabulary.OPTIMIZERS or word in vocabulary.FACTORIES or word in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> tuple[str, ...]:
        from workbench.nn import transformations

        return transformations.names()


def named(setting: Any) -> tuple[str, ...]:
    """The optimizers that a setting names, whether as a file holds it or as it was read."""
    listed = (
        setting.get("choices") if isinstance(setting, Mapping) else getattr(setting, "choices", [setting])
    )
    return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list | tuple) else ()


def of_file(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The optimizers that a study file names."""
    table = document.get("optimizer", {})
    return named(table.get("name", DEFAULT)) if isinstance(table, Mapping) else ()


def takers(optimizers: Iterable[str]) -> tuple[str, ...]:
    """Those whose arguments may have the names in SHARED: the common seven have settings of that name."""
    return tuple(name for name in optimizers if not vocabulary.is_common(name))


def arguments_of(optimizers: Iterable[str]) -> tuple[str, ...]:
    """The keys that these optimizers take beside those of the table."""
    from workbench.nn import transformations

    known = [name for name in optimizers if name in Optimizers()]
    return tuple(dict.fromkeys(key for name in known for key in transformations.arguments(name)))


def takes(optimizers: Collection[str], key: str) -> bool:
    """Whether one of the optimizers has an argument of this name."""
    if not optimizers:
        return False
    from workbench.nn import transformations

    return any(name in Optimizers() and transformations.taken(name, [key]) for name in optimizers)


def hint_of(optimizers: Collection[str], key: str, value: Any) -> Any:
    """The kind of an argument of the optimizers; where optax leaves it open, that of the value."""
    from workbench.nn import transformations

    own = [transformations.arguments(name) for name in optimizers if name in Optimizers()]
    kind = next((known[key].kind for known in own if key in known), "any")
    if kind == "any":
        parts = list(value.get("choices", value.values())) if isinstance(value, dict) else [value]
        whole = all(isinstance(part, int) for part in parts)
        kind = "truth" if parts and isinstance(parts[0], bool) else "whole" if whole else "real"
    return _HINTS[kind]


def without_arguments(
    document: Mapping[str, Any], keys: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A study file without its optimizers' arguments, and these as they are written.

    keys  of the table `[optimizer]`. With an optimizer that is not known nobody can say which other keys it
          takes: all of them are left out, and its name is what is refused.
    """
    table, optimizers = document.get("optimizer"), of_file(document)
    if not isinstance(table, Mapping):
        return dict(document), {}
    others = [key for key in table if key not in keys]
    shared = [key for key in SHARED if key in table and takers(optimizers)]
    if not others and not shared:
        return dict(document), {}
    if all(name in Optimizers() for name in optimizers):
        others = [key for key in others if takes(optimizers, key)]
        others += [key for key in shared if takes(takers(optimizers), key)]
    rest = {key: value for key, value in table.items() if key not in others}
    return {**document, "optimizer": rest}, {key: table[key] for key in others}
