"""A multilayer perceptron in PyTorch and its epoch, written the way PyTorch's and Optuna's examples do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.benchmarks.digits import Rows

__all__ = ["accuracy", "loader", "network", "optimizer", "train_epoch"]


def network(params: Mapping[str, Any], features: int, classes: int) -> nn.Sequential:
    """Hidden layers of equal width, each with its activation and dropout."""
    layers: list[nn.Module] = []
    width = features
    for _ in range(params["depth"]):
        layers.append(nn.Linear(width, params["width"]))
        layers.append(nn.ReLU() if params["activation"] == "relu" else nn.Tanh())
        layers.append(nn.Dropout(params["dropout"]))
        width = params["width"]
    layers.append(nn.Linear(width, classes))
    return nn.Sequential(*layers)


def optimizer(params: Mapping[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    """L2 on weights, not on biases."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": params["l2"]},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    rate = params["learning_rate"]
    if params["optimizer"] == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if params["optimizer"] == "momentum":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    return torch.optim.RMSprop(groups, lr=rate, alpha=0.9)


def loader(rows: Rows, batch_size: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Shuffled minibatches."""
    data = TensorDataset(torch.from_numpy(rows.x), torch.from_numpy(rows.y))
    return DataLoader(data, batch_size=batch_size, shuffle=True)


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Any, device: str = "cpu"
) -> float:
    """One epoch; the mean loss of its rows."""
    model.train()
    total, count = 0.0, 0
    for x, y in batches:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total, count = total + loss.item() * len(x), count + len(x)
    return total / count


@torch.no_grad()
def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Accuracy and loss on all rows at once."""
    model.eval()
    out = model(x)
    return float((out.argmax(dim=1) == y).float().mean()), float(nn.functional.cross_entropy(out, y))
