"""``python -m greenloom``: see :mod:`greenloom._run`."""

from greenloom._run import main

if __name__ == "__main__":
    main()
