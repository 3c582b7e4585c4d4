"""What must not be lost: journal, outcomes, the ledger of test openings; and copies for MLflow and Optuna.

May import: `core`, `data`, `evaluation`, `tuning`; MLflow in `tracking`, Optuna in `optuna_mirror`.
"""
