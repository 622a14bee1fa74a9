"""Prints what pyproject.toml wants installed to build and test the package, one requirement a line.

Python 3.10 cannot read TOML by itself, so this reads the two lists that it needs by their form.
"""

import ast
import pathlib
import re
import sys

text = pathlib.Path(sys.argv[1]).read_text()
for name in ("requires", "test"):
    found = re.search(rf"^{name} = (\[.*?\])$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        sys.exit(f"{sys.argv[1]} has no list called {name}")
    print(*ast.literal_eval(found[1]), sep="\n")
