"""Generated programs that are run by the original greenlet and by ours, whose logs must be equal.

`programs` generates them, `interpreter` runs them in a child process of either side, `worker` drives that child.
"""
