import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { jobDirectory } from '../../../src/contract/job-directory.ts';
import type { ContainerRuntime, ResolvedImage } from '../../../src/runner/container-runtime.ts';
import { PodRecorder } from '../../../src/runner/pod-recorder.ts';
import { PullSecrets } from '../../../src/runner/pull-secrets.ts';
import { resolveImage } from '../../../src/runner/resolve-image.ts';
import { createBundle } from '../../fakes/bundle.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

/** The events and the policy with which an image is asked for that turns out to be `found`. */
async function ask(found: Partial<ResolvedImage>, image: string, imagePullPolicy?: string) {
  const events: string[] = [];
  const bundle = createBundle();
  const append = (record: { events: readonly { reason: string; message: string; fieldPath?: string }[] }): void => {
    for (const { reason, message, fieldPath } of record.events) events.push(`${reason} ${fieldPath} ${message}`);
  };
  let policy = '';
  const runtime = {
    async resolveImage(_image, asked, _signal, pull) {
      policy = asked;
      if (found.pulled) pull.onPulling();
      return { path: '/i.sif', imageId: image, ...found };
    },
  } as Partial<ContainerRuntime> as ContainerRuntime;
  const recorder = new PodRecorder(bundle.pod, { clock: new FakeClock(), nodeName: 'n', append });
  const spec = { version: 1, bundle, runtime: { name: 'process' } } as const;
  const pullSecrets = await PullSecrets.take(jobDirectory('/none'), spec, silentLogger);
  const container = { name: 'c', image, ...(imagePullPolicy && { imagePullPolicy }) };
  const deps = { runtime, pullSecrets, recorder };
  await resolveImage(container, 'spec.containers{c}', deps, new AbortController().signal);
  return { events, policy };
}

describe('the image of a container', () => {
  it.each<[durationMs: number, waitedMs: number, took: string, waited: string]>([
    [0.4, 0, '0s', '0s'],
    [45.9, 0, '45ms', '45ms'],
    [1_200, 1_300, '1.2s', '2.5s'],
    [59_999, 0, '59.999s', '59.999s'],
    [61_050, 3_600_000, '1m1.05s', '1h1m1.05s'],
    [3_600_000, 0, '1h0m0s', '1h0m0s'],
  ])('that was pulled in %d ms is told as a kubelet tells it', async (durationMs, waitedMs, took, waited) => {
    const { events } = await ask({ pulled: { durationMs, waitedMs, sizeBytes: 42 } }, 'r/i:1');
    expect(events).toEqual([
      'Pulling spec.containers{c} Pulling image "r/i:1"',
      `Pulled spec.containers{c} Successfully pulled image "r/i:1" in ${took} (${waited} including waiting). Image size: 42 bytes.`,
    ]);
  });

  it('that is here is told too, and one that a runtime does without is not', async () => {
    expect((await ask({}, 'r/i:1')).events).toEqual([
      'Pulled spec.containers{c} Container image "r/i:1" already present on machine and can be accessed by the pod',
    ]);
    expect((await ask({ path: '' }, 'r/i:1')).events).toEqual([]);
  });

  it.each([
    ['r/i', 'Always'],
    ['r:5000/i', 'Always'],
    ['r/i:latest', 'Always'],
    ['r/i:1', 'IfNotPresent'],
    [`r/i@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
  ])('%s is asked for %s unless the pod says otherwise', async (image, policy) => {
    expect((await ask({}, image)).policy).toBe(policy);
    expect((await ask({}, image, 'Never')).policy).toBe('Never');
  });
});
