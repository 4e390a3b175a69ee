import { describe, expect, it, onTestFinished } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import type { Pod, PodStatusFields } from '../../../src/kube/types.ts';
import { PodStatusWriter } from '../../../src/node/pod-status-writer.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { mergePatch } from '../../fakes/merge-patch.ts';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An API server with one pod whose answers wait for the test. */
class Server {
  pod: Pod = { metadata: { name: 'p', namespace: 'ns', uid: 'u', resourceVersion: '1' }, status: { phase: 'Pending' } };
  readonly written: string[] = [];
  readonly faults: Error[] = [];
  held: (() => void)[] | undefined;
  /** Fields that this server does not know. */
  drops: string[] = [];

  readonly client = {
    patch: async (_kind: unknown, _ref: unknown, patch: { status: PodStatusFields }) => {
      if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
      const fault = this.faults.shift();
      if (fault) throw fault;
      this.pod = mergePatch(this.pod, patch, true) as Pod;
      for (const field of this.drops) delete (this.pod.status as Record<string, unknown>)[field];
      this.written.push(
        `${this.pod.status?.phase} ${this.pod.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ''}`.trim(),
      );
      return this.pod;
    },
  } as unknown as KubeClient;
}

function start(): {
  server: Server;
  writer: PodStatusWriter;
  clock: FakeClock;
  add: (phase: string, waiting?: string) => void;
} {
  const server = new Server();
  const clock = new FakeClock();
  const writer = new PodStatusWriter({
    kube: server.client,
    clock,
    logger: silentLogger,
    pod: () => server.pod,
    accept: () => {},
    drained: () => {},
  });
  const controller = new AbortController();
  const done = writer.run(controller.signal);
  onTestFinished(async () => {
    controller.abort();
    await done;
  });
  const add = (phase: string, waiting?: string): void => {
    const containerStatuses = waiting ? [{ name: 'c', state: { waiting: { reason: waiting } } }] : [];
    const status = { phase, containerStatuses } as PodStatusFields;
    writer.add(() => status, status);
  };
  return { server, writer, clock, add };
}

describe('PodStatusWriter', () => {
  it('writes statuses in order', async () => {
    const { server, writer, add } = start();
    for (const phase of ['Running', 'Succeeded']) add(phase);
    await tick();
    await tick();
    expect(server.written).toEqual(['Running', 'Succeeded']);
    expect(writer.isDrained).toBe(true);
  });

  it('drops what nobody would miss while a request is under way, and nothing else', async () => {
    const { server, add } = start();
    server.held = [];
    add('Pending', 'ContainerCreating');
    await tick();
    add('Pending', 'Submitting');
    add('Pending', 'Queued');
    add('Pending', 'ErrImagePull');
    add('Running');
    add('Running');
    add('Failed');
    for (let turn = 0; turn < 6; turn += 1) {
      server.held.shift()?.();
      await tick();
    }
    expect(server.written).toEqual(['Pending ContainerCreating', 'Pending ErrImagePull', 'Running', 'Failed']);
  });

  it('writes another reason to wait only when it lasts', async () => {
    const { server, clock, add } = start();
    add('Pending', 'ContainerCreating');
    await tick();
    add('Pending', 'Submitting');
    await tick();
    await clock.advance(900);
    add('Pending', 'Priority');
    await clock.advance(50);
    expect(server.written).toEqual(['Pending ContainerCreating']);
    await clock.advance(100);
    await tick();
    expect(server.written).toEqual(['Pending ContainerCreating', 'Pending Priority']);
  });

  it.each(['Unavailable', 'Conflict', 'Forbidden', 'TooManyRequests'] as const)('repeats after %s', async (kind) => {
    const { server, clock, add } = start();
    server.faults.push(new InterlinkError(kind, 'x'), new InterlinkError(kind, 'x'));
    add('Running');
    await tick();
    await clock.advance(5_000);
    await tick();
    expect(server.written).toEqual(['Running']);
  });

  it.each(['NotFound', 'Invalid'] as const)('goes on with the next one after %s', async (kind) => {
    const { server, writer, add } = start();
    server.faults.push(new InterlinkError(kind, 'x'));
    add('Running');
    await tick();
    expect(writer.isRefused).toBe(true);
    add('Succeeded');
    await tick();
    expect(server.written).toEqual(['Succeeded']);
    expect(writer.isRefused).toBe(false);
  });

  it('does not write for ever what a server does not keep', async () => {
    const { server, clock, writer } = start();
    server.drops = ['observedGeneration'];
    const status = { phase: 'Running', observedGeneration: 7 } as PodStatusFields;
    for (let turn = 0; turn < 3; turn += 1) {
      writer.add(() => status, status);
      await clock.advance(2_000);
      await tick();
    }
    expect(server.written).toEqual(['Running']);
  });
});
