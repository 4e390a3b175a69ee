import type { PodCase } from '../support/pod-table.ts';
import { COMPLETED, FAILED, READY } from './endings.ts';

/** The pods that Tekton, Argo Workflows and dask-kubernetes make. */
export const shapes: readonly PodCase[] = [
  {
    pod: 'tekton',
    shows: 'Tekton: a step begins with an annotation, the next one with the end of the first',
    async act(pod) {
      await pod.until('both steps wait', ({ status }) =>
        Boolean(status?.containerStatuses?.every(({ state }) => state?.running)),
      );
      await pod.patch({ metadata: { annotations: { 'tekton.dev/ready': 'READY' } } });
    },
    expected: [
      'Succeeded',
      COMPLETED,
      'prepare: 0 Completed, ready',
      'place-scripts: 0 Completed, ready',
      'step-build: 0 Completed "[{"key":"code","value":"0","type":3}]"',
      'step-check: 0 Completed "[{"key":"code","value":"0","type":3}]"',
    ],
    logs: {
      'step-build': 'building in /workspace\n',
      'step-check': 'building in /workspace\n0\nan argument $(context.pipeline)\n',
    },
  },
  {
    pod: 'argo',
    shows: 'Argo: main runs by the program that init left, and wait sees its end',
    expected: ['Failed', FAILED, 'init: 0 Completed, ready', 'main: 3 Error', 'wait: 0 Completed'],
    logs: { main: 'hello\n', wait: '3\nhello\n' },
  },
  {
    pod: 'dask-scheduler',
    shows: 'dask-kubernetes: a scheduler with named ports is ready and stays alive',
    until: ({ status }) =>
      status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
    expected: ['Running', READY, 'scheduler: running'],
    logs: { scheduler: '--host 0.0.0.0 --dashboard-address :18087 $(NOT_SET)\n' },
  },
  {
    pod: 'dask-worker',
    shows: 'dask-kubernetes: a worker gets its arguments as they are meant',
    expected: ['Succeeded', COMPLETED, 'worker: 0 Completed'],
    logs: {
      worker:
        'dask-worker --name simple-default-worker-0a1b tcp://simple-scheduler.default.svc.cluster.local:18086 --resources GPU=1 x="y"\n',
    },
  },
];
