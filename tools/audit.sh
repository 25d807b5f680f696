#!/bin/sh
# Asks the package index about known holes in every locked version. It needs the network (there is no
# kept-up set of advisories to install), so it is no part of `make test`; run it before a release.
# --strict: a package that nobody could be asked about is a failure; without it, it is passed as sound.
# What is ignored was examined: SECURITY.md, "Old libraries", says why none of it can be reached.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet pip-audit==2.10.1
"$folder/bin/pip-audit" --strict --disable-pip --require-hashes --requirement requirements.lock \
    --ignore-vuln CVE-2025-50181 --ignore-vuln CVE-2025-66418 --ignore-vuln CVE-2025-66471 \
    --ignore-vuln CVE-2026-21441 --ignore-vuln CVE-2026-44431 --ignore-vuln CVE-2026-44432
