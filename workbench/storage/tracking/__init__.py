"""Studies in MLflow: one parent run for each, a child for every finished trial, the chosen model registered.

`tracker` hands finished trials to a process of its own (`worker`), which writes them by `bulk` where it knows
the tables and by `client` everywhere else; `deliver` writes the end of a study, and `pyfunc` is the model as
MLflow loads it; `rows` has the plain values that pass between them. The home of MLflow. Imports the core, the
predictor and the report of evaluation.
"""

from workbench.storage.tracking.client import log_experiment
from workbench.storage.tracking.rows import Parent, Status, child_id, parent_id
from workbench.storage.tracking.tracker import Remainder, Tracker, ahead

__all__ = ["Parent", "Remainder", "Status", "Tracker", "ahead", "child_id", "log_experiment", "parent_id"]
