#!/usr/bin/env bash
# The model test between servers of other versions and makes, in both phases' directions: what is mirrored from Redis 6.0 to Redis 7 and to Redis 8, from Redis 7 to Redis 8, and from Redis 8 to Valkey 8, is equal in the end; and what only newer
# servers can show. Where the newer servers cannot be fetched nothing is tested, where the old one cannot be the others are, which is said and is no failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
servers=$PWD/node_modules/.servers
bash scripts/other-servers.sh "$servers" || exit 0
status=0
for pair in "$servers/redis-server-6 redis-server" "$servers/redis-server-6 $servers/redis-server-8" "redis-server $servers/redis-server-8" "$servers/redis-server-8 $servers/valkey-server-8"; do
  read -r source target <<<"$pair"
  command -v "$source" >/dev/null || continue
  echo "from ${source##*/} to ${target##*/}:"
  MODEL_SOURCE=$source MODEL_TARGET=$target vitest run --retry=1 --reporter=dot test/mirror/model.test.ts -t 'some keys renamed' || status=1
done
echo 'what only Redis 8 knows:'
MODEL_SOURCE=$servers/redis-server-8 MODEL_TARGET=$servers/redis-server-8 vitest run --retry=1 --reporter=dot test/mirror/newer-servers.test.ts || status=1
exit $status
