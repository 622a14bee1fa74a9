#!/usr/bin/env bash
# Programs written for greenlet and gevent, unchanged, on greenloom.
#
#   ci/demo-python.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 examples=examples/python

show() {
    printf '\n== python -m greenloom %s\n' "$*"
    "$python" -m greenloom "$@"
}

for program in eat_play_switch twenty_tasks switch_cost eat_play_patched crawler processes_threads_greenlets; do
    show $examples/$program.py
done

# A server and its clients, once as threads of the system and once as greenlets.
printf '\n== python -m greenloom %s &\n' $examples/upper_server.py
coproc SERVER { exec "$python" -m greenloom $examples/upper_server.py; }
# When the coprocess ends, bash forgets its number and closes what it says.
server=$SERVER_PID
exec {said}<&"${SERVER[0]}"
trap 'kill $server 2>/dev/null || true' EXIT
read -r listening <&"$said"
echo "$listening"
show $examples/client_500.py "${listening##* }"
show $examples/client_500.py "${listening##* }" --patched
printf '\n== kill %s\n' $examples/upper_server.py
kill "$server"
cat <&"$said"
wait "$server"
trap - EXIT
