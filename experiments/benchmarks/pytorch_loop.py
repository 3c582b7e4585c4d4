"""Peer (a): Optuna + PyTorch + MLflow as their examples do it, every epoch reported and logged by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from experiments.benchmarks import peer
from experiments.benchmarks.digits import Rows
from experiments.benchmarks.torch_training import accuracy, loader, network, optimizer, train_epoch

__all__ = ["epochs_of"]


def epochs_of(params: Mapping[str, Any], rows: Rows, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """Train; the metrics after each epoch."""
    torch.manual_seed(seed)
    model = network(params, rows.x.shape[1], int(rows.y.max()) + 1)
    optimizes = optimizer(params, model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizes, epochs)
    batches = loader(rows, params["batch_size"])
    x, y = torch.from_numpy(rows.x_validation), torch.from_numpy(rows.y_validation)
    for _ in range(epochs):
        train_loss = train_epoch(model, optimizes, batches)
        schedule.step()
        score, validation_loss = accuracy(model, x, y)
        yield {"train_loss": train_loss, "validation_loss": validation_loss, "validation_accuracy": score}


if __name__ == "__main__":
    peer.main(epochs_of, batched=False, description=__doc__)
