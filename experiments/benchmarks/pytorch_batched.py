"""Peer (b): the loop of `pytorch_loop` with one `log_batch` a trial and no reports."""

from __future__ import annotations

from experiments.benchmarks import peer
from experiments.benchmarks.pytorch_loop import epochs_of

if __name__ == "__main__":
    peer.main(epochs_of, batched=True, description=__doc__)
