"""Days on which everything goes wrong at once: what is killed, closed, forked, exhausted or interrupted meanwhile."""
