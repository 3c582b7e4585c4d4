"""Data: from a study's `[data]` table to arrays for training, with the test rows under seal. Knows no model.

dataset, sealed = load(spec)                     development rows; a promise of test rows
fold, preprocessor = prepare(dataset)            arrays for training; what made them
findings(dataset)                                what makes its validation score too good
cross_validation(dataset, k, seed)               k datasets; `reshuffled` gives another hold-out
rows = unseal(sealed, dataset, opening)          test rows, against the ledger's Opening
preprocessor.transform(read_rows("new.csv"))     features of new rows
"""

from __future__ import annotations

from workbench.data.dataset import Dataset
from workbench.data.leakage import findings
from workbench.data.loading import load, prepare
from workbench.data.preprocessing import Preprocessor
from workbench.data.preprocessing.tables import Column
from workbench.data.resampling import cross_validation, divisions, fewest_train_rows, reshuffled
from workbench.data.seal import Rows, SealedTest, row_marks, unseal
from workbench.data.sources import read_rows
from workbench.data.sources.builtin import BUILTIN
from workbench.data.splits import split_rows

__all__ = [
    "BUILTIN",
    "Column",
    "Dataset",
    "Preprocessor",
    "Rows",
    "SealedTest",
    "cross_validation",
    "divisions",
    "fewest_train_rows",
    "findings",
    "load",
    "prepare",
    "read_rows",
    "reshuffled",
    "row_marks",
    "split_rows",
    "unseal",
]
