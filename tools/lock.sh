#!/bin/sh
# Writes the lock files from pyproject.toml (needs `uv`); run it after changing a dependency.
# Versions that are locked stay as far as they can; --upgrade takes the newest of everything.
#
#   requirements.lock         what serving needs, with Redis, jobs, object storage and traces: for the image and `make run`
#   requirements-build.lock   what builds it: hatchling; never in the environment that it runs in
#   requirements-dev.lock     all of the above, the load test, and what the tests need
#
# Hashes, but no index address: whoever installs uses the index their pip is set up for.
set -eu
cd "$(dirname "$0")/.."
upgrade=""
case ${1:-} in
    "") ;;
    --upgrade) upgrade=--upgrade ;;
    *) echo "usage: tools/lock.sh [--upgrade]" >&2; exit 2 ;;
esac
lock() { # FILE, sources and extras...
    file=$1; shift
    uv pip compile "$@" $upgrade --generate-hashes --universal --python-version 3.11 \
        --no-emit-index-url --no-annotate --no-header --quiet --output-file "$file"
}
lock requirements.lock pyproject.toml --extra redis --extra jobs --extra storage --extra otel
lock requirements-dev.lock pyproject.toml \
    --extra build --extra dev --extra redis --extra jobs --extra storage --extra otel --extra loadtest
# The same versions as in the lock of the tests, which have run with them.
only_build=$(mktemp)
trap 'rm -f "$only_build"' EXIT
sed -n 's/^build = \[\(.*\)\].*/\1/p' pyproject.toml | tr ',' '\n' | sed 's/[" ]//g' >"$only_build"
lock requirements-build.lock "$only_build" --constraint requirements-dev.lock
