#!/bin/sh
# Makes this machine ready to run (or, with `dev`, to test) the service; does nothing where it is.
# Installs system packages only as root with apt; anyone else is told the one line that does it.
set -eu
cd "$(dirname "$0")/.."
what=${1:-run}
venv=${VENV:-.venv}

say() { printf '%s\n' "setup: $*" >&2; }
stop() { say "$*"; exit 1; }
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() {
    say "installing $*"
    [ -n "${APT_FRESH:-}" ] || apt-get update -qq >&2
    APT_FRESH=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
need() { # REASON, PACKAGES...: install them, or say the line and stop
    reason=$1; shift
    may_install || stop "$reason: sudo apt-get install -y $*"
    apt_install "$@"
}

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

make_venv() {
    [ -x "$venv/bin/python" ] && return
    python=$(find_python)
    [ -n "$python" ] || need "Python 3.11 or newer is needed" python3 python3-venv
    python=$(find_python)
    [ -n "$python" ] || stop "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        need "$python cannot make virtual environments" "python$version-venv"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
}

install_locked() { # LOCK: exactly what it says, checked by hash
    stamp="$venv/.installed-$1"
    if [ -f "$stamp" ] && cmp -s "$1" "$stamp" && [ "$stamp" -nt pyproject.toml ]; then
        return
    fi
    say "installing what $1 names"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --no-build-isolation --editable .
    cp "$1" "$stamp"
}

has_font() { fc-list "$1" family 2>/dev/null | grep -q .; }

find_chrome() { "$venv/bin/python" -m poster_service doctor --find-chrome >/dev/null 2>&1; }

find_chrome_and_fonts() {
    packages="fontconfig fonts-liberation fonts-noto-cjk fonts-noto-color-emoji"
    if ! find_chrome; then
        need "no Chrome found; install one, or name yours in POSTER_CHROME" \
            chromium-headless-shell $packages
        find_chrome || stop "installed, and still no Chrome found; name it in POSTER_CHROME"
    fi
    if ! has_font :lang=zh-cn || ! has_font :lang=und-zsye || ! has_font :lang=en; then
        if may_install; then
            apt_install $packages
        else
            say "some texts will show boxes; for their fonts: sudo apt-get install -y $packages"
        fi
    fi
}

for_tests() { # full Chromium too: its crash handlers leave the process group
    [ -x /usr/lib/chromium/chromium ] && return
    if may_install; then
        apt_install chromium || say "no full Chromium here; its tests are skipped"
    else
        say "the tests with full Chromium are skipped; for them: sudo apt-get install -y chromium"
    fi
}

make_venv
case $what in
    run) install_locked requirements.lock; find_chrome_and_fonts ;;
    dev) install_locked requirements-dev.lock; find_chrome_and_fonts; for_tests ;;
    *) stop "usage: tools/setup.sh [run|dev]" ;;
esac
