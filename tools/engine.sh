#!/bin/sh
# A Docker engine and the base image, for the tests that need them; does nothing where both are.
#
#   eval "$(tools/engine.sh up)"     start what is missing and say where it is (DOCKER_HOST)
#   tools/engine.sh down             end the engine that `up` started here; its images are kept
#   tools/engine.sh purge            the same, and remove all that it kept
#   tools/engine.sh base             only create the base image, with debootstrap; BASE names it, and
#                                    ARCH its architecture (tools/arm64.sh)
#
# Where an engine answers already it is used as it is. Otherwise, as root with apt, Debian's
# docker.io is installed and started with a data folder and a socket of its own. The base image is
# pulled where a registry can be reached, and made with debootstrap from apt's own mirror elsewhere.
set -eu
cd "$(dirname "$0")/.."
base=${BASE:-debian:bookworm-slim}
# Short and on a local disk: a socket's path has at most 107 bytes, and overlayfs needs a real one.
here=${POSTER_ENGINE:-/var/tmp/poster-engine}
socket=$here/docker.sock

say() { printf '%s\n' "engine: $*" >&2; }
stop() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
answers() { docker version >/dev/null 2>&1; }
alive() { [ -f "$here/docker.pid" ] && kill -0 "$(cat "$here/docker.pid")" 2>/dev/null; }

install() { # PACKAGE...
    { [ "$(id -u)" = 0 ] && has apt-get; } ||
        stop "this is missing; install it as root: apt-get install -y --no-install-recommends $*"
    say "installing $*"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

start_engine() {
    has docker && answers && return
    DOCKER_HOST=unix://$socket
    export DOCKER_HOST
    has docker && answers && return
    [ "$(id -u)" = 0 ] || stop "no Docker engine answers; start one, or run this as root"
    has dockerd || install docker.io iptables
    mkdir -p -m 0700 "$here"
    if ! alive; then
        rm -f "$here/docker.pid"
        # Its own session, so that no Ctrl-C of ours reaches it; ended by `down`.
        setsid dockerd --data-root "$here/data" --exec-root "$here/exec" --host "unix://$socket" \
            --pidfile "$here/docker.pid" >"$here/log" 2>&1 </dev/null &
    fi
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || stop "the engine does not come up; its last words: $(tail -n 1 "$here/log")"
        sleep 0.5
    done
}

have_base() {
    docker image inspect "$base" >/dev/null 2>&1 && return
    docker pull --quiet "$base" >/dev/null 2>&1 && return
    make_base
}

# What `debian:bookworm-slim` is, from apt's own mirror: a minimal system without papers, and with
# the certificates and package sources that this machine trusts, so that a build reaches its mirror.
make_base() {
    suite=${base#debian:}
    suite=${suite%%-slim*}
    [ "$base" = "debian:$suite-slim${ARCH:+-$ARCH}" ] || stop "no registry answers, and only debian:*-slim can be made here"
    has debootstrap || install debootstrap
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        sed -n "s/ $suite\$//p" | sort -u | head -n 1)
    [ -n "$mirror" ] || stop "apt knows no mirror of Debian $suite"
    root=$(mktemp -d "$here/base.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    say "making $base with debootstrap"
    debootstrap --variant=minbase ${ARCH:+--arch="$ARCH"} "$suite" "$root" "$mirror" >"$here/debootstrap.log" 2>&1 ||
        stop "debootstrap failed: $(tail -n 1 "$here/debootstrap.log")"
    rm -f "$root/etc/apt/sources.list"
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
        sed -n "/ $suite\(-[a-z]*\)\{0,1\} main\$/s/^/deb /p" >"$root/etc/apt/sources.list"
    mkdir -p "$root/usr/local/share/ca-certificates"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates" \;
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
    tar -C "$root" -cf "$root.tar" .
    trap 'rm -rf "$root" "$root.tar" "$root.image"' EXIT
    load_image "$root.tar" "$root.image"
}

# `docker import` would say that the image is of the engine's own architecture, whatever it is.
load_image() { # LAYER FOLDER
    mkdir "$2"
    mv "$1" "$2/layer.tar"
    layer=$(sha256sum "$2/layer.tar" | cut -d' ' -f1)
    printf '{"architecture":"%s","os":"linux","config":{"Cmd":["bash"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "${ARCH:-$(dpkg --print-architecture)}" "$layer" >"$2/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$base" >"$2/manifest.json"
    tar -C "$2" -c manifest.json config.json layer.tar | docker load --quiet >/dev/null
}

end_engine() {
    alive || return 0
    pid=$(cat "$here/docker.pid")
    kill "$pid"
    tries=0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || stop "the engine $pid does not leave"
        sleep 0.5
    done
}

case ${1:-} in
    up)
        mkdir -p -m 0700 "$here"
        start_engine
        have_base
        echo "export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}"
        ;;
    base)
        mkdir -p -m 0700 "$here"
        make_base
        ;;
    down) end_engine ;;
    purge)
        end_engine
        rm -rf "$here"
        ;;
    *) stop "usage: tools/engine.sh up|down|purge|base" ;;
esac
