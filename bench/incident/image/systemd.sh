#!/bin/sh
# Begins as PID 1 and becomes systemd, which needs its control groups writable (they are the container's
# own, in a namespace of them). Its standard output is closed then, so a process that begins here
# brings the unit's log to the container's.
set -eu
for mounted in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint -q "$mounted"; then mount -o remount,bind,rw "$mounted"; fi
done
touch /run/incident.log
tail -n +1 -f /run/incident.log &
exec /lib/systemd/systemd
