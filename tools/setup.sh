#!/bin/sh
# Makes this machine ready to run (or, with `dev`, to test) the service; does nothing where it is.
# What the system lacks is installed here only as root with apt; anyone else gets the one line
# that does it, for all that is missing at once, and it stops.
set -eu
cd "$(dirname "$0")/.."
what=${1:-run}
venv=${VENV:-.venv}

fonts="fontconfig fonts-liberation fonts-noto-cjk fonts-noto-color-emoji fonts-noto-core"
missing=""   # packages without which it cannot go on
wanted=""    # packages without which something looks or tests less well

say() { printf '%s\n' "setup: $*" >&2; }
stop() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

good_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        good_python "$PYTHON" || stop "PYTHON=$PYTHON is no Python of 3.11 or newer"
        python=$PYTHON
        return
    fi
    python=""
    for name in python3 python3.13 python3.12 python3.11; do
        if good_python "$name"; then python=$name; return; fi
    done
}

# A virtual environment whose making was interrupted has a python and no pip.
venv_works() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

look_for_python() {
    venv_works && return
    find_python
    if [ -z "$python" ]; then
        missing="$missing python3 python3-venv"
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing="$missing $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
}

# The names of browser/installed.py, asked from the shell because nothing of Python is there yet.
has_chrome() {
    [ -z "${POSTER_CHROME:-}" ] || return 0
    for name in /usr/lib/chromium/chromium-headless-shell chromium-headless-shell \
        chrome-headless-shell /usr/lib/chromium/chromium chromium chromium-browser \
        /opt/google/chrome/chrome google-chrome google-chrome-stable chrome; do
        if has "$name"; then return 0; fi
    done
    return 1
}

has_font() { fc-list "$1" family 2>/dev/null | grep -q .; }

look_for_chrome_and_fonts() {
    if ! has_chrome; then
        missing="$missing chromium-headless-shell $fonts"
    else
        for language in zh-cn und-zsye en th hi ar; do
            if ! has_font ":lang=$language"; then wanted="$wanted $fonts"; break; fi
        done
    fi
}

look_for_what_tests_need() { # full Chromium too: its crash handlers leave the process group
    [ -x /usr/lib/chromium/chromium ] || wanted="$wanted chromium"
    has curl || wanted="$wanted curl"
    # What checks the files that deploy the service.
    has systemd-analyze || wanted="$wanted systemd"
    # Redis' server without a service: it is another name of a program in the tools' package.
    has redis-server || has redis-check-rdb || wanted="$wanted redis-tools"
    has npm || wanted="$wanted nodejs npm"
    has docker-compose || docker compose version >/dev/null 2>&1 || wanted="$wanted docker-compose"
}

# promtool alone, out of Debian's package: installing that would also start a server here.
get_promtool() {
    if has promtool || [ -x "$venv/bin/promtool" ] || ! has dpkg-deb; then return; fi
    say "getting promtool"
    folder=$(mktemp -d)
    if (cd "$folder" && download prometheus && dpkg-deb --extract prometheus_*.deb .); then
        cp "$folder/usr/bin/promtool" "$venv/bin/promtool"
    else
        say "no promtool; the tests of the alert rules are left out"
    fi
    rm -rf "$folder"
}

download() { # PACKAGE, into this folder; anyone may, where apt's lists are there
    set -- apt-get download -qq -o APT::Sandbox::User=root "$1"
    "$@" 2>/dev/null || { is_root && apt-get update -qq >&2 && "$@" >&2; }
}

line() { # the line that installs these packages, for whoever may
    if has sudo; then as="sudo sh -c"; else as="su -c"; fi
    echo "$as 'apt-get update && apt-get install -y --no-install-recommends$*'"
}

install_packages() {
    [ -n "$missing$wanted" ] || return 0
    if is_root && has apt-get; then
        say "installing$missing$wanted"
        apt-get update -qq >&2
        for package in $missing; do
            apt-cache show "$package" >/dev/null 2>&1 ||
                stop "apt has no $package here; install Chrome by hand and name it in POSTER_CHROME"
        done
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $missing $wanted >/dev/null
    elif [ -n "$missing" ]; then
        stop "this is missing; install it with: $(line "$missing$wanted")"
    else
        say "it works without, but better with: $(line "$wanted")"
    fi
}

make_venv() {
    venv_works && return
    find_python
    [ -n "$python" ] || stop "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"
    say "making $venv with $("$python" --version)"
    # Cleared only if it is one already: VENV may name a folder that is something else.
    if [ -f "$venv/pyvenv.cfg" ]; then clear=--clear; else clear=""; fi
    "$python" -m venv $clear "$venv"
}

install_locked() { # LOCK: exactly what it says, checked by hash
    stamp="$venv/.installed-$1"
    if [ -f "$stamp" ] && cmp -s "$1" "$stamp" && [ "$stamp" -nt pyproject.toml ]; then
        return
    fi
    say "installing what $1 names"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
    install_ourselves
    cp "$1" "$stamp"
}

# An optional part of jsonschema, brought by cyclonedx-bom: importing jsonschema would take 1.4 s of CPU
# with it, in each process that the tests start, and the image does not have it either.
drop_slow_import() {
    for found in "$venv"/lib/python*/site-packages/rfc3987_syntax; do
        [ -d "$found" ] || continue
        "$venv/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes rfc3987-syntax
    done
}

# What builds the service lies beside its environment for a moment, and never in it.
install_ourselves() {
    folder=$(mktemp -d)
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --target "$folder" -r requirements-build.lock
    PYTHONPATH=$folder "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable .
    rm -rf "$folder"
}

case $what in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) stop "usage: tools/setup.sh [run|dev]" ;;
esac
look_for_python
look_for_chrome_and_fonts
if [ "$what" = dev ]; then look_for_what_tests_need; fi
install_packages
make_venv
install_locked "$lock"
if [ "$what" = dev ]; then drop_slow_import; get_promtool; fi
"$venv/bin/python" -m poster_service doctor --find-chrome >/dev/null ||
    stop "Chrome was installed and is still not found; name it in POSTER_CHROME"
