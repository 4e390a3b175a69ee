import { expect, it } from 'vitest';
import { isAttemptOver, logAttempt } from '../../../src/contract/log-attempt.ts';
import type { ContainerState, ContainerStatus } from '../../../src/kube/types.ts';

const ended: ContainerState = { terminated: { exitCode: 1 } };
const running: ContainerState = { running: {} };
const waiting: ContainerState = { waiting: { reason: 'CrashLoopBackOff' } };
const statusOf = (state: ContainerState, lastState: ContainerState, restartCount: number): ContainerStatus => ({
  name: 'c',
  image: 'i',
  imageID: '',
  ready: false,
  restartCount,
  state,
  lastState,
});

it.each([
  ['waits for its first start', waiting, {}, 0, undefined, undefined],
  ['runs for the first time', running, {}, 0, 0, undefined],
  ['has ended once', ended, {}, 0, 0, undefined],
  ['runs again', running, ended, 3, 3, 2],
  ['has ended again', ended, ended, 3, 3, 2],
  ['waits for its next start', waiting, ended, 3, 3, 3],
] as const)('a container that %s', (_, state, lastState, restartCount, current, previous) => {
  const status = statusOf(state, lastState, restartCount);
  expect([logAttempt(status, {}), logAttempt(status, { previous: true })]).toEqual([current, previous]);
});

it.each([
  [2, 2],
  [3, 3],
])('attempt %i of a container that runs for the fourth time is %s', (attempt, expected) => {
  expect(logAttempt(statusOf(running, ended, 3), { attempt, previous: true })).toBe(expected);
});

it.each([
  ['runs', running, 3, false],
  ['has ended', ended, 3, true],
  ['waits for its next start', waiting, 3, true],
  ['has been started again', running, 2, true],
] as const)('the attempt of a container that %s is over or not', (_, state, attempt, expected) => {
  expect(isAttemptOver(statusOf(state, ended, 3), attempt)).toBe(expected);
});
