"""The delivered model as one ONNX file, preparation included: raw columns in, predictions out.

    inputs   of a table one for each column, [N, 1]: numbers and truth values as double (blank: NaN), labels
             as text (blank: ""), moments as int64, microseconds since 1970 (blank: the least int64, as
             NumPy's NaT is); of arrays `x`, [N, *F] double
    outputs  `prediction`: the label, or the numbers [N, K] double in the units of the data; of classes also
             `probabilities`, [N, C] double; of several labels both are [N, K], `prediction` 0 or 1. Where
             every step of a sequence has its own, T follows N

The network is translated by jax2onnx. What comes before and behind it is written here, in double precision as
NumPy has it. How a file writes numbers and days stays with whoever reads the file. Operators are those of
opset 21: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import InputError
from workbench.core.files import replaced
from workbench.core.target_transform import deviates
from workbench.core.types import Array
from workbench.data.preprocessing import Preprocessor
from workbench.data.preprocessing.bins import Bins
from workbench.data.preprocessing.features import Levels, monomials
from workbench.data.preprocessing.scaling import EDGE, LARGEST, LARGEST_SINGLE, ROBUST_END, Scaling
from workbench.evaluation.predictor import Predictor

OPSET = 21
#: What a blank moment is.
NOT_A_TIME = np.iinfo(np.int64).min
#: Microseconds of an hour and of a day.
_HOUR, _DAY = 3_600_000_000, 86_400_000_000
#: The normal deviate of a share p to 1e-16: numerator and denominator of a fraction in 0.425² - (p - 0.5)²
#: within 0.425 of the middle, and of one in sqrt(-log p) - 1.6 outside (Wichura 1988, Algorithm AS 241).
_MIDDLE = (
    (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
     21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
     0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip


def export(model: Predictor, path: Path) -> None:
    """Write a loaded model as an ONNX file.

    Args:
        model: As `wb.load_model` gives it.
        path: The file; one that is there is replaced.

    Raises:
        InputError: if jax2onnx is not installed or cannot translate the network, or a column bears the name
            of an output.
    """
    try:
        import onnx
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError(
            f"{path}: an ONNX file needs the package {error.name}; pip install 'workbench[onnx]' brings it"
        ) from error
    names = [column.name for column in model.preprocessor.columns]
    if taken := sorted({"prediction", "probabilities"} & set(names)):
        raise InputError(
            f"{path}: the column {taken[0]} has the name of an output; rename it in the data and run the "
            "study again"
        )
    graph = _Graph(names)
    x = _of_table(graph, model.preprocessor) if names else _of_array(graph, model.preprocessor)
    try:
        net = to_onnx(
            _network(model),
            [("N", *model.recipe.inputs)],
            model_name=graph.prefix,
            opset=OPSET,
            input_names=[x],
            output_names=[graph.new()],
        )
    except Exception as error:  # whatever a translator meets that knows some operations and not all
        family, why = model.recipe.family, f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path}: jax2onnx cannot translate this {family} ({why}); "
            "the folder program beside the model holds it as StableHLO"
        ) from error
    _give(graph, model, graph.spliced(net.graph))
    written = graph.model(net, _described(model))
    onnx.checker.check_model(written)
    with replaced(path, durable=False) as file:
        file.write(written.SerializeToString())


def _network(model: Predictor) -> Any:
    """Features [N, *F] -> outputs [N, K], for any N."""
    import jax

    from workbench.nn.models import predict

    def of_row(row: jax.Array) -> jax.Array:
        return predict(model.recipe, model.hyper, model.params, row)

    # Of padding, jax2onnx 0.17 must know the number of rows; in a recurrence it takes rows for nets.
    recurs = model.recipe.family in ("rnn", "lstm", "gru")
    if model.recipe.family == "cnn" or (recurs and model.recipe.ensemble > 1):
        return lambda x: jax.lax.map(of_row, x)
    return jax.vmap(of_row)


def _described(model: Predictor) -> dict[str, Any]:
    return {
        "task": model.task,
        "family": model.recipe.family,
        "columns": [[column.name, column.kind] for column in model.preprocessor.columns],
        "classes": list(model.classes),
        "predictions": list(model.columns),
    }


class _Graph:
    """Nodes, constants, inputs and outputs, in the order in which they are made."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.prefix = "workbench"
        while any(name.startswith(self.prefix) for name in taken):
            self.prefix += "_"
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def new(self) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"{self.prefix}_{self._count}"

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """The name of an array; of text with dtype object."""
        from onnx import numpy_helper

        name = self.new()
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The name of what one operator makes of values."""
        from onnx import helper

        output = output or self.new()
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def cast(self, value: str, dtype: Any) -> str:
        from onnx import helper

        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def columns(self, value: str, places: Sequence[int] | int) -> str:
        """Some of the last axis; with a single place, without that axis."""
        return self.node("Gather", value, self.constant(places, np.int64), axis=-1)

    def joined(self, values: Sequence[str]) -> str:
        """Side by side along the last axis."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=-1)

    def clipped(self, value: str, low: float, high: float) -> str:
        return self.node("Clip", value, self.constant(low), self.constant(high))

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        self._inputs.append(_value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: Any, shape: Sequence[int | str]) -> None:
        self._outputs.append(_value(name, dtype, shape))
        self.node("Identity", value, output=name)

    def spliced(self, graph: Any) -> str:
        """The output of another graph, whose input is a value of this one."""
        self._nodes += graph.node
        self._constants += graph.initializer
        return str(graph.output[0].name)

    def model(self, like: Any, described: Any) -> Any:
        """The whole as a file, in the versions of another."""
        from onnx import helper

        graph = helper.make_graph(self._nodes, "workbench", self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph, opset_imports=like.opset_import, ir_version=like.ir_version, functions=like.functions
        )
        helper.set_model_props(model, {"workbench": json.dumps(described)})
        return model


def _value(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.STRING if dtype is str else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)


# ── before the network ──


def _of_table(graph: _Graph, preprocessor: Preprocessor) -> str:
    """Features [N, F] float32 of columns, as `Preprocessor.transform` makes them."""
    kinds = {"numeric": np.float64, "boolean": np.float64, "category": str, "date": np.int64}
    named: dict[str, list[str]] = {kind: [] for kind in kinds}
    for column in preprocessor.columns:
        named[column.kind].append(graph.input(column.name, kinds[column.kind], ["N", 1]))
    numbers = list(named["numeric"])
    for moments, parts in zip(named["date"], preprocessor.parts, strict=True):
        numbers += _parts_of(graph, moments, parts)
    found = _numbers(graph, preprocessor, graph.joined(numbers), len(named["numeric"])) if numbers else []
    for values, share in zip(named["boolean"], preprocessor.truth, strict=True):
        found.append(graph.node("Where", graph.node("IsNaN", values), graph.constant(share), values))
    for labels, levels in zip(named["category"], preprocessor.levels, strict=True):
        found += _one_hot(graph, labels, levels)
    return graph.cast(graph.joined(found), np.float32)


def _of_array(graph: _Graph, preprocessor: Preprocessor) -> str:
    """Features [N, *F] float32 of an array."""
    x = graph.input("x", np.float64, ["N", *preprocessor.shape])
    if len(preprocessor.shape) == 1:
        found = _numbers(graph, preprocessor, x, len(preprocessor.fill))
        return graph.cast(graph.joined(found), np.float32)
    values = _scaled(graph, preprocessor.scaling, _finite(graph, x, preprocessor.fill)[0])
    found = [graph.clipped(values, -LARGEST_SINGLE, LARGEST_SINGLE)]
    if len(preprocessor.shape) == 2:  # steps of a sequence, of which some may not be there
        blank = graph.cast(graph.node("IsNaN", x), np.float64)
        axis = graph.constant([-1], np.int64)
        there = graph.node("Sub", graph.constant(1.0), graph.node("ReduceMin", blank, axis, keepdims=1))
        found[0] = graph.node("Mul", found[0], there)
        found += [there] if preprocessor.padded else []
    return graph.cast(graph.joined(found), np.float32)


def _numbers(graph: _Graph, preprocessor: Preprocessor, x: str, n_numeric: int) -> list[str]:
    """Parts of features of numbers [N, n]: filled, multiplied out, scaled and encoded; and what was blank."""
    values, known = _finite(graph, x, preprocessor.fill)
    values = _multiplied(graph, preprocessor, values, n_numeric)
    values = graph.clipped(_scaled(graph, preprocessor.scaling, values), -LARGEST_SINGLE, LARGEST_SINGLE)
    found = [values if preprocessor.bins is None else _binned(graph, preprocessor.bins, values)]
    if preprocessor.blank.any():
        flagged = graph.columns(graph.node("Not", known), np.flatnonzero(preprocessor.blank).tolist())
        found.append(graph.cast(flagged, np.float64))
    return found


def _finite(graph: _Graph, x: str, fill: Array) -> tuple[str, str]:
    """Numbers with blanks filled, and which were there."""
    known = graph.node("Not", graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x)))
    return graph.clipped(graph.node("Where", known, x, graph.constant(fill)), -LARGEST, LARGEST), known


def _multiplied(graph: _Graph, preprocessor: Preprocessor, values: str, n: int) -> str:
    """The monomials of the first n numbers, degree by degree, then the others."""
    terms = monomials(n, preprocessor.degree, "rows")
    if len(terms) == n:
        return values
    first = graph.columns(values, list(range(n)))
    parts, lower = [first], terms[:n]
    for degree in range(2, preprocessor.degree + 1):
        these = [term for term in terms if len(term) == degree]
        before = graph.columns(parts[-1], [lower.index(term[:-1]) for term in these])
        last = graph.columns(first, [term[-1] for term in these])
        parts.append(graph.clipped(graph.node("Mul", before, last), -LARGEST, LARGEST))
        lower = these
    if others := len(preprocessor.fill) - n:
        parts.append(graph.columns(values, list(range(n, n + others))))
    return graph.joined(parts)


def _scaled(graph: _Graph, scaling: Scaling, values: str) -> str:
    if scaling.kind == "none":
        return values
    if scaling.kind == "quantile":
        places = range(scaling.quantiles.shape[1])
        found = [
            _deviates(graph, graph.columns(values, [place]), scaling.quantiles[:, place]) for place in places
        ]
        return graph.joined(found)
    values = graph.node("Sub", values, graph.constant(scaling.shift))
    values = graph.node("Mul", values, graph.constant(scaling.rate))
    if scaling.kind == "robust":
        values = graph.clipped(values, -LARGEST, LARGEST)
        ratio = graph.node("Div", values, graph.constant(ROBUST_END))
        square = graph.node("Add", graph.node("Mul", ratio, ratio), graph.constant(1.0))
        values = graph.node("Div", values, graph.node("Sqrt", square))
    return values


def _deviates(graph: _Graph, x: str, quantiles: Array) -> str:
    """The normal deviates of the shares below x, see `scaling`."""
    if quantiles[0] == quantiles[-1]:
        return graph.node("Mul", x, graph.constant(0.0))
    levels = np.linspace(0.0, 1.0, len(quantiles))
    below = _interpolated(graph, x, quantiles, levels)
    above = _interpolated(graph, graph.node("Neg", x), -quantiles[::-1], -levels[::-1])
    share = graph.node("Mul", graph.node("Sub", below, above), graph.constant(0.5))
    for reached, end in (("LessOrEqual", 0), ("GreaterOrEqual", -1)):
        at_end = graph.node(reached, x, graph.constant(quantiles[end]))
        share = graph.node("Where", at_end, graph.constant(levels[end]), share)
    share = graph.clipped(share, EDGE, 1.0 - EDGE)
    apart = graph.node("Sub", share, graph.constant(0.5))
    square = graph.node("Sub", graph.constant(0.425**2), graph.node("Mul", apart, apart))
    middle = graph.node("Mul", apart, _fraction(graph, square, _MIDDLE))
    least = graph.node("Min", share, graph.node("Sub", graph.constant(1.0), share))
    root = graph.node("Sqrt", graph.node("Neg", graph.node("Log", least)))
    tail = _fraction(graph, graph.node("Sub", root, graph.constant(1.6)), _TAIL)
    tail = graph.node("Mul", graph.node("Sign", apart), tail)
    is_tail = graph.node("Less", square, graph.constant(0.0))
    return graph.node("Where", is_tail, tail, middle)


def _fraction(graph: _Graph, x: str, coefficients: Sequence[Sequence[float]]) -> str:
    """Of two polynomials, their constants first."""

    def polynomial(constants: Sequence[float]) -> str:
        return reduce(
            lambda value, constant: graph.node("Add", graph.node("Mul", value, x), graph.constant(constant)),
            reversed(constants[:-1]),
            graph.constant(constants[-1]),
        )

    numerator, denominator = map(polynomial, coefficients)
    return graph.node("Div", numerator, denominator)


def _interpolated(graph: _Graph, x: str, at: Array, values: Array) -> str:
    """`numpy.interp` of any x: `values` [Q] at rising places `at` [Q], of which some may be equal."""
    wide = graph.node("Unsqueeze", x, graph.constant([-1], np.int64))
    passed = graph.cast(graph.node("GreaterOrEqual", wide, graph.constant(at)), np.int64)
    count = graph.node("ReduceSum", passed, graph.constant([-1], np.int64), keepdims=0)
    place = graph.node("Sub", count, graph.constant(1, np.int64))
    place = graph.node(
        "Clip", place, graph.constant(0, np.int64), graph.constant(max(0, len(at) - 2), np.int64)
    )
    width = np.diff(at)
    slope = np.divide(np.diff(values), width, out=np.zeros(len(width)), where=width > 0)
    from_left = graph.node("Sub", x, graph.node("Gather", graph.constant(at), place))
    rise = graph.node("Mul", from_left, graph.node("Gather", graph.constant(slope), place))
    between = graph.node("Add", graph.node("Gather", graph.constant(values), place), rise)
    for reached, end in (("LessOrEqual", 0), ("GreaterOrEqual", -1)):
        at_end = graph.node(reached, x, graph.constant(at[end]))
        between = graph.node("Where", at_end, graph.constant(values[end]), between)
    return between


def _binned(graph: _Graph, bins: Bins, values: str) -> str:
    """Numbers, then how far each has come through its bins."""
    lines = bins.lines
    if not len(lines.source):
        return values
    along = graph.node("Sub", graph.columns(values, lines.source.tolist()), graph.constant(lines.left))
    along = graph.clipped(graph.node("Mul", along, graph.constant(lines.rate)), 0.0, 1.0)
    return graph.joined([values, along])


def _one_hot(graph: _Graph, labels: str, levels: Levels) -> list[str]:
    """Features of labels [N, 1], see `features.one_hot`."""
    blank = graph.node("Equal", labels, graph.constant([""], object))
    found, is_known = [], blank
    if levels.names:
        same = graph.cast(graph.node("Equal", labels, graph.constant(levels.names, object)), np.float64)
        found.append(same)
        axis = graph.constant([-1], np.int64)
        known = graph.cast(graph.node("ReduceMax", same, axis, keepdims=1), np.bool_)
        is_known = graph.node("Or", known, blank)
    if levels.other:
        found.append(graph.cast(graph.node("Not", is_known), np.float64))
    if levels.blank:
        found.append(graph.cast(blank, np.float64))
    return found


def _parts_of(graph: _Graph, moments: str, parts: Sequence[str]) -> list[str]:
    """Parts of moments [N, 1] as double, NaN where one is blank.

    Months as in Hinnant, chrono-Compatible Low-Level Date Algorithms (2013), `civil_from_days`.
    """

    def whole(kind: str, left: str, right: int) -> str:
        return graph.node(kind, left, graph.constant(right, np.int64))

    in_day = whole("Mod", moments, _DAY)
    day = whole("Div", graph.node("Sub", moments, in_day), _DAY)

    def month() -> str:
        of_era = whole("Mod", whole("Add", day, 719_468), 146_097)  # days since 0000-03-01, of 400 years
        years = graph.node("Sub", of_era, whole("Div", of_era, 1_460))
        years = graph.node("Add", years, whole("Div", of_era, 36_524))
        years = whole("Div", graph.node("Sub", years, whole("Div", of_era, 146_096)), 365)
        before = graph.node("Add", whole("Mul", years, 365), whole("Div", years, 4))
        before = graph.node("Sub", before, whole("Div", years, 100))
        of_year = graph.node("Sub", of_era, before)
        since_march = whole("Div", whole("Add", whole("Mul", of_year, 5), 2), 153)
        return whole("Add", whole("Mod", whole("Add", since_march, 2), 12), 1)

    def value(part: str) -> str:
        if part == "days":
            return graph.node("Div", graph.cast(moments, np.float64), graph.constant(float(_DAY)))
        if part == "month":
            return graph.cast(month(), np.float64)
        if part == "weekday":
            return graph.cast(whole("Mod", whole("Add", day, 3), 7), np.float64)
        return graph.cast(whole("Div", in_day, _HOUR), np.float64)

    blank = whole("Equal", moments, NOT_A_TIME)
    return [graph.node("Where", blank, graph.constant(math.nan), value(part)) for part in parts]


# ── behind the network ──


def _give(graph: _Graph, model: Predictor, outputs: str) -> None:
    """The outputs of the file from those of the network, [N, K] or [N, T, K] float32."""
    rows: list[int | str] = ["N", model.preprocessor.shape[0]] if model.recipe.each else ["N"]
    if model.task == "regression":
        values = _in_units(graph, model, graph.cast(outputs, np.float64))
        graph.output("prediction", values, np.float64, [*rows, model.recipe.outputs])
        return
    logits = graph.node("Div", outputs, graph.constant(model.temperature, np.float32))
    least = math.log(model.threshold / (1.0 - model.threshold))
    if model.task == "multilabel":
        said = graph.cast(graph.node("Greater", logits, graph.constant(least, np.float32)), np.int64)
        each = graph.node("Sigmoid", graph.cast(logits, np.float64))
        graph.output("prediction", said, np.int64, [*rows, model.recipe.outputs])
        graph.output("probabilities", each, np.float64, [*rows, model.recipe.outputs])
        return
    if model.recipe.outputs == 1:
        zero = graph.node("Mul", logits, graph.constant(0.0, np.float32))
        logits = graph.joined([zero, logits])
    probabilities = graph.node("Softmax", graph.cast(logits, np.float64), axis=-1)
    if len(model.classes) == 2:
        apart = graph.node("Sub", graph.columns(logits, 1), graph.columns(logits, 0))
        code = graph.cast(graph.node("Greater", apart, graph.constant(least, np.float32)), np.int64)
    else:
        code = graph.node("ArgMax", probabilities, axis=-1, keepdims=0)
    numbered = all(isinstance(label, int) for label in model.classes)
    names = graph.constant(model.classes, np.int64 if numbered else object)
    graph.output("prediction", graph.node("Gather", names, code), np.int64 if numbered else str, rows)
    graph.output("probabilities", probabilities, np.float64, [*rows, len(model.classes)])


def _in_units(graph: _Graph, model: Predictor, outputs: str) -> str:
    """Numbers in the units of the data, see `target_transform.to_data`."""
    values = graph.node("Mul", outputs, graph.constant(model.scale))
    values = graph.node("Add", values, graph.constant(model.shift))
    if model.transform.kind == "log":
        return graph.node("Sub", graph.node("Exp", values), graph.constant(1.0))
    if model.transform.kind == "quantile":
        knots = np.asarray(model.transform.knots, np.float64)
        at = deviates(len(knots)).astype(np.float64)
        columns = [
            _interpolated(graph, graph.columns(values, [k]), at, knots[:, k]) for k in range(knots.shape[1])
        ]
        return graph.joined(columns)
    return values
