"""What is said of a trained model: scores with intervals, optimism, diagnosis, pictures, the report.

May import: `core`, `data`, `nn`, `training`; matplotlib in `plots`.
"""
