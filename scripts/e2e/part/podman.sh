#!/usr/bin/env bash
# Podman, of which only the pulling is used: neither a daemon nor a network nor an OCI runtime's features are needed.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
podman --version >/dev/null 2>&1 || apt_install podman uidmap
say "$(podman --version)"
