"""The command line: options in, exit statuses and text out.

May import: `study`, `core`; rich.
"""
