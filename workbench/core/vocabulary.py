"""The vocabulary of a study file: every name that may stand in it, known without loading jax.

The registries that implement the words (activations, losses, models …) are held to them by a test.
A user's own model or loss adds its word here through its `register` function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple, TypeVar


class Family(NamedTuple):
    """What a model family asks of the data and which settings shape it."""

    tasks: tuple[str, ...]  # regression, classification, multilabel; "binary": classification of two classes
    input_rank: int | tuple[int, ...]  # 1: a row of features [F]; 2: a sequence [T, F]; 3: an image [H, W, C]
    shaped_by: tuple[str, ...]  # settings it reads beside those of every family
    hidden: bool = False  # has hidden layers, so must not start from zeros

    @property
    def ranks(self) -> tuple[int, ...]:
        """Of what it may read."""
        return self.input_rank if isinstance(self.input_rank, tuple) else (self.input_rank,)


class Metric(NamedTuple):
    """A score; its direction belongs to it."""

    direction: Literal["maximize", "minimize"]
    task: str  # regression | classification | binary | multilabel
    proportion: bool = False  # a share of rows: exact intervals exist
    decides: bool = False  # looks at the classes that are predicted, so at the threshold between two
    labels: bool = False  # has a value for several labels of a row as well

    def suits(self, kinds: Collection[str]) -> bool:
        """Whether it scores one of these tasks."""
        return self.task in kinds or (self.labels and "multilabel" in kinds)


_ANY = ("regression", "classification", "multilabel")
_UNITS = ("width", "initializer", "init_scale", "dropout")
_HIDDEN = ("depth", "activation", *_UNITS)
_ROWS = (*_HIDDEN, "embedding", "frequencies", "sigma")
_CONVOLUTION = (
    *("blocks", "kernel", "channels", "pooling", "padding"),
    *("global_pooling", "residual_blocks"),
)
_RECURRENT = (*_UNITS, "output", "bidirectional")

FAMILIES: dict[str, Family] = {
    "linear": Family(("regression",), 1, ()),
    "logistic": Family(("binary", "multilabel"), 1, ()),
    "softmax": Family(("classification",), 1, ()),
    "perceptron": Family(("binary",), 1, ()),
    "mlp": Family(_ANY, 1, (*_ROWS, "norm", "taper", "widths"), hidden=True),
    "residual": Family(_ANY, 1, (*_ROWS, "norm"), hidden=True),
    "highway": Family(_ANY, 1, (*_ROWS, "norm"), hidden=True),
    "tabm": Family(_ANY, 1, (*_ROWS, "taper", "widths", "members"), hidden=True),
    "tabm_mini": Family(_ANY, 1, (*_ROWS, "taper", "widths", "members"), hidden=True),
    "cnn": Family(_ANY, (3, 2), (*_UNITS, "activation", *_CONVOLUTION), hidden=True),
    "rnn": Family(_ANY, 2, _RECURRENT, hidden=True),
    "lstm": Family(_ANY, 2, _RECURRENT, hidden=True),
    "gru": Family(_ANY, 2, _RECURRENT, hidden=True),
}
#: A model of one's own, unless it says more.
PLAIN = Family(_ANY, 1, _HIDDEN, hidden=True)
#: Stands between the activations of the hidden layers.
JOIN = "-"
#: Of one hidden layer; several, joined by JOIN, are one for each: see `by_layer`.
ACTIVATIONS = [
    "relu",
    "tanh",
    "sigmoid",
    "linear",
    "leaky_relu",
    "gelu",
    "silu",
    "mish",
    "selu",
    "softmax",
    "step",
]
INITIALIZERS = [
    "auto",  # he_normal before rectifiers, lecun_normal before selu, glorot_uniform before the rest
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "uniform",
    "normal",
    "zeros",
]
LOSSES: dict[str, tuple[str, ...]] = {  # name -> tasks
    "sum_squared_error": ("regression",),
    "mse": ("regression",),
    "half_mse": ("regression",),
    "huber": ("regression",),
    "pinball": ("regression",),
    "binary_cross_entropy": ("binary", "multilabel"),
    "cross_entropy": ("classification",),
    "perceptron": ("binary",),
}
METRICS: dict[str, Metric] = {
    "accuracy": Metric("maximize", "classification", proportion=True, decides=True, labels=True),
    "balanced_accuracy": Metric("maximize", "classification", decides=True),
    "log_loss": Metric("minimize", "classification", labels=True),
    "f1_macro": Metric("maximize", "classification", decides=True, labels=True),
    "f1": Metric("maximize", "binary", decides=True),
    "roc_auc": Metric("maximize", "binary", labels=True),
    "label_accuracy": Metric("maximize", "multilabel", decides=True),
    "hamming_loss": Metric("minimize", "multilabel", decides=True),
    "nll": Metric("minimize", "multilabel"),
    "rmse": Metric("minimize", "regression"),
    "mse": Metric("minimize", "regression"),
    "mae": Metric("minimize", "regression"),
    "r2": Metric("maximize", "regression"),
    "pinball": Metric("minimize", "regression"),
}
#: What no score by these metrics exceeds; the others of ours are errors, and at least 0.
AT_MOST_1 = ("accuracy", "balanced_accuracy", "f1_macro", "f1", "roc_auc", "r2", "label_accuracy")
ERRORS = ("log_loss", "rmse", "mse", "mae", "pinball", "hamming_loss", "nll")
#: The metric of one label among several that a metric of them all is made of; any other is its own.
OF_LABEL = {
    "f1_macro": "f1",
    "label_accuracy": "accuracy",
    "hamming_loss": "accuracy",
    "nll": "log_loss",
}
#: The loss and the metric of a quantile, which recipes and records call `pinball_0.9`.
PINBALL = "pinball"
Registered = TypeVar("Registered")


def pinball(quantile: float) -> str:
    """The name of loss and metric at a quantile."""
    return f"{PINBALL}_{float(quantile)!r}"


def quantile_of(name: str) -> float | None:
    """The quantile that the name of a loss or metric says; None for any other."""
    word, _, quantile = name.partition("_")
    return float(quantile) if word == PINBALL and quantile else None


class AtQuantiles(dict[str, Registered]):
    """A registry that has its `pinball` at every quantile.

    at  makes that of a quantile
    """

    def __init__(self, known: Mapping[str, Registered], at: Callable[[float], Registered]) -> None:
        super().__init__(known)
        self._at = at

    def __missing__(self, name: str) -> Registered:
        quantile = quantile_of(name)
        if quantile is None:
            raise KeyError(name)
        return self._at(quantile)


LOSSES = AtQuantiles(LOSSES, lambda _: ("regression",))
METRICS = AtQuantiles(METRICS, lambda _: Metric("minimize", "regression"))
#: The optimizers whose lanes share a program; for every other one see `transformations`.
OPTIMIZERS = [
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
]
#: Factories of transformations that were registered, by name.
FACTORIES: dict[str, Callable[..., Any]] = {}
#: Several, joined by JOIN, follow one another.
SCHEDULES = [
    "constant",
    "cosine",
    "flat_cos",
    "coslog4",
    "exponential",
    "plateau",
    "polynomial",
    "piecewise",
    "one_cycle",
]
#: Which of the common optimizers read a coefficient; an optimizer of optax has its own, and every one of
#: those takes the decoupled weight decay.
READ_BY = {
    "momentum": ("momentum", "nesterov", "adam", "adamw"),
    "beta2": ("adam", "adamw"),
    "weight_decay": ("adamw",),
}
#: Which schedules read a number of theirs.
SCHEDULED = {
    "final": ("cosine", "exponential", "polynomial"),
    "power": ("polynomial",),
    "scales": ("piecewise",),
    "pct_start": ("one_cycle",),
    "div_factor": ("one_cycle",),
    "final_div_factor": ("one_cycle",),
}
EMBEDDINGS = ["none", "periodic", "pbld"]  # of numbers
NORMS = ["none", "layer"]  # of what goes into the activations
POOLINGS = ["max", "mean", "none"]
GLOBAL_POOLINGS = ["none", "mean", "max"]  # over all places, before the dense layer
PADDINGS = ["same", "valid"]
OUTPUTS = ["last", "each"]  # of a recurrent network: after the last step, or after each
AUGMENTATIONS = ("shift", "flip")  # of training images
SCALES = ["none", "standardize", "minmax", "quantile", "robust"]
NUMBERS = ["plain", "piecewise", "piecewise_tree"]
TARGET_TRANSFORMS = ["none", "log", "quantile"]
SAMPLERS = {  # word -> class of optuna.samplers
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "grid": "GridSampler",
    "brute_force": "BruteForceSampler",
}
#: Samplers that try every combination of values once, and then end the search.
EXHAUSTIVE = ("grid", "brute_force")
PRUNERS = ["none", "asha", "hyperband", "median"]

#: The settings that every study has, under their flat names. Further ones are arguments of its optimizers.
SETTINGS = frozenset(
    (
        *("scale", "degree", "numbers", "bins", "target_transform"),
        *("family", "depth", "width", "activation", "initializer", "init_scale", "blocks", "kernel"),
        *("channels", "pooling", "padding", "output", "embedding", "frequencies", "sigma", "norm", "taper"),
        *("members", "ensemble", "global_pooling", "residual_blocks", "bidirectional", "widths"),
        *("optimizer", "learning_rate", "momentum", "beta2", "schedule", "warmup", "clip"),
        *("final", "power", "boundaries", "scales", "pct_start", "div_factor", "final_div_factor"),
        *("l1", "l2", "weight_decay", "dropout", "label_smoothing", "patience", "min_delta"),
        *("epochs", "batch_size", "loss", "quantile", "class_weight", "shift", "flip", "ema", "threshold"),
    )
)
_ARGUMENT = "optimizer_"


def flat_argument(argument: str) -> str:
    """The flat name of an optimizer's argument: its own, unless a setting has it."""
    return _ARGUMENT + argument if argument in SETTINGS else argument


def argument_of(flat: str) -> str:
    """The inverse of `flat_argument`."""
    bare = flat.removeprefix(_ARGUMENT)
    return bare if bare in SETTINGS else flat


def by_layer(activation: str) -> tuple[str, ...]:
    """The activations that a setting names: one for all hidden layers, or one for each from the first on."""
    return tuple(activation.split(JOIN))


def of_layer(activation: str, layer: int) -> str:
    """The activation of hidden layer `layer`, from 0; the last one named is that of all layers after it."""
    names = by_layer(activation)
    return names[min(layer, len(names) - 1)]


#: The settings, beside the family, by which `reads` goes.
READING = ("optimizer", "schedule", "initializer", "loss", "embedding", "numbers", "patience")


def reads(settings: Mapping[str, Any], key: str) -> bool:
    """Whether a configuration, every setting of it resolved, looks at the setting `key`."""
    family, optimizer = settings["family"], settings["optimizer"]
    schedules = str(settings["schedule"]).split(JOIN)
    if any(key in one.shaped_by for one in FAMILIES.values()) and key not in FAMILIES[family].shaped_by:
        return False
    if key in READ_BY:
        return optimizer in READ_BY[key] if is_common(optimizer) else key == "weight_decay"
    if key in SCHEDULED:
        return any(name in SCHEDULED[key] for name in schedules)
    if key == "boundaries":
        return len(schedules) > 1 or "piecewise" in schedules
    if key == "init_scale":
        return settings["initializer"] in ("uniform", "normal")
    if key == "quantile":
        return bool(settings["loss"] == PINBALL)
    if key in ("frequencies", "sigma"):
        return bool(settings.get("embedding", "none") != "none")
    if key == "bins":
        return bool(settings.get("numbers", "plain") != "plain")
    return key != "min_delta" or settings["patience"] > 0


def is_common(optimizer: str) -> bool:
    """Whether an optimizer is one of those whose lanes share a program."""
    return optimizer in OPTIMIZERS and optimizer not in FACTORIES
