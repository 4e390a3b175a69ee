import { expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { followPod } from '../../../src/cli/run/follow-pod.ts';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { LogRequest, Sidecar } from '../../../src/contract/sidecar.ts';
import type { ContainerState, Pod } from '../../../src/kube/types.ts';

const POD: Pod = {
  metadata: { name: 'p', namespace: 'n', uid: 'u' },
  spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c', image: 'i' }] },
};
const running: ContainerState = { running: { startedAt: '2026-11-25T12:00:00Z' } };
const ended: ContainerState = { terminated: { exitCode: 1, startedAt: '2026-11-25T12:00:00Z' } };
const waiting: ContainerState = { waiting: { reason: 'CrashLoopBackOff' } };
const statusOf = (state: ContainerState, restartCount: number, sandbox: PodStatus['sandbox'] = 'Ready'): PodStatus => ({
  namespace: 'n',
  name: 'p',
  uid: 'u',
  sandbox,
  containers: [
    {
      name: 'c',
      image: 'i',
      imageID: '',
      ready: false,
      restartCount,
      state,
      ...(restartCount > 0 ? { lastState: ended } : {}),
    },
  ],
  initContainers: [],
});

/** What has been printed after these statuses by a site that keeps the log of each attempt. */
async function printed(statuses: readonly PodStatus[], pod = POD): Promise<{ text: string[]; asked: unknown[] }> {
  const asked: unknown[] = [];
  const sidecar = {
    capabilities: async () => ({ capabilities: ['watch'] }),
    async *watch() {
      yield { type: 'SNAPSHOT', items: statuses.slice(0, 1) };
      for (const item of statuses.slice(1)) yield { type: 'STATUS', item };
    },
    async logs({ options }: LogRequest) {
      asked.push(options.attempt);
      return (async function* () {
        yield Buffer.from(`attempt ${options.attempt ?? 'newest'}`);
      })();
    },
  } as unknown as Sidecar;
  const text: string[] = [];
  const onLog = async (_: string, bytes: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const chunk of bytes) text.push(Buffer.from(chunk).toString());
  };
  const deps = { sidecar, clock: systemClock, onStatus: () => {}, onTrouble: (line: string) => text.push(line), onLog };
  await followPod(pod, deps, new AbortController().signal);
  return { text, asked };
}

it.each([
  ['one attempt', [statusOf(running, 0), statusOf(ended, 0, 'Gone')], [0]],
  [
    'each attempt once',
    [statusOf(running, 0), statusOf(ended, 0), statusOf(running, 1), statusOf(ended, 1, 'Gone')],
    [0, 1],
  ],
  ['an attempt that no status showed', [statusOf(running, 1), statusOf(ended, 1, 'Gone')], [0, 1]],
  ['the newest two of many', [statusOf(running, 0), statusOf(running, 5), statusOf(ended, 5, 'Gone')], [0, 4, 5]],
  ['an attempt that is seen only when it waits', [statusOf(waiting, 2), statusOf(ended, 2, 'Gone')], [1, 2]],
] as const)('the output of %s is printed in order', async (_, statuses, attempts) => {
  expect((await printed(statuses)).text).toEqual(attempts.map((attempt) => `attempt ${attempt}`));
});

it('nothing that an existing peer does not know is asked where there is one attempt only', async () => {
  const pod: Pod = { ...POD, spec: { containers: [], ...POD.spec, restartPolicy: 'Never' } };
  expect((await printed([statusOf(running, 0), statusOf(ended, 0, 'Gone')], pod)).asked).toEqual([undefined]);
});
