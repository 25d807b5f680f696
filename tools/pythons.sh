#!/bin/sh
# Runs what proves compatibility on every Python that the project is meant for and this machine has:
# every module is imported, all units are tested, init and shims start and end processes, and real
# Chrome renders pictures over HTTP. All else does not depend on the Python and runs in `make test`.
#
#   tools/pythons.sh [VERSION...]     by default all of them but the one of .venv, which `make test` runs
#
# Debian 12 has 3.11 only, so the others are looked for where toolchains put them: in PATH (also as
# Debian 13's python3.13), in pyenv's folder, in uv's. What is not found is named, and no failure. Each has
# an environment of its own below .venv-python, from the same lock file.
set -eu
cd "$(dirname "$0")/.."
known="3.11 3.12 3.13"
tests="tests/web/test_pictures.py tests/web/test_health.py tests/process/test_spawn.py
    tests/process/test_init_reaping.py tests/process/test_init_signals.py tests/unit"

say() { printf '%s\n' "pythons: $*" >&2; }

# A stand-in of pyenv is in PATH for versions that are not switched on; only what runs counts.
runs() { "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" 2>/dev/null; }

find_python() { # VERSION; prints its path
    for candidate in "$(command -v "python$1" || :)" \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3 \
        "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-$1".*/bin/python3; do
        if [ -x "$candidate" ] && runs "$candidate" "$1"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

default_versions() {
    own=$("${VENV:-.venv}/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    for version in $known; do [ "$version" = "$own" ] || echo "$version"; done
}

test_on() { # VERSION PYTHON
    say "compatibility with $("$2" --version)"
    venv=.venv-python/$1
    PYTHON=$2 VENV=$venv tools/setup.sh dev
    cache=$venv/.pytest_cache
    rm -rf "$cache"
    # As in `make test` of .ci/run: a few that failed run again alone, and are named.
    "$venv/bin/poster-init" -- "$venv/bin/python" -m pytest -m "not slow and not endurance" \
        -n "${JOBS:-3}" --dist loadfile --no-loadscope-reorder -o cache_dir="$cache" ${ARGS:-$tests} ||
        "$venv/bin/python" -m tools.again "$cache"
}

failed=""
for version in ${*:-$(default_versions)}; do
    if python=$(find_python "$version"); then
        test_on "$version" "$python" || failed="$failed $version"
    else
        say "no Python $version on this machine; not tested"
    fi
done
[ -z "$failed" ] || { say "failed on:$failed"; exit 1; }
