#!/bin/sh
# Writes the two lock files anew from pyproject.toml (needs `uv`); run it after changing a dependency.
# Hashes, but no index address: whoever installs uses the index their pip is set up for.
set -eu
cd "$(dirname "$0")/.."
lock() { # FILE, extras...
    file=$1; shift
    uv pip compile pyproject.toml "$@" --upgrade --generate-hashes --universal --python-version 3.11 \
        --no-emit-index-url --no-annotate --no-header --quiet --output-file "$file"
}
lock requirements.lock --extra build
lock requirements-dev.lock --extra build --extra dev
