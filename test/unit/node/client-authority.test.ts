import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { type ClientAuthority, createClientAuthority } from '../../../src/node/client-authority.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi } from '../../fakes/fake-kube-api.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

const ONE = '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----';
const TWO = '-----BEGIN CERTIFICATE-----\nBB\n-----END CERTIFICATE-----';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let notices: string[];
let authority: ClientAuthority;
let stop: () => Promise<void>;

function publish(data: Record<string, string>): void {
  api.put('v1/configmaps', {
    metadata: { namespace: 'kube-system', name: 'extension-apiserver-authentication' },
    data,
  });
}

function start(file?: string): void {
  const controller = new AbortController();
  authority = createClientAuthority(
    { kube, clock, logger: silentLogger },
    { file, onNotice: (notice) => notices.push(notice) },
  );
  const done = authority.run(controller.signal);
  stop = async () => {
    controller.abort();
    await done;
  };
}

async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock();
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  notices = [];
});

afterEach(async () => {
  await stop();
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('authorities of clients', () => {
  it('are those of the cluster for clients, never those for aggregated APIs', async () => {
    publish({ 'client-ca-file': ONE, 'requestheader-client-ca-file': TWO });
    start();
    await authority.ready;
    expect(authority.pem).toBe(ONE);
  });

  it('are followed', async () => {
    publish({ 'client-ca-file': ONE });
    start();
    await authority.ready;
    const { changed } = authority;
    publish({ 'client-ca-file': TWO });
    await pass(61);
    await changed;
    expect(authority.pem).toBe(TWO);
  });

  it.each([
    ['they may not be read', () => api.fail(() => true, { kind: 'status', status: 403 }, 3)],
    ['there are none', () => publish({ 'requestheader-client-ca-file': TWO })],
    ['they are empty', () => publish({ 'client-ca-file': '' })],
    ['they are no certificates', () => publish({ 'client-ca-file': 'x' })],
  ])('are not ready and say what to do when %s, until that is mended', async (_, fault) => {
    fault();
    start();
    await expect.poll(() => notices.at(-1), { interval: 2 }).toMatch(/node\.kubelet\.clientCaFile/);
    expect(authority.pem).toBe('');
    publish({ 'client-ca-file': ONE });
    await pass(30);
    await authority.ready;
    expect(notices.at(-1)).toBe('');
  });

  it('stay as they were when they vanish', async () => {
    publish({ 'client-ca-file': ONE });
    start();
    await authority.ready;
    publish({});
    await pass(130);
    expect(authority.pem).toBe(ONE);
  });

  it('come from a file when one is named', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'ca.crt');
    writeFileSync(file, ONE);
    start(file);
    await authority.ready;
    expect(authority.pem).toBe(ONE);
    expect(api.requests).toEqual([]);
  });
});
