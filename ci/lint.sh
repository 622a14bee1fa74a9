#!/usr/bin/env bash
# What the compiler does not look at: files too long to read in one sitting, and words that a change should not leave behind.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() { echo "lint: $1" >&2; failed=1; }

while read -r lines file; do
    [ "$file" = total ] || complain "$file has $lines lines; past 800 it holds two concepts"
done < <(git ls-files '*.rs' '*.py' '*.c' | xargs wc -l | awk '$1 > 800')

if git grep -nE 'todo!|unimplemented!|dbg!\(' -- '*.rs'; then
    complain "the lines above are unfinished"
fi

# Every dependency has its line.
while read -r name; do
    grep -q "^| \`$name\`" docs/dependencies.md || complain "docs/dependencies.md has no line for $name"
done < <(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json,sys
for p in json.load(sys.stdin)["packages"]:
    for d in p["dependencies"]:
        if not d["name"].startswith("greenloom"): print(d["name"])' | sort -u)

for needed in demo test; do
    grep -q "make $needed" README.md || complain "README.md does not name make $needed"
done
exit "$failed"
