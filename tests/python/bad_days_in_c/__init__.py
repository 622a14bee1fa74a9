"""C libraries that wait, on days on which everything goes wrong."""
