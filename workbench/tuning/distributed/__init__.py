"""Parts of a search that other processes train."""
