#!/bin/sh
# Stands in for `interlink runner .`: claims the job, does what the pod's first command says (a line of shell), and writes records as the runner does.
mkdir claim 2>/dev/null || exit 0
echo "${PWD##*/} ${SLURM_JOB_ID:-none}" >>"${RUNNER_LEDGER:-/dev/null}"
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
uid=$(id -u)
started=$(now)
seq=0
record() {
  seq=$((seq + 1))
  printf '{"seq":%s,"time":"%s","status":{"sandbox":"%s",%s"nodeName":"n1","startTime":"%s","containers":[{"name":"c","image":"i","imageID":"","ready":false,"restartCount":0,"containerID":"fake://%064d","state":%s}],"initContainers":[]},"events":[]}\n' \
    "$seq" "$(now)" "$1" "${3:-}" "$started" "$uid" "$2" >>events.ndjson
}
line=$(sed -n 's/.*"command":\["\([^"]*\)".*/\1/p' pod.json)
record Ready "{\"running\":{\"startedAt\":\"$started\"}}"
mkdir -p containers/c
echo "$(date -u +%Y-%m-%dT%H:%M:%S.000000000Z) stdout F ran" >containers/c/0.log
sh -c "$line" &
child=$!
trap 'kill -TERM $child 2>/dev/null; stopped=1' TERM
wait $child
code=$?
[ -n "${stopped:-}" ] && { wait $child; code=143; }
case $line in *vanish*) exit "$code" ;; esac
end="{\"terminated\":{\"exitCode\":$code,\"reason\":\"$([ "$code" -eq 0 ] && echo Completed || echo Error)\",\"startedAt\":\"$started\",\"finishedAt\":\"$(now)\"}}"
record Ready "$end"
case $line in *unexplained*) why='"phase":"Failed","reason":"Terminated","message":"SIGTERM",' ;; esac
record Gone "$end" "${why:-}"
exit "$code"
