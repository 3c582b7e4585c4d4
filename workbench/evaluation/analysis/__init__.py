"""Looks inside a trained model: its loss landscape, activations and slopes, backpropagation written out."""
