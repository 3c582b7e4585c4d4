"""What outlives a process: the journal, outcomes, the ledger, and what MLflow and Optuna show of them.

May import `core`, `evaluation` and the search space of `tuning`. Whoever works on a study writes its journal
first; everything else here follows from that.
"""
