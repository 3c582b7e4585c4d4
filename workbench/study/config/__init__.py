"""The study file: its keys, how it is read, varied and written, and what a mistake in it is told.

kinds     what may stand to the right of an equals sign: numbers, words, lists, and axes over them
schema    the one model of the file, every key with its limits, default and meaning
optimizer the arguments of optax's optimizers, which are keys as well
conditions in which trials an axis takes part
errors    pydantic's complaints as sentences
study     the frozen `Study`, its identity and its text
reading   `read_study` and `vary`
checks    what several keys must agree on, with each other and with the data

May import the layers below (core, nn, tuning for its spaces and samplers) and pydantic, whose home this is.
"""

from workbench.study.config.checks import also_of, check_fit, check_testable, idle_axes, metric_of, notes
from workbench.study.config.reading import read_study, vary
from workbench.study.config.study import Study

__all__ = [
    "Study",
    "also_of",
    "check_fit",
    "check_testable",
    "idle_axes",
    "metric_of",
    "notes",
    "read_study",
    "vary",
]
