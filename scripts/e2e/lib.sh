# shellcheck shell=bash
# What the scripts beside this one share. Source it first.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

E2E_SCRIPTS=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
E2E_DIR=${INTERLINK_E2E_DIR:-/var/lib/interlink-e2e}
E2E_CACHE=${INTERLINK_E2E_CACHE:-/var/cache/interlink-e2e}
E2E_USER=${INTERLINK_E2E_USER:-hpc}
E2E_PORT=${INTERLINK_E2E_PORT:-26443}
export E2E_SCRIPTS E2E_DIR E2E_CACHE E2E_USER E2E_PORT

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
die() { say "$*" >&2; exit 1; }
# The part cannot be had on this machine, for the reason given: not an error, but never a success either.
unavailable() { say "not available: $*" >&2; exit 77; }

# program_of PID: the first word of the command line, empty when there is no such process (any more).
program_of() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | head -1 || :; }

# running PIDFILE PROGRAM: whether the process in the file is (still) that program; the number may long be another process's.
running() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ -e "/proc/$pid/exe" ] && [ "$(basename "$(program_of "$pid")")" = "$(basename "$2")" ]
}

# stop PIDFILE PROGRAM: ends it, by force after five seconds (an API server with open watches takes a minute by itself).
stop() {
  local pid
  if running "$1" "$2"; then
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || :
    for _ in $(seq 100); do [ -e "/proc/$pid/exe" ] || break; sleep .05; done
    [ ! -e "/proc/$pid/exe" ] || kill -9 "$pid" 2>/dev/null || :
    while [ -e "/proc/$pid/exe" ]; do sleep .05; done
  fi
  rm -f "$1"
}

# start PIDFILE LOG PROGRAM ARG...: starts a daemon; leaves one with this very command line alone and replaces one with another.
start() {
  local file=$1 log=$2 program=$3
  shift 2
  if running "$file" "$program" && printf '%s\0' "$@" | cmp -s - "/proc/$(cat "$file")/cmdline"; then return 0; fi
  stop "$file" "$program"
  (cd / && exec setsid "$@" >>"$log" 2>&1 </dev/null 9>&-) &
  echo $! >"$file"
}

# apt_install PACKAGE...: installs what is missing and starts no service.
apt_install() {
  local missing=() package policy=0 log=$E2E_DIR/apt.log
  local options=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || unavailable "no apt-get to install ${missing[*]} with"
  say "installing ${missing[*]}"
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; policy=1; }
  # The package lists of a fresh machine are missing or stale, hence the second attempt.
  apt-get "${options[@]}" install "${missing[@]}" >"$log" 2>&1 ||
    { apt-get -qq update >>"$log" 2>&1 && apt-get "${options[@]}" install "${missing[@]}" >>"$log" 2>&1; } ||
    { tail -20 "$log" >&2; [ $policy = 0 ] || rm -f /usr/sbin/policy-rc.d; die "cannot install ${missing[*]}"; }
  [ $policy = 0 ] || rm -f /usr/sbin/policy-rc.d
}
