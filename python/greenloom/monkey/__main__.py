"""``python -m greenloom.monkey``."""

from ._main import main

main()
