#!/bin/sh
# Binds { SOURCE DESTINATION }... under /sys, hidden by an empty folder, in the mount namespace of its own that
# unshare(1) has made for it; says so, and holds the namespace until standard input ends.
set -eu
mount -t tmpfs -o mode=755 stage /sys
while [ $# -gt 0 ]; do
	if [ -d "$1" ]; then mkdir "$2"; else : >"$2"; fi
	mount --bind "$1" "$2"
	shift 2
done
echo ready
read -r _ || exit 0
