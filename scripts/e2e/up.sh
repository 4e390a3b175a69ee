#!/usr/bin/env bash
# up.sh [PART...] - brings up what the end-to-end tests run on, as root on a bare Debian 12: a Kubernetes control plane, Slurm, Apptainer,
# an image, a registry, Podman and Charliecloud. Safe to repeat: what runs as it should is left alone. Nothing of the machine's own Kubernetes or Slurm
# is touched.
#
#   E2E_DIR/parts/PART     "ok", or why the part cannot be had here; the tests that need it are then skipped with that reason
#   E2E_DIR/env.sh         KUBECONFIG, SLURM_CONF and PATH for a look by hand
#
# INTERLINK_E2E_DIR (/var/lib/interlink-e2e), INTERLINK_E2E_CACHE (/var/cache/interlink-e2e), INTERLINK_E2E_USER (hpc: the user that
# submits), INTERLINK_E2E_PORT (26443: the first of nine ports on 127.0.0.1), INTERLINK_E2E_ACCOUNTING=1 (slurmdbd too, for sacct)
. "$(dirname "$(readlink -f "$0")")/lib.sh"
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(user kube slurm apptainer image registry podman charliecloud)

mkdir -p "$E2E_DIR/parts" 2>/dev/null || die "cannot write $E2E_DIR: run as root, or set INTERLINK_E2E_DIR"
exec 9>"$E2E_DIR/lock"
flock -w 1800 9 || die "another up.sh or down.sh is running"

failed=0
for part in "${parts[@]}"; do
  [ -x "$E2E_SCRIPTS/part/$part.sh" ] || die "no such part: $part"
  from=$(date +%s%N) log=$E2E_DIR/$part.log code=0
  "$E2E_SCRIPTS/part/$part.sh" >"$log" 2>&1 || code=$?
  took="$((($(date +%s%N) - from) / 10000000))e-2"
  case $code in
    0) echo ok >"$E2E_DIR/parts/$part"; printf 'up: %-10s %7.2f s  %s\n' "$part" "$took" "$(tail -1 "$log")" ;;
    77) sed -n 's/.*not available: //p' "$log" | tail -1 >"$E2E_DIR/parts/$part"
      printf 'up: %-10s %7.2f s  not available: %s\n' "$part" "$took" "$(cat "$E2E_DIR/parts/$part")" ;;
    *) echo "its set-up failed, see $log" >"$E2E_DIR/parts/$part"; failed=1
      printf 'up: %-10s %7.2f s  FAILED, %s ends with:\n' "$part" "$took" "$log"; tail -30 "$log" ;;
  esac
done

cat >"$E2E_DIR/env.sh" <<E
export KUBECONFIG=$E2E_DIR/kube/admin.kubeconfig SLURM_CONF=$E2E_DIR/slurm/etc/slurm.conf
case :\$PATH: in *:$E2E_DIR/kube/bin:*) ;; *) PATH=$E2E_DIR/kube/bin:\$PATH ;; esac
E
exit $failed
