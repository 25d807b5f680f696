#!/bin/sh
# An emulated arm64 machine for the tests: Debian's qemu, registered with the kernel, and the base
# image of the Dockerfile for arm64. Does nothing where both are.
#
#   tools/arm64.sh up       set up what is missing; prints the name of the base image
#   tools/arm64.sh down     unregister qemu, if `up` registered it; the image stays
#
# The emulator is that of Debian 13, by apt and without installing it: the one of Debian 12 (7.2) refuses
# prctl(PR_SET_CHILD_SUBREAPER), and without that no shim starts. Where another emulator is registered
# already, that one is used.
#
# Needs root and a Docker engine (tools/engine.sh). The registration (binfmt_misc) holds for the
# whole machine, containers included, since the interpreter is opened when it is registered (flag F).
set -eu
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
base=debian:$suite-slim-arm64
handlers=/proc/sys/fs/binfmt_misc
ours=poster-aarch64
here=${POSTER_ENGINE:-/var/tmp/poster-engine}
qemu=$here/qemu-aarch64
# ELF, 64 bits, little-endian, for AArch64; the mask leaves out what differs between programs.
magic='\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

say() { printf '%s\n' "arm64: $*" >&2; }
stop() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Any enabled handler for ELF files of this machine will do: its magic number ends in that code, b7 00.
is_registered() {
    for handler in "$handlers"/*; do
        grep -q '^magic 7f454c46.*b700$' "$handler" 2>/dev/null || continue
        grep -q '^enabled' "$handler" && return
    done
    return 1
}

# Lists and downloads have a folder of their own; this machine's sources stay as they are.
get_qemu() {
    [ ! -x "$qemu" ] || return 0
    has dpkg-deb || stop "no apt here: register a qemu-aarch64 of version 8 or newer by hand (binfmt_misc)"
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        sed -n "s/ $suite\$//p" | sort -u | head -n 1)
    [ -n "$mirror" ] || stop "apt knows no mirror of Debian $suite"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$here"
    echo "deb $mirror trixie main" >"$folder/sources.list"
    say "getting qemu of Debian 13"
    (
        cd "$folder"
        set -- -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root
        apt-get "$@" update >&2
        apt-get "$@" download qemu-user >&2
        dpkg-deb --extract qemu-user_*.deb .
    )
    cp "$folder/usr/bin/qemu-aarch64" "$qemu"
    rm -rf "$folder"
}

# F: the interpreter is opened now, so that containers need none of their own. O and P: it gets the
# program as a descriptor, and its name as it was called.
register() {
    [ "$(id -u)" = 0 ] || stop "run this as root"
    [ -e "$handlers/register" ] || mount -t binfmt_misc binfmt_misc "$handlers" ||
        stop "this kernel has no binfmt_misc"
    if is_registered; then return; fi
    get_qemu
    say "registering qemu for arm64"
    printf ':%s:M::%s:%s:%s:OPF' "$ours" "$magic" "$mask" "$qemu" >"$handlers/register"
}

# Always made here, under a name of its own: a pull for another architecture would move the name
# that this machine's own builds begin with.
have_base() {
    docker image inspect "$base" >/dev/null 2>&1 && return
    BASE=$base ARCH=arm64 tools/engine.sh base
}

case ${1:-} in
    up)
        register
        have_base
        echo "$base"
        ;;
    down) [ ! -e "$handlers/$ours" ] || echo -1 >"$handlers/$ours" ;;
    *) stop "usage: tools/arm64.sh up|down" ;;
esac
