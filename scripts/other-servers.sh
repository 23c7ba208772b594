#!/usr/bin/env bash
# Fetches servers of other versions and makes than the system's, for tests between them: Redis 8 and Valkey 8 from newer suites of Debian, by the mirror that the system
# uses already. Nothing is installed: packages are unpacked into DIR with the C library they were built for.
#
#   scripts/other-servers.sh DIR      then: DIR/redis-server-8, DIR/valkey-server-8
#
# Exits with 1, and says why, where there is no Debian, no mirror, or a server that does not run.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ -x "$dir/redis-server-8" ] && [ -x "$dir/valkey-server-8" ] && exit 0
give_up() { echo "no servers of other versions: $1" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up 'this is no Debian'
mirror=$(grep -hoE '^(URIs:|deb) .*' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -oE 'https?://[^ ]+/debian' | head -1 || true)
[ -n "$mirror" ] || give_up 'the package mirror is not known'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
apt() {
  timeout 90 apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@" >"$work/said" 2>&1 || give_up "$(tail -1 "$work/said")"
}
apt update
cd "$work/debs"
libraries='libc6 libssl3t64 libstdc++6 libgcc-s1 libsystemd0 libjemalloc2 liblzf1 libatomic1 libcap2 zlib1g libzstd1'
# shellcheck disable=SC2086
apt download $(for name in redis-tools valkey-tools $libraries; do echo "$name/trixie"; done)
for deb in *.deb; do dpkg -x "$deb" "$work/root"; done

machine=$(basename "$(dirname "$(find "$work/root/usr/lib" -name 'libc.so.6' | head -1)")")
loader=$(basename "$(find "$work/root/usr/lib" "$work/root/usr/lib64" -name 'ld-linux*.so.*' 2>/dev/null | head -1)")
rm -rf "$dir/lib"
cp -a "$work/root/usr/lib/$machine" "$dir/lib"
[ -e "$dir/lib/$loader" ] || cp -L "$(find "$work/root" -name "$loader" | head -1)" "$dir/lib/$loader"
for kind in redis valkey; do
  # The server is the program that checks its files, by another name.
  cp -L "$work/root/usr/bin/$kind-check-rdb" "$dir/$kind.program"
  printf '#!/bin/sh\nexec "%s" --argv0 %s-server --library-path "%s" "%s" "$@"\n' \
    "$dir/lib/$loader" "$kind" "$dir/lib" "$dir/$kind.program" >"$dir/$kind-server-8"
  chmod 755 "$dir/$kind-server-8"
  "$dir/$kind-server-8" --version >/dev/null 2>&1 || { rm "$dir/$kind-server-8"; give_up "$kind-server does not run here"; }
done
