"""What people reported of this and of other programs, each as a small input with the right outcome beside it.

A situation is named where it was met: an issue tracker with its number, where the report was read there.
Inputs are made here; none is anybody's data.
"""
