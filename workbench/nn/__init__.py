"""Networks as pure functions: models, losses, metrics, optimizers, regularization, randomness.

May import: `core`; jax and optax. With `training` it runs where nothing else is installed.
"""
