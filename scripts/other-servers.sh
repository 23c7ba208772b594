#!/usr/bin/env bash
# Fetches servers of other versions and makes than the system's, for tests between them: Redis 6.0 from an older suite of Debian, Redis 8 and Valkey 8 from a newer one, by the mirror that
# the system uses already. Nothing is installed: packages are unpacked into DIR with the C library they were built for.
#
#   scripts/other-servers.sh DIR      then: DIR/redis-server-6, DIR/redis-server-8, DIR/valkey-server-8
#
# Exits with 1, and says why, where there is no Debian, no mirror, or a newer server that does not run. The older one may be missing: its suite will leave the mirrors one day, which is said and is no failure.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
have() { for server in "$@"; do [ -x "$dir/$server" ] || return 1; done; }
have redis-server-6 redis-server-8 valkey-server-8 && exit 0
give_up() { echo "not all servers of other versions are there: $1" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up 'this is no Debian'
mirror=$(grep -hoE '^(URIs:|deb) .*' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -oE 'https?://[^ ]+/debian' | head -1 || true)
[ -n "$mirror" ] || give_up 'the package mirror is not known'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

apt() {
  timeout 90 apt-get -qq -o Dir::Etc::sourcelist="$at/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$at/lists" \
    -o Dir::Cache="$at/cache" -o APT::Sandbox::User=root "$@" >"$at/said" 2>&1 || give_up "$(tail -1 "$at/said")"
}

# fetch SUITE VERSION LIBRARIES KIND...: the servers of these kinds in the suite's packages KIND-tools, as DIR/KIND-server-VERSION.
fetch() {
  suite=$1 version=$2 libraries=$3
  shift 3
  at=$work/$suite lib=$dir/lib-$suite
  mkdir -p "$at"/{lists/partial,cache/archives/partial,debs,root}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$at/sources.list"
  apt update
  cd "$at/debs"
  # shellcheck disable=SC2046,SC2086
  apt download $(for name in $(printf '%s-tools ' "$@") $libraries; do echo "$name/$suite"; done)
  for deb in *.deb; do dpkg -x "$deb" "$at/root"; done

  # Older suites have some libraries below /lib, newer ones all below /usr/lib.
  libc=$(find "$at/root" -name 'libc.so.6' | head -1)
  machine=$(basename "$(dirname "$libc")")
  rm -rf "$lib"
  mkdir "$lib"
  for part in "$at/root/usr/lib/$machine" "$at/root/lib/$machine"; do [ ! -d "$part" ] || cp -a "$part/." "$lib"; done
  loader=$(basename "$(find "$at/root" -name 'ld-linux*.so.*' | head -1)")
  [ -e "$lib/$loader" ] || cp -L "$(find "$at/root" -name "$loader" | head -1)" "$lib/$loader"
  for kind in "$@"; do
    # The server is the program that checks its files, by another name.
    cp -L "$at/root/usr/bin/$kind-check-rdb" "$lib/$kind-server"
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$lib/$loader" "$lib" "$lib/$kind-server" >"$at/server"
    chmod 755 "$at/server"
    "$at/server" --version >/dev/null 2>&1 || give_up "$kind-server $version does not run here"
    mv "$at/server" "$dir/$kind-server-$version"
  done
}

have redis-server-8 valkey-server-8 ||
  fetch trixie 8 'libc6 libssl3t64 libstdc++6 libgcc-s1 libsystemd0 libjemalloc2 liblzf1 libatomic1 libcap2 zlib1g libzstd1' redis valkey
# In a shell of its own, which alone ends where that cannot be had.
have redis-server-6 ||
  (fetch bullseye 6 'libc6 libssl1.1 libstdc++6 libgcc-s1 libsystemd0 libjemalloc2 liblzf1 libatomic1 liblua5.1-0 lua-cjson lua-bitop libgcrypt20 libgpg-error0 liblzma5 liblz4-1 libzstd1' redis) ||
  true
