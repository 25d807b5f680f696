#!/bin/sh
# Asks the package index's advisories about every locked version, and says what could be asked and
# what could not; run it before a release.
#
#   tools/audit.sh [--offline]
#
# Leaves with 0 when all was asked and nothing found, 1 when something was found or left out, 3 when the
# advisories cannot be reached: then an offline copy (safety-db, of 2021) and Debian's archive are asked
# instead, which is no answer about what became known since. With --offline that is accepted: 0.
#
# What is ignored was examined: SECURITY.md, "Old libraries", says why none of it can be reached.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check pip-audit==2.10.1
# The result is judged by audit.py, which knows a package that was not asked about from a sound one.
"$folder/bin/pip-audit" --disable-pip --require-hashes --requirement requirements.lock \
    --progress-spinner off --format json --output "$folder/report.json" \
    --ignore-vuln CVE-2025-50181 --ignore-vuln CVE-2025-66418 --ignore-vuln CVE-2025-66471 \
    --ignore-vuln CVE-2026-21441 --ignore-vuln CVE-2026-44431 --ignore-vuln CVE-2026-44432 \
    >"$folder/log" 2>&1 || :
status=0
"$folder/bin/python" tools/audit.py report "$folder/report.json" "$folder/log" || status=$?
[ "$status" = 3 ] || exit "$status"

# No advisories; the next best, and it says of itself how far it goes.
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps safety-db==2021.7.17 ||
    : >"$folder/no-copy"
[ -e "$folder/no-copy" ] || "$folder/bin/python" tools/audit.py copy requirements.lock || status=1
python3 tools/audit.py debian || status=1
if [ "$status" = 3 ] && [ "${1:-}" = --offline ]; then status=0; fi
exit "$status"
