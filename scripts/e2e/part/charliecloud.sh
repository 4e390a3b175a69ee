#!/usr/bin/env bash
# Charliecloud's program that pulls, ch-image, and the Python modules that Debian's package leaves to chance.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
# Of the programs named python3 the machine's own is meant.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin USER=root
ch-image --version >/dev/null 2>&1 || apt_install charliecloud-builders charliecloud-runtime python3-lark python3-requests
say "ch-image $(ch-image --version 2>&1)"
