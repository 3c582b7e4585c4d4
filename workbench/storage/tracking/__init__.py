"""MLflow beside the training: a tracker that never holds anybody up, and a process that writes.

The one home of MLflow.
"""
