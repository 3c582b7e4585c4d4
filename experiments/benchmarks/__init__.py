"""Benchmarks: one file each, one command each, ratios measured side by side in one run.

python -m experiments.benchmarks.study ours against the loops that users run today python -m
experiments.benchmarks.all --quick every benchmark, small
"""
