"""Studies: what a study file says, and everything that is done with it. Imports whatever lies below."""
