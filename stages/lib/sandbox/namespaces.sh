# Inside fresh user, mount, pid, net and ipc namespaces: a root of /usr alone, then the program without capabilities.
set -e
mount -t tmpfs -o size=16m,nr_inodes=2048,mode=755 tmpfs /mnt
cd /mnt
mkdir usr proc dev tmp old
chmod 1777 tmp
mount --rbind /usr usr
mount -o remount,bind,ro usr
for name in bin lib lib64 sbin; do [ ! -e "/$name" ] || ln -s "usr/$name" "$name"; done
if [ -n "$1" ]; then # an interpreter that lives outside /usr
  mkdir -p ".$1"
  mount --bind "$1" ".$1"
  mount -o remount,bind,ro ".$1"
fi
shift
touch dev/null
mount --bind /dev/null dev/null
mount -t proc proc proc
pivot_root . old
umount -l /old
rmdir /old
cd /tmp
exec "$@"
