import type { Pod } from '../../../src/kube/types.ts';
import type { PodCase } from '../support/pod-table.ts';
import { FAILED, READY, UNREADY } from './endings.ts';

const statusOf = (pod: Pod, name: string) => pod.status?.containerStatuses?.find((status) => status.name === name);
const isReady = (pod: Pod): boolean => conditionOf(pod, 'Ready') === 'True';
const conditionOf = (pod: Pod, type: string) =>
  pod.status?.conditions?.find((condition) => condition.type === type)?.status;

/** Section 2 of what a pod may expect: probes. */
export const probes: readonly PodCase[] = [
  {
    pod: 'startup-gates',
    shows: 'liveness begins when the startup probe has passed',
    until: isReady,
    expected: ['Running', READY, 'c: running'],
    events: [/^Unhealthy c: Startup probe failed: cat: can't open '\/tmp\/up'/],
  },
  {
    pod: 'startup-fails',
    shows: 'a startup probe that fails for good ends the container',
    expected: ['Failed', FAILED, 'c: 4 Error'],
    logs: { c: 'TERM\n' },
    events: ['Unhealthy c: Startup probe failed: not up\n'],
  },
  {
    pod: 'liveness-one-of-two',
    shows: 'a liveness failure restarts one container of two',
    until: (pod) => (statusOf(pod, 'sick')?.restartCount ?? 0) > 0 && isReady(pod),
    expected: ['Running', READY, 'sick: running, restarts 1, last 4 Error', 'well: running'],
    logs: { 'sick --previous': 'TERM\n' },
    events: [
      'Unhealthy sick: Liveness probe failed: ',
      'Killing sick: Container sick failed liveness probe, will be restarted',
    ],
  },
  {
    pod: 'readiness-changes',
    shows: 'the conditions follow the readiness of a container both ways',
    async act(pod) {
      await pod.until('ready', isReady);
      await pod.until('not ready again', (seen) => !isReady(seen));
    },
    until: (pod) => !isReady(pod),
    expected: ['Running', UNREADY('c'), 'c: running, not ready', 'other: running'],
  },
  {
    pod: 'http-and-tcp',
    shows: 'probes by HTTP and TCP, on named ports, with the words of a kubelet',
    async act(pod) {
      await pod.until('web is ready', (seen) => statusOf(seen, 'web')?.ready === true);
      await pod.until('all have started', (seen) => statusOf(seen, 'closed')?.started === true);
    },
    until: (pod) => statusOf(pod, 'web')?.ready === true && conditionOf(pod, 'Ready') === 'False',
    events: [
      /^Unhealthy not-found: Readiness probe failed: HTTP probe failed with statuscode: 404$/,
      /^Unhealthy closed: Readiness probe failed: dial tcp .*: connect: connection refused$/,
    ],
    expected: [
      'Running',
      UNREADY('not-found closed'),
      'closed: running, not ready',
      'not-found: running, not ready',
      'web: running',
    ],
  },
  {
    pod: 'readiness-gate',
    shows: 'a pod with a gate is Ready when its condition is set',
    async act(pod) {
      await pod.until('its containers are ready', (seen) => conditionOf(seen, 'ContainersReady') === 'True');
      const gate = { type: 'example.org/open', status: 'True' };
      const before = conditionOf(pod.seen().at(-1) ?? {}, 'Ready');
      await pod.patch({ status: { conditions: [gate] } }, 'status');
      return `Ready ${before}`;
    },
    until: isReady,
    heard: 'Ready False',
    expected: [
      'Running',
      /^(example\.org\/open True, )?PodReadyToStartContainers True, Initialized True, Ready True, ContainersReady True, PodScheduled True(, example\.org\/open True)?$/,
      'c: running',
    ],
  },
  {
    pod: 'probe-times-out',
    shows: 'a probe over its time fails, and its program is ended',
    expected: ['Failed', FAILED, 'c: 4 Error'],
    logs: { c: '' },
  },
];
