#!/bin/sh
# Installs Debian packages into an image and removes what would differ between two builds: logs, caches,
# bytecode, Java's copy of the certificates. Adds the user that every image runs as.
set -eu
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/cache/debconf /var/cache/fontconfig \
	/var/log/* /var/lib/dpkg/*-old /etc/*- /etc/machine-id /etc/ssl/certs/java/cacerts /tmp/* /root/.[a-z]*
find /usr /var /etc -name __pycache__ -prune -exec rm -r {} +
echo 'tidemill:x:10001:10001::/tmp:/usr/sbin/nologin' >>/etc/passwd
echo 'tidemill:x:10001:' >>/etc/group
