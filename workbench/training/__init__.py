"""Lanes of many trials in one compiled program: how they are trained, packed, compiled and kept on disk.

May import: `core`, `nn`; jax.
"""
