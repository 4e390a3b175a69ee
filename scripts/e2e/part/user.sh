#!/usr/bin/env bash
# The plain user that submits, with subordinate ids for containers that run as another user.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
id "$E2E_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$E2E_USER"
for kind in uid gid; do
  grep -q "^$E2E_USER:" "/etc/sub$kind" 2>/dev/null && continue
  first=$(awk -F: '{ end = $2 + $3; if (end > next_free) next_free = end } END { print (next_free > 100000 ? next_free : 100000) }' "/etc/sub$kind" 2>/dev/null || echo 100000)
  echo "$E2E_USER:$first:65536" >>"/etc/sub$kind"
done
say "$(id "$E2E_USER"), subuid $(grep "^$E2E_USER:" /etc/subuid | head -1)"
