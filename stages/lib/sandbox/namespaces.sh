#!/bin/sh
# The walls without bubblewrap. Run by unshare(1) as the first process of new user, mount, pid, net, ipc, uts and
# cgroup namespaces: builds a read-only root of nothing but what it is given, moves into it, forbids further user
# namespaces, drops every capability but CAPABILITIES (setpriv's list) and starts the command.
# ROOT is a folder that may be hidden, the environment is the command's.
#   namespaces.sh ROOT TMP_MB CAPABILITIES { SOURCE DESTINATION }... -- COMMAND...
set -eu
umask 022
export PATH="$PATH:/usr/sbin:/sbin"
root=$1
tmp_mb=$2
capabilities=$3
shift 3
mount -t tmpfs -o mode=755,size=1m,nr_inodes=1k root "$root"

while [ "$1" != -- ]; do
	source=$1 target=$root$2
	if [ -L "$source" ] && [ ! -d "$target" ]; then # /lib of a merged /usr
		mkdir -p "$(dirname "$target")"
		cp -P "$source" "$target"
	elif [ -e "$source" ]; then
		if [ -d "$source" ]; then
			mkdir -p "$target"
		else
			mkdir -p "$(dirname "$target")"
			: >"$target"
		fi
		mount --bind "$source" "$target"
		mount -o remount,bind,ro,nosuid,nodev "$target"
	fi
	shift 2
done
shift

mkdir -p "$root/dev" "$root/tmp" "$root/.old"
for device in null zero full random urandom; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
for folder in tmp dev/shm; do
	mount -t tmpfs -o "mode=1777,nosuid,nodev,size=${tmp_mb}m,nr_inodes=4k" tmp "$root/$folder"
done
echo 0 >/proc/sys/user/max_user_namespaces

: >"$root/.setpriv"
mount --bind "$(command -v setpriv)" "$root/.setpriv"
mount -o remount,bind,ro,nosuid,nodev "$root/.setpriv"
mount -o remount,bind,ro "$root"

cd "$root"
chroot=$(command -v chroot)
pivot_root . .old
cd /tmp
"/.old$chroot" /.old umount -l / # there, because umount wants a /proc, and here is none
# This shell stays as the namespace's first process, which no signal from within can kill; with it everything ends.
/.setpriv --no-new-privs --bounding-set="$capabilities" --inh-caps=-all "$@"
exit $?
