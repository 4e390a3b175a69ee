#!/usr/bin/env bash
# A Slurm cluster of four pretended nodes on this host, with its own munge, configuration and ports: another Slurm on the machine goes on
# as it is. Clients find it by SLURM_CONF. Far more CPUs and memory are declared than there are, so that a hundred small pods run at
# once. INTERLINK_E2E_ACCOUNTING=1 adds slurmdbd.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
apt_install munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins
accounting=${INTERLINK_E2E_ACCOUNTING:-0}
[ "$accounting" != 1 ] || apt_install slurmdbd mariadb-server-core mariadb-client-core

D=$E2E_DIR/slurm nodes=4 host=$(hostname -s)
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
install -d -m 755 "$D" "$D/etc" "$D/run" "$D/dev" "$D/munge"
install -d -m 755 -o slurm -g slurm "$D/state" "$D/log"
for i in $(seq $nodes); do install -d -m 755 "$D/spool.e$i"; done
# A GPU needs a device file, and as many files as are counted: clones of /dev/null.
for i in 0 1; do [ -c "$D/dev/gpu$i" ] || mknod -m 666 "$D/dev/gpu$i" c 1 3; done

# ------------------------------------------------------------------ munge
install -d -m 700 -o munge -g munge "$D/munge/private"
install -d -m 755 -o munge -g munge "$D/munge/socket"
key=$D/munge/private/key
[ -s "$key" ] || { head -c 128 /dev/urandom >"$key"; chmod 600 "$key"; chown munge:munge "$key"; }
if ! running "$D/munge/socket/munged.pid" munged; then
  rm -f "$D"/munge/socket/munge.socket*
  runuser -u munge -- /usr/sbin/munged --socket="$D/munge/socket/munge.socket" --key-file="$key" --pid-file="$D/munge/socket/munged.pid" \
    --log-file="$D/munge/private/log" --seed-file="$D/munge/private/seed" 9>&-
fi
ln -sfn ../munge/socket/munged.pid "$D/run/munged.pid"
munge -S "$D/munge/socket/munge.socket" -n | unmunge -S "$D/munge/socket/munge.socket" >/dev/null

# ------------------------------------------------------------------ configuration
v1=1
for controller in freezer memory cpuacct; do
  [ "$(stat -f -c %T "/sys/fs/cgroup/$controller" 2>/dev/null)" = cgroupfs ] || grep -q "^cgroup /sys/fs/cgroup/$controller cgroup " /proc/mounts || v1=0
done
if [ $v1 = 1 ]; then # tracking and memory limits are real
  track=proctrack/cgroup task=task/cgroup gather=jobacct_gather/cgroup
else # Slurm 22.05 wants systemd for cgroup v2: no memory limits then
  track=proctrack/linuxproc task=task/none gather=jobacct_gather/linux
fi
storage=AccountingStorageType=accounting_storage/none
[ "$accounting" != 1 ] || storage="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((E2E_PORT + 6))
AccountingStoragePass=$D/munge/socket/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"
last=$((E2E_PORT + 10 + nodes - 1))
cat >"$D/etc/slurm.conf.new" <<E
ClusterName=interlink-e2e
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((E2E_PORT + 5))
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired.
AuthInfo=socket=$D/munge/socket/munge.socket,cred_expire=5
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool.%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.%n.log
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=$track
TaskPlugin=$task
JobAcctGatherType=$gather
JobAcctGatherFrequency=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PriorityType=priority/basic
KillWait=5
OverTimeLimit=0
MinJobAge=300
MaxJobCount=50000
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.log
$storage
NodeName=e[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((E2E_PORT + 10))-$last] CPUs=64 RealMemory=64000 Gres=gpu:a100:2 State=UNKNOWN
PartitionName=main Nodes=e[1-$nodes] Default=YES MaxTime=7-0 DefaultTime=60 State=UP
E
cat >"$D/etc/cgroup.conf.new" <<'E'
CgroupPlugin=cgroup/v1
CgroupAutomount=no
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainDevices=no
E
echo "NodeName=e[1-$nodes] Name=gpu Type=a100 File=$D/dev/gpu[0-1]" >"$D/etc/gres.conf.new"
changed=0
for file in slurm cgroup gres; do
  if cmp -s "$D/etc/$file.conf.new" "$D/etc/$file.conf"; then rm -f "$D/etc/$file.conf.new"
  else mv -f "$D/etc/$file.conf.new" "$D/etc/$file.conf"; changed=1; fi
done
export SLURM_CONF=$D/etc/slurm.conf

# ------------------------------------------------------------------ accounting
if [ "$accounting" = 1 ]; then
  id mysql >/dev/null 2>&1 || useradd -r -M -d /nonexistent -s /usr/sbin/nologin mysql
  install -d -m 700 -o mysql -g mysql "$D/mysql"
  install -d -m 755 -o mysql -g mysql "$D/mysql-run"
  [ -d "$D/mysql/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$D/mysql" --skip-test-db --auth-root-authentication-method=socket >/dev/null
  sql() { mariadb --no-defaults -S "$D/mysql-run/socket" -e "$1"; }
  start "$D/run/mariadbd.pid" "$D/log/mariadbd.log" /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$D/mysql" --socket="$D/mysql-run/socket" \
    --pid-file="$D/mysql-run/pid" --bind-address=127.0.0.1 --port=$((E2E_PORT + 7)) --skip-log-bin --innodb-flush-log-at-trx-commit=0 --performance-schema=OFF
  for _ in $(seq 300); do ! sql 'SELECT 1' >/dev/null 2>&1 || break; sleep .1; done
  sql "CREATE DATABASE IF NOT EXISTS slurm; CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'e2e'; CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'e2e'; GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1'; GRANT ALL ON slurm.* TO 'slurm'@'localhost'"
  cat >"$D/etc/slurmdbd.conf" <<E
AuthType=auth/munge
AuthInfo=socket=$D/munge/socket/munge.socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((E2E_PORT + 6))
SlurmUser=slurm
LogFile=$D/log/slurmdbd.log
PidFile=$D/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((E2E_PORT + 7))
StorageUser=slurm
StoragePass=e2e
StorageLoc=slurm
E
  chown slurm:slurm "$D/etc/slurmdbd.conf"
  chmod 600 "$D/etc/slurmdbd.conf"
  running "$D/run/slurmdbd.pid" slurmdbd || slurmdbd 9>&-
  for _ in $(seq 300); do ! timeout 5 sacctmgr -n list cluster >/dev/null 2>&1 || break; sleep .1; done
  [ -n "$(sacctmgr -nP list cluster interlink-e2e format=cluster)" ] || sacctmgr -iQ add cluster interlink-e2e >/dev/null
  [ -n "$(sacctmgr -nP list account e2e format=account)" ] || sacctmgr -iQ add account e2e Cluster=interlink-e2e >/dev/null
  [ -n "$(sacctmgr -nP list user "$E2E_USER" format=user)" ] || sacctmgr -iQ add user "$E2E_USER" Account=e2e >/dev/null
fi

if [ "$accounting" != 1 ]; then
  stop "$D/run/slurmdbd.pid" slurmdbd
  stop "$D/run/mariadbd.pid" mariadbd
fi

# ------------------------------------------------------------------ the daemons; jobs survive their restart
if [ $changed = 1 ]; then
  stop "$D/run/slurmctld.pid" slurmctld
  for i in $(seq $nodes); do stop "$D/run/slurmd.e$i.pid" slurmd; done
fi
running "$D/run/slurmctld.pid" slurmctld || slurmctld -f "$SLURM_CONF" 9>&-
for i in $(seq $nodes); do running "$D/run/slurmd.e$i.pid" slurmd || slurmd -f "$SLURM_CONF" -N "e$i" 9>&-; done
# Real workers are other machines. Here a burst of starting jobs would take the CPUs away from the control plane and the login node, and the
# tests would measure that; so what the workers start gets the time that those leave.
workers=/sys/fs/cgroup/cpu/interlink-e2e-workers
if [ $v1 = 1 ] && mkdir -p "$workers" 2>/dev/null && [ -w "$workers/cpu.shares" ]; then
  echo 64 >"$workers/cpu.shares"
  for i in $(seq $nodes); do cat "$D/run/slurmd.e$i.pid" >"$workers/cgroup.procs"; done
fi
for _ in $(seq 150); do
  states=$(sinfo -h -N -o '%N %T' 2>/dev/null || :)
  [ "$(grep -cE ' (idle|mixed|allocated|completing)$' <<<"$states" || :)" != $nodes ] || { say "Slurm $(slurmctld -V | cut -d' ' -f2), $(sinfo -h -o '%D nodes, %C CPUs A/I/O/T, %m MB, %G')$([ $v1 = 1 ] || echo ', no memory limits: cgroup v1 is not mounted')"; exit 0; }
  # A drained state outlives the daemons.
  ! grep -qE ' (drain|down|inval|fail)' <<<"$states" || scontrol update nodename="e[1-$nodes]" state=resume 2>/dev/null || :
  sleep .2
done
sinfo -N -l
tail -5 "$D/log/slurmctld.log" "$D/log/slurmd.e1.log"
die "the nodes are not ready"
