import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, watchPods } from './support/kubectl.ts';
import { podFor, stateOf, untilPhase } from './support/pod.ts';
import { startStack } from './support/stack.ts';

const PODS = 12;
const POLL_SECONDS = 5;

interface Delays {
  readonly running: readonly number[];
  readonly ended: readonly number[];
  readonly squeueCalls: number;
  readonly elapsedSeconds: number;
}

/** How long after a container's own first and last line the change was shown by `kubectl get pods -w`, in milliseconds, sorted. */
async function measure(name: string, channel: boolean): Promise<Delays> {
  await using stack = await startStack({ name, channel, pollIntervalSeconds: POLL_SECONDS });
  using watch = watchPods(stack.namespace);
  await sleep(1_000);
  const callsBefore = stack.squeueCalls();
  const from = performance.now();
  const names = Array.from({ length: PODS }, (_, i) => `p-${i}`);
  for (const pod of names) {
    await apply(stack.namespace, podFor(stack, pod, 'echo begin; sleep 7; echo end'));
    await sleep(700);
  }
  for (const pod of names) await untilPhase(stack, pod, 'Succeeded');
  const elapsedSeconds = (performance.now() - from) / 1000;
  const squeueCalls = stack.squeueCalls() - callsBefore;
  const running: number[] = [];
  const ended: number[] = [];
  for (const pod of names) {
    const lines = (await kubectl(['-n', stack.namespace, 'logs', pod, '--timestamps'])).trimEnd().split('\n');
    const [begin = 0, end = 0] = lines.map((line) => new Date(line.split(' ')[0] ?? '').getTime());
    const seen = watch.seen.filter((change) => change.pod.metadata?.name === pod);
    const wall = (change: { atMs: number } | undefined): number =>
      performance.timeOrigin + (change?.atMs ?? Number.NaN);
    running.push(wall(seen.find((change) => stateOf(change.pod, 'c').running !== undefined)) - begin);
    ended.push(wall(seen.find((change) => stateOf(change.pod, 'c').terminated !== undefined)) - end);
  }
  const sorted = (values: number[]): number[] => values.map(Math.round).sort((a, b) => a - b);
  const delays = { running: sorted(running), ended: sorted(ended), squeueCalls, elapsedSeconds };
  console.log(`${name}: ${JSON.stringify(delays)}`);
  return delays;
}

/** The value that 95 of 100 stay under. */
function p95(sorted: readonly number[]): number {
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

describeOn(EVERYTHING, 'how soon a change of a job is seen', () => {
  test('in under a second with the live channel, with one squeue per interval for all pods', async () => {
    const { running, ended, squeueCalls, elapsedSeconds } = await measure('latency-channel', true);
    expect(p95(running)).toBeLessThan(1_000);
    expect(p95(ended)).toBeLessThan(1_000);
    expect(squeueCalls).toBeLessThanOrEqual(Math.ceil(elapsedSeconds / POLL_SECONDS) + 1);
  });

  test('within one poll interval and a second without it, with one squeue per interval for all pods', async () => {
    const { running, ended, squeueCalls, elapsedSeconds } = await measure('latency-polling', false);
    expect(p95(running)).toBeLessThan((POLL_SECONDS + 1) * 1_000);
    expect(p95(ended)).toBeLessThan((POLL_SECONDS + 1) * 1_000);
    expect(squeueCalls).toBeGreaterThan(1);
    expect(squeueCalls).toBeLessThanOrEqual(Math.ceil(elapsedSeconds / POLL_SECONDS) + 1);
  });
});
