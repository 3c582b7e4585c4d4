"""A study from its file to its report: what is done in which order, and nothing of how.

May import: every folder but `cli`.
"""
