import { expect, it } from 'vitest';
import { exitCodeOf } from '../../../src/cli/run/exit-code.ts';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { ContainerStatus, Pod } from '../../../src/kube/types.ts';

const podOf = (restartPolicy: string): Pod => ({
  spec: {
    restartPolicy,
    containers: [{ name: 'c', image: 'i' }],
    initContainers: [
      { name: 'side', image: 'i', restartPolicy: 'Always' },
      { name: 'init', image: 'i' },
    ],
  },
});
const container = (name: string, exitCode: number): ContainerStatus => ({
  name,
  image: 'i',
  imageID: '',
  ready: false,
  restartCount: 0,
  state: { terminated: { exitCode } },
});
const statusOf = (codes: Readonly<Record<string, number>>, change: Partial<PodStatus> = {}): PodStatus => ({
  namespace: 'n',
  name: 'p',
  uid: 'u',
  sandbox: 'Ready',
  initContainers: ['side', 'init'].filter((name) => name in codes).map((name) => container(name, codes[name] ?? 0)),
  containers: 'c' in codes ? [container('c', codes.c ?? 0)] : [],
  ...change,
});

it.each([
  ['a container that failed', 'Never', statusOf({ c: 42 }), 42],
  ['an init container that failed', 'Never', statusOf({ init: 5 }), 5],
  ['a container that will be started again', 'OnFailure', statusOf({ c: 42 }), 0],
  ['a container that failed in the end', 'OnFailure', statusOf({ c: 42 }, { sandbox: 'Gone' }), 42],
  ['a sidecar that was stopped', 'Never', statusOf({ side: 143, c: 0 }, { sandbox: 'Gone' }), 0],
  ['a pod that failed as a whole', 'Never', statusOf({ c: 0 }, { sandbox: 'Gone', phase: 'Failed' }), 1],
] as const)('the exit code of %s (%s)', (_, restartPolicy, status, expected) => {
  expect(exitCodeOf(podOf(restartPolicy), status)).toBe(expected);
});
