"""Parts of a search that other processes train.

crew     who trains what a search launches: the cores of this process, and helpers, whoever they are
cluster  helpers that dask.distributed finds; the only file that imports it
"""
