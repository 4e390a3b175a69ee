import { stateOf } from '../support/pod.ts';
import type { LivePod, PodCase } from '../support/pod-table.ts';
import { jobsOfPods, slurm } from '../support/slurm.ts';
import { COMPLETED, FAILED, FAILED_BEFORE, UNREADY } from './endings.ts';

/** Deletes the pod when it says that it is up; tells what it has written until its end. */
async function deleteWhenUp(pod: LivePod): Promise<string> {
  await pod.untilLog('c', 'up\n');
  const said = pod.follow('c');
  await pod.delete();
  return said;
}

/** Section 1 of what a pod may expect: restarts, init containers, native sidecars, hooks, deadlines, ends. */
export const lifecycle: readonly PodCase[] = [
  {
    pod: 'never-two',
    shows: 'a failed container of two makes the pod fail when both have ended',
    expected: ['Failed', FAILED, 'bad: 3 Error', 'good: 0 Completed'],
    logs: { good: 'good\n', bad: 'bad\n' },
    events: ['Created good: Container created', 'Started bad: Container started'],
  },
  {
    pod: 'onfailure-second-try',
    shows: 'a container that failed is restarted at once, and its first attempt can be read',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed, restarts 1, last 7 Error', 'done: 0 Completed'],
    logs: { c: 'second\n', 'c --previous': 'first\n' },
  },
  {
    pod: 'always-crashes',
    shows: 'a container that fails twice is held back with CrashLoopBackOff, the other one is left alone',
    until: (pod) => waits(pod, 'c', 'CrashLoopBackOff'),
    expected: [
      'Running',
      UNREADY('c'),
      'c: waiting CrashLoopBackOff "back-off 10s restarting failed container=c pod=always-crashes_NAMESPACE(UID)", restarts 1, last 5 Error, id',
      'lives: running',
    ],
    logs: { c: 'up\n', 'c --previous': 'up\n' },
    events: ['BackOff c: Back-off restarting failed container c in pod always-crashes_NAMESPACE(UID)'],
  },
  {
    pod: 'always-completes',
    shows: 'under Always exit code 0 has the same back-off',
    until: (pod) => waits(pod, 'c', 'CrashLoopBackOff'),
    expected: [
      'Running',
      UNREADY('c'),
      'c: waiting CrashLoopBackOff "back-off 10s restarting failed container=c pod=always-completes_NAMESPACE(UID)", restarts 1, last 0 Completed, id',
    ],
  },
  {
    pod: 'init-second-try',
    shows: 'a failed init container is run again, those before it are not',
    expected: [
      'Succeeded',
      COMPLETED,
      'once: 0 Completed, ready',
      'twice: 0 Completed, ready, restarts 1, last 4 Error',
      'c: 0 Completed',
    ],
    logs: { c: 'x\n' },
  },
  {
    pod: 'init-fails-never',
    shows: 'a failed init container ends a Never pod before its containers',
    expected: ['Failed', FAILED_BEFORE('i'), 'i: 4 Error', 'c: waiting PodInitializing'],
  },
  {
    pod: 'sidecar-never',
    shows: 'a Never pod with a native sidecar completes, and the sidecar is stopped cleanly',
    expected: ['Succeeded', COMPLETED, 'side: 0 Completed', 'main: 0 Completed'],
    logs: { side: 'side up\nside stops\n', main: 'main done\n' },
    events: ['Killing side: Stopping container side'],
  },
  {
    pod: 'sidecars-order',
    shows:
      'sidecars start in order with their startup probes, stop in reverse order, and their exit codes do not count',
    expected: [
      'Succeeded',
      COMPLETED,
      'first: 9 Error',
      'between: 0 Completed, ready',
      'second: 0 Completed',
      'main: 0 Completed',
    ],
    logs: { first: 'first\nbetween\nsecond\nmain\nsecond stops\nfirst stops\n' },
  },
  {
    pod: 'sidecar-restarts',
    shows: 'a native sidecar that fails is restarted in a Never pod too',
    expected: ['Succeeded', COMPLETED, 'side: 0 Completed, restarts 1, last 2 Error', 'main: 0 Completed'],
    logs: { main: 'seen\n' },
  },
  {
    pod: 'deadline',
    shows: 'the active deadline ends a pod that would be restarted, sidecars after the containers',
    expected: [
      'Failed DeadlineExceeded "Pod was active on the node longer than the specified deadline"',
      FAILED,
      'side: 0 Completed',
      'main: 3 Error',
    ],
    logs: { side: 'side stops\n', main: 'main stops\n' },
  },
  {
    pod: 'time-limit',
    shows: 'the time limit of the batch system is a deadline, and sidecars are stopped cleanly',
    sites: ['slurm'],
    expected: [/^Failed DeadlineExceeded ".*(time limit|TIMEOUT).*"$/, FAILED, 'side: 0 Completed', 'main: 3 Error'],
    logs: { side: 'side stops\n', main: 'main stops\n' },
  },
  {
    pod: 'cancelled',
    shows:
      'a SIGTERM of the batch system stops the containers gracefully, and the pod counts as disrupted, not as done',
    sites: ['slurm'],
    async act(pod) {
      await pod.untilLog('main', 'up\n');
      const [job] = await jobsOfPods([pod.seen().at(-1)?.metadata?.uid ?? '']);
      await slurm('scancel', '--batch', '--signal=TERM', job?.id ?? '');
    },
    expected: [
      /^Failed Terminated ".+"$/,
      new RegExp(`^DisruptionTarget True TerminationByKubelet ".+", ${FAILED}$`),
      'side: 0 Completed',
      'main: 0 Completed',
    ],
    logs: { side: 'side stops\n', main: 'up\nmain stops\n' },
  },
  {
    pod: 'delete-graceful',
    shows: 'a deleted pod may end by itself within its grace period',
    act: deleteWhenUp,
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    heard: 'up\nTERM\n',
  },
  {
    pod: 'ignores-term',
    shows: 'a process that ignores SIGTERM is killed after the grace period',
    async act(pod) {
      await pod.untilLog('c', 'up\n');
      const from = performance.now();
      await pod.delete();
      const seconds = (performance.now() - from) / 1000;
      return seconds >= 3 && seconds < 13 ? 'in time' : `after ${seconds} s`;
    },
    expected: ['Failed', FAILED, 'c: 137 Error'],
    heard: 'in time',
  },
  {
    pod: 'poststart',
    shows: 'postStart runs in the container',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    logs: { c: 'poststart\n' },
  },
  {
    pod: 'poststart-fails',
    shows: 'a failed postStart ends the container',
    expected: ['Failed', FAILED, 'c: 6 Error'],
    logs: { c: 'TERM\n' },
    events: ['FailedPostStartHook c: PostStartHook failed', 'Killing c: FailedPostStartHook'],
  },
  ...['prestop-exec', 'prestop-http'].map((pod) => ({
    pod,
    shows: `${pod}: what the hook writes is in the log before what SIGTERM brings`,
    act: deleteWhenUp,
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    heard: 'up\nhook\nTERM\n',
  })),
  {
    pod: 'prestop-sleep',
    shows: 'SIGTERM comes after the pause of preStop',
    async act(pod) {
      const from = performance.now();
      const said = await deleteWhenUp(pod);
      return `${said}${performance.now() - from >= 2000 ? 'late' : 'early'}`;
    },
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    heard: 'up\nTERM\nlate',
  },
];

function waits(pod: Parameters<typeof stateOf>[0], container: string, reason: string): boolean {
  return (stateOf(pod, container).waiting as { reason?: string } | undefined)?.reason === reason;
}
