"""The search: its space, who suggests, which trials go on, which one is chosen.

May import: `core`, `nn`, `training`, `evaluation`; Optuna.
"""
