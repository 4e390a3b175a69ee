#!/usr/bin/env bash
# down.sh [--purge] - stops what up.sh started, by its own pid files, and nothing else; --purge also removes the state. The cache stays.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[ -d "$E2E_DIR" ] || { say "nothing in $E2E_DIR"; exit 0; }
exec 9>"$E2E_DIR/lock"
flock -w 1800 9 || die "another up.sh or down.sh is running"

slurm=$E2E_DIR/slurm
export SLURM_CONF=$slurm/etc/slurm.conf
if running "$slurm/run/slurmctld.pid" slurmctld; then
  # The controller ends the jobs within KillWait; what is left after that is ended through its cgroup.
  timeout 10 squeue -h -o %A 2>/dev/null | sort -u | xargs -r timeout 20 scancel 2>/dev/null || :
  for _ in $(seq 80); do [ -n "$(timeout 5 squeue -h -o %A 2>/dev/null | head -1)" ] || break; sleep .1; done
fi
for file in "$slurm"/run/slurmd.*.pid; do
  [ -e "$file" ] || continue
  node=$(basename "$file" .pid)
  node=${node#slurmd.}
  stop "$file" slurmd
  for tasks in /sys/fs/cgroup/freezer/slurm_"$node"/uid_*/job_*/step_*/cgroup.procs; do
    [ ! -e "$tasks" ] || while read -r pid; do kill -9 "$pid" 2>/dev/null || :; done <"$tasks"
  done
done
rmdir /sys/fs/cgroup/cpu/interlink-e2e-workers 2>/dev/null || :
stop "$slurm/run/slurmctld.pid" slurmctld
stop "$slurm/run/slurmdbd.pid" slurmdbd
stop "$slurm/run/mariadbd.pid" mariadbd
stop "$slurm/run/munged.pid" munged
stop "$E2E_DIR/registry/pid" docker-registry
for name in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop "$E2E_DIR/kube/run/$name.pid" "$name"; done
rm -rf "$E2E_DIR/parts"
if [ "${1:-}" = --purge ]; then
  rm -rf --one-file-system "${E2E_DIR:?}"/{kube,slurm,images,registry,stack,user,env.sh}
fi
say "stopped${1:+ ($1)}"
