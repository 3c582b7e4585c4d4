"""Searching: which configuration is tried next, which trials go on, which one is chosen.

The home of Optuna. May import core, nn and training; knows no data, no storage and no study file.
"""
