#!/bin/sh
# An emulated arm64 machine for the tests: Debian's qemu, registered with the kernel, and the base
# image of the Dockerfile for arm64. Does nothing where both are.
#
#   tools/arm64.sh up       set up what is missing; prints the name of the base image
#   tools/arm64.sh down     unregister qemu, if `up` registered it; the image stays
#
# Needs root and a Docker engine (tools/engine.sh). The registration (binfmt_misc) holds for the
# whole machine, containers included, since the interpreter is opened when it is registered (flag F).
set -eu
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
base=debian:$suite-slim-arm64
handlers=/proc/sys/fs/binfmt_misc
ours=poster-aarch64

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

install() { # PACKAGE...
    { [ "$(id -u)" = 0 ] && has apt-get; } ||
        stop "this is missing; install it as root: apt-get install -y --no-install-recommends $*"
    say "installing $*"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

register() {
    [ -e "$handlers/register" ] || mount -t binfmt_misc binfmt_misc "$handlers" ||
        stop "this kernel has no binfmt_misc"
    if is_registered; then return; fi
    conf=/usr/lib/binfmt.d/qemu-aarch64.conf
    [ -f "$conf" ] || install qemu-user-static
    if is_registered; then return; fi # the package's own scripts did it
    say "registering qemu for arm64"
    sed "s/^:[^:]*:/:$ours:/" "$conf" >"$handlers/register"
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
