# For the other scripts to source: the CPythons that greenloom is tested on.

# find_pythons: prints the newest patch release of each minor version from 3.10 to 3.14 that is found, in PATH or under
# pyenv, with headers to build against.
find_pythons() {
    local minor candidate
    for minor in 10 11 12 13 14; do
        for candidate in "$(command -v "python3.$minor" || true)" \
            $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python 2>/dev/null | sort -rV) \
            "$(command -v python3 || true)"; do
            [ -n "$candidate" ] || continue
            if "$candidate" - "$minor" <<'CHECK' 2>/dev/null
import pathlib, sys, sysconfig, venv, ensurepip
fits = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, int(sys.argv[1]))
sys.exit(not (fits and pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()))
CHECK
            then
                echo "$candidate"
                break
            fi
        done
    done
}
