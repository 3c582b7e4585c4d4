"""The delivered model as MLflow loads it: this file is logged with the model and run when it is loaded.

Models from code: https://mlflow.org/docs/latest/ml/model/models-from-code/. Nothing is unpickled; the
parameters are plain arrays (`saved_model`).
"""

from __future__ import annotations

import logging
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import set_model


class Delivered(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Raw rows in, predictions out."""

    def load_context(self, context: Any) -> None:
        """Read the model's files."""
        from workbench.evaluation import saved_model

        self.predictor = saved_model.load(context.artifacts["model"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predictions for raw rows, one row each; the log is told what no training row held.

        params  of a regression, interval = 0.9 adds the ends of intervals
        """
        del context
        from workbench.data.preprocessing.novelty import told

        predictions = self.predictor.predict(model_input, interval=(params or {}).get("interval"))
        if said := told(self.predictor.novelties(model_input)):
            logging.getLogger("workbench").warning("%s", said)
        return predictions


set_model(Delivered())
