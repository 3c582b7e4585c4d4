"""Values, words and files that everything else speaks of; nothing here knows a model or a study.

May import: the standard library and NumPy; SQLAlchemy in `sql`.
"""
