"""The study file: its keys, what each may hold, and what is said of a value that it may not."""
