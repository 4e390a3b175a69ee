#!/bin/sh
# A small Slurm of files: sbatch, squeue, scancel, sacct and sinfo by the name it is called under. It really runs the scripts, one process each.
# State is in $SCRIPTED_SLURM: jobs/ID/row (what squeue shows), ledger (one line per job taken), calls (one line per command).
# A file fault-COMMAND makes that command misbehave: its words are the fault and, optionally, how many times.
#   sbatch:  hang | banner | garbage | error0 | refuse | unreachable | lost (takes the job, then fails) | late (takes it after its caller gave up)
#            id-and-fail | killed (takes the job, then dies)
#   squeue:  hang | garbage | error0 | fail | empty | half
#   sacct:   off (default) | on | fail
# A file hold keeps jobs pending.
set -u
S=$SCRIPTED_SLURM
me=${0##*/}
X=$(printf '\037')
echo "$me $*" >>"$S/calls"

fault=
if [ -f "$S/fault-$me" ]; then
  read -r fault times <"$S/fault-$me" || :
  if [ -n "${times:-}" ]; then
    if [ "$times" -le 1 ]; then rm -f "$S/fault-$me"; else echo "$fault $((times - 1))" >"$S/fault-$me"; fi
  fi
fi

now() { date -u +%Y-%m-%dT%H:%M:%S; }

# row ID STATE EXIT REASON START END
row() {
  d=$S/jobs/$1
  printf '%s' "$1$X$2$X$3$X$4$X$5$X$6${X}1:00:00${X}n1$X$(cat "$d/name")$X$(cat "$d/comment")$X" >"$d/row.$$"
  echo >>"$d/row.$$"
  mv "$d/row.$$" "$d/row"
}

stateOf() { cut -d "$X" -f 2 <"$S/jobs/$1/row"; }

run() {
  id=$1 d=$S/jobs/$1
  # The leader of a session of its own, by which a test ends all that a job has started.
  echo $$ >>"$S/sessions"
  while [ -f "$S/hold" ] || older "$id"; do
    [ -f "$d/cancelled" ] && exit 0
    sleep 0.05
  done
  mv "$d/pending" "$d/starting" 2>/dev/null || exit 0
  start=$(now)
  row "$id" RUNNING 0 None "$start" N/A
  cd "$(cat "$d/chdir")" || exit 1
  SLURM_JOB_ID=$id sh "$(cat "$d/script")" >>batch.out 2>&1 &
  child=$!
  echo $child >"$d/pid"
  wait $child
  code=$?
  if [ -f "$d/cancelled" ]; then row "$id" CANCELLED 15 None "$start" "$(now)"
  elif [ -f "$S/end-as" ]; then row "$id" "$(cat "$S/end-as")" 15 None "$start" "$(now)"
  elif [ $code -eq 0 ]; then row "$id" COMPLETED 0 None "$start" "$(now)"
  else row "$id" FAILED $((code * 256)) NonZeroExitCode "$start" "$(now)"
  fi
}

# Whether an older job of the same name has not ended: --dependency=singleton.
older() {
  for other in "$S"/jobs/*/; do
    n=${other%/} n=${n##*/}
    [ "$n" -lt "$1" ] && cmp -s "$other/name" "$S/jobs/$1/name" || continue
    case $(stateOf "$n") in PENDING | RUNNING) return 0 ;; esac
  done
  return 1
}

take() {
  # A real sbatch has handed the job over in one message; it cannot be killed half-way.
  trap '' TERM
  id=1
  # Making the directory takes the number: no lock that a killed sbatch could leave behind.
  until [ ! -d "$S/purged/$id" ] && mkdir "$S/jobs/$id" 2>/dev/null; do id=$((id + 1)); done
  d=$S/jobs/$id
  for argument; do
    case $argument in
      --job-name=*) echo "${argument#*=}" >"$d/name" ;;
      --comment=*) echo "${argument#*=}" >"$d/comment" ;;
      --chdir=*) echo "${argument#*=}" >"$d/chdir" ;;
      -*) ;;
      *) echo "$argument" >"$d/script" ;;
    esac
  done
  : >"$d/pending"
  row $id PENDING 0 Priority N/A N/A
  echo "$(cat "$d/name") $id" >>"$S/ledger"
  setsid sh "$0" --run "$id" >/dev/null 2>&1 </dev/null &
  trap - TERM
}

case $me in
  sbatch)
    if [ "${1:-}" = --run ]; then run "$2"; exit; fi
    case $fault in
      hang) sleep 20; exit 1 ;;
      garbage) echo 'Welcome to the cluster'; exit 0 ;;
      error0) echo 'sbatch: error: Batch job submission failed: something' >&2; exit 0 ;;
      refuse) echo 'sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified' >&2; exit 1 ;;
      unreachable) echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1 ;;
      late) (trap '' TERM; sleep 1.3; take "$@") >/dev/null 2>&1 </dev/null & sleep 20; exit 1 ;;
    esac
    take "$@"
    case $fault in
      banner) echo 'lua: setting default partition' >&2 ;;
      lost) echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1 ;;
      id-and-fail) echo $id; exit 1 ;;
      killed) kill -9 $$ ;;
    esac
    echo $id
    ;;
  squeue)
    case $fault in
      hang) sleep 20; exit 1 ;;
      garbage) echo 'Welcome to the cluster'; exit 0 ;;
      error0) echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 0 ;;
      fail) echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1 ;;
      empty) exit 0 ;;
      half) echo 'some line that is no row' ;;
    esac
    cat "$S"/jobs/*/row 2>/dev/null
    exit 0
    ;;
  scancel)
    signal='' pending=''
    for argument; do
      case $argument in
        --signal=*) signal=${argument#*=} ;;
        --state=PENDING) pending=1 ;;
        --batch) ;;
        *) id=$argument ;;
      esac
    done
    d=$S/jobs/$id
    [ -d "$d" ] || exit 0
    if mv "$d/pending" "$d/cancelled" 2>/dev/null; then row "$id" CANCELLED 0 None N/A "$(now)"; exit 0; fi
    [ -n "$pending" ] && exit 0
    case $(stateOf "$id") in RUNNING) ;; *) exit 0 ;; esac
    [ -n "$signal" ] || : >"$d/cancelled"
    until [ -s "$d/pid" ]; do sleep 0.01; done
    kill -"${signal:-TERM}" "$(cat "$d/pid")" 2>/dev/null
    if [ -z "$signal" ]; then (sleep 0.3; kill -KILL "$(cat "$d/pid")" 2>/dev/null) >/dev/null 2>&1 </dev/null & fi
    exit 0
    ;;
  sacct)
    case $fault in
      on) ;;
      fail) echo 'sacct: error: slurm_persist_conn_open: Connection refused' >&2; exit 1 ;;
      *) echo 'Slurm accounting storage is disabled' >&2; exit 1 ;;
    esac
    for argument; do case $argument in --name=*) names=,${argument#*=}, ;; esac; done
    for other in "$S"/jobs/*/ "$S"/purged/*/; do
      [ -f "$other/row" ] || continue
      case $names in *,$(cat "$other/name"),*) ;; *) continue ;; esac
      tr "$X" '|' <"$other/row" | while IFS='|' read -r id state exit reason start end limit node name rest; do
        echo "$id$X$state$X$((exit / 256)):$((exit % 256))$X$reason$X$start$X$end$X$limit$X$node$X$name"
      done
    done
    ;;
  sinfo)
    cat "$S/sinfo"
    ;;
esac
