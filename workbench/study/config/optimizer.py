"""`[optimizer] name` and the arguments that go with it: which words there are, which keys each one takes.

The common seven are known without loading optax. For any other word optax is asked, and the numbers and truth
values that its function takes are keys of `[optimizer]`, fixed or axes. A key that none of the study's
optimizers takes is left in the table, where it is refused as any unknown key is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core import vocabulary
from workbench.core.types import Axis, Choice, Value
from workbench.study.config.kinds import Flag, Number, choices

#: The optimizer of a file that names none.
DEFAULT = "adam"
#: Settings of the common seven by which name other optimizers have arguments of their own.
SHARED = ("momentum", "beta2")

Setting = Value | Axis


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


@dataclass(frozen=True)
class Argument:
    """A number or truth value that an optimizer takes, or an axis over such."""

    kind: Literal["truth", "whole", "real", "any"] = "any"

    def read(self, value: Any) -> Setting:
        """The value, or the axis. Raises ValueError."""
        parts = list(value.get("choices", value.values())) if isinstance(value, dict) else [value]
        if self.kind == "truth" or (self.kind == "any" and parts and isinstance(parts[0], bool)):
            if isinstance(value, dict) and "choices" in value:
                return Choice(tuple(choices(value, Flag().read)))
            return Flag().read(value)
        whole = all(isinstance(part, int) for part in parts)
        return Number(integer=self.kind == "whole" or (self.kind == "any" and whole)).read(value)

    @property
    def expected(self) -> str:
        """What it may be, in words."""
        number = "a whole number" if self.kind == "whole" else "a number"
        return "true or false" if self.kind == "truth" else number


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


def argument_kind(optimizers: Collection[str], key: str) -> Argument | None:
    """How the value of a key is read; None: none of the optimizers takes it."""
    if not optimizers:
        return None
    from workbench.nn import transformations

    taking = [name for name in optimizers if name in Optimizers() and transformations.taken(name, [key])]
    own = [transformations.arguments(name) for name in taking]
    return Argument(*[known[key].kind for known in own if key in known][:1]) if taking else None


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
        others = [key for key in others if argument_kind(optimizers, key)]
        others += [key for key in shared if argument_kind(takers(optimizers), key)]
    rest = {key: value for key, value in table.items() if key not in others}
    return {**document, "optimizer": rest}, {key: table[key] for key in others}
