import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { createServingCertificate, type ServingCertificate } from '../../../src/node/serving-certificate.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi, type FakeObject } from '../../fakes/fake-kube-api.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

const REQUESTS = 'certificates.k8s.io/v1/certificatesigningrequests';
const DAY_MS = 24 * 3_600_000;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let notices: string[];
let certificate: ServingCertificate;
let stop: () => Promise<void> = async () => {};

const requests = (): FakeObject[] => api.list(REQUESTS);
const state = (): string => join(directory.path, 'state');
const nameOf = (request: FakeObject | undefined): string => request?.metadata.name ?? '';

function start(names: readonly string[] = ['127.0.0.1'], random = 0.5): void {
  const controller = new AbortController();
  certificate = createServingCertificate(
    { kube, clock, logger: silentLogger, random: () => random },
    { nodeName: 'n', directory: state(), names, onNotice: (notice) => notices.push(notice) },
  );
  const done = certificate.run(controller.signal);
  stop = async () => {
    controller.abort();
    await done;
  };
}

/** Until it holds, with seconds passing. */
async function eventually(check: () => void | Promise<void>, stepMs = 1_000): Promise<void> {
  for (let left = 200; ; left--) {
    try {
      await check();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
    await clock.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function requested(count = 1): Promise<FakeObject> {
  await eventually(() => expect(requests()).toHaveLength(count));
  return requests().at(-1) as FakeObject;
}

/** Signs a request with an authority of the test, as kube-controller-manager does after the approval. */
function approve(request: FakeObject, days = 10): void {
  const at = directory.path;
  const csr = Buffer.from(String(Object(request.spec).request), 'base64');
  writeFileSync(join(at, 'r.csr'), csr);
  const openssl = (...args: string[]): Buffer =>
    execFileSync('openssl', args, { cwd: at, stdio: ['ignore', 'pipe', 'ignore'] });
  if (!readdirSync(at).includes('ca.crt'))
    openssl(
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-subj',
        '/CN=ca',
        '-days',
        '400',
      ],
      ...['-keyout', 'ca.key', '-out', 'ca.crt'],
    );
  const pem = openssl(
    'x509',
    '-req',
    '-in',
    'r.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-set_serial',
    `${Date.now()}`,
    '-days',
    String(days),
    '-copy_extensions',
    'copyall',
  );
  setStatus(request, { certificate: pem.toString('base64'), conditions: [{ type: 'Approved', status: 'True' }] });
}

function setStatus(request: FakeObject, status: object): void {
  api.put(REQUESTS, { ...request, status });
}

async function issued(days = 10): Promise<void> {
  approve(await requested(), days);
  await eventually(async () => void (await certificate.load()));
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  api = await FakeKubeApi.start();
  // openssl signs from the true time on.
  clock = new FakeClock(Date.now());
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  notices = [];
});

afterEach(async () => {
  await stop();
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

describe('serving certificate', () => {
  it('is asked of the signer for kubelets with what the signer demands', async () => {
    start(['127.0.0.1', 'node.example']);
    const request = await requested();
    expect(request.spec).toMatchObject({
      signerName: 'kubernetes.io/kubelet-serving',
      usages: ['digital signature', 'server auth'],
    });
    const text = execFileSync('openssl', ['req', '-noout', '-text', '-nameopt', 'RFC2253'], {
      input: Buffer.from(String(Object(request.spec).request), 'base64'),
    }).toString();
    expect(text).toMatch(/Subject: CN=system:node:n,O=system:nodes/);
    expect(text).toMatch(/IP Address:127\.0\.0\.1, DNS:node\.example/);
  });

  it('says what to type while it waits, once, and nothing afterwards', async () => {
    start();
    const request = await requested();
    await eventually(() => expect(notices).toHaveLength(1));
    expect(notices[0]).toContain(`kubectl certificate approve ${nameOf(request)}`);
    for (let i = 0; i < 20; i++) await clock.advance(10_000);
    expect(notices).toHaveLength(1);
    await expect(certificate.load()).rejects.toThrow(/has not been issued yet/);
    approve(request);
    await eventually(async () => void (await certificate.load()));
    await certificate.ready;
    expect(notices).toEqual([notices[0], '']);
    expect(new X509Certificate((await certificate.load()).cert).subject).toContain('CN=system:node:n');
  });

  it('keeps key and certificate in files that nobody else can read', async () => {
    start();
    await requested();
    expect(statSync(state()).mode & 0o777).toBe(0o700);
    expect(statSync(join(state(), 'kubelet-serving-pending.key')).mode & 0o777).toBe(0o600);
    await issued();
    expect(readdirSync(state())).toEqual(['kubelet-serving.pem']);
    expect(statSync(join(state(), 'kubelet-serving.pem')).mode & 0o777).toBe(0o600);
  });

  it('uses what it has after a restart and asks for nothing', async () => {
    start();
    await issued();
    const { cert } = await certificate.load();
    await stop();
    const before = api.requests.length;
    start();
    await certificate.ready;
    expect((await certificate.load()).cert.trim()).toBe(
      readFileSync(join(state(), 'kubelet-serving.pem'), 'utf8').trim(),
    );
    expect((await certificate.load()).cert).toContain(cert.trim());
    expect(api.requests.length).toBe(before);
  });

  it('goes on waiting for the same request after a restart', async () => {
    start();
    const request = await requested();
    await stop();
    start();
    await issued();
    expect(requests().map(nameOf)).toEqual([nameOf(request)]);
  });

  it('makes the request again when it was removed before anybody answered', async () => {
    start();
    const first = await requested();
    api.remove(REQUESTS, undefined, nameOf(first));
    const second = await requested();
    expect(nameOf(second)).toBe(nameOf(first));
    await issued();
  });

  it('says how to go on after a denial', async () => {
    start();
    const request = await requested();
    setStatus(request, { conditions: [{ type: 'Denied', status: 'True' }] });
    await eventually(() => expect(notices.at(-1)).toContain(`kubectl delete csr ${nameOf(request)}`));
    api.remove(REQUESTS, undefined, nameOf(request));
    await issued();
  });

  it('takes a new key when the signer failed', async () => {
    start();
    const request = await requested();
    setStatus(request, {
      conditions: [
        { type: 'Approved', status: 'True' },
        { type: 'Failed', status: 'True' },
      ],
    });
    const next = await requested(2);
    expect(nameOf(next)).not.toBe(nameOf(request));
  });

  it('does not use a certificate for another key', async () => {
    start();
    const request = await requested();
    await stop();
    writeFileSync(
      join(state(), 'kubelet-serving-pending.key'),
      execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']),
    );
    start();
    const other = await requested(2);
    approve(request);
    setStatus(other, { ...Object(api.get(REQUESTS, undefined, nameOf(request))).status });
    await requested(3);
    await expect(certificate.load()).rejects.toThrow();
  });

  it.each([
    ['its addresses have changed', ['10.9.8.7']],
    ['a name was added', ['127.0.0.1', 'new.example']],
  ])('asks anew when %s', async (_, names) => {
    start();
    await issued();
    await stop();
    start(names);
    await requested(2);
    await expect(certificate.load()).rejects.toThrow();
  });

  it('asks anew when the stored file is damaged', async () => {
    start();
    await issued();
    await stop();
    writeFileSync(join(state(), 'kubelet-serving.pem'), 'nonsense');
    start();
    await requested(2);
  });

  it('is renewed at 80 % of its life, tells of the change, and serves the old one meanwhile', async () => {
    start();
    await issued(10);
    const old = (await certificate.load()).cert;
    await clock.advance(7.9 * DAY_MS);
    expect(requests()).toHaveLength(1);
    await clock.advance(0.3 * DAY_MS);
    const next = await requested(2);
    await eventually(() => expect(notices.at(-1)).toMatch(/works until .*approve the serving certificate/));
    expect((await certificate.load()).cert).toBe(old);
    const changed = certificate.changed(AbortSignal.timeout(10_000));
    approve(next, 30);
    await eventually(async () => expect((await certificate.load()).cert).not.toBe(old));
    await changed;
  });

  it('explains itself when it may not ask', async () => {
    api.fail(({ method }) => method === 'POST', { kind: 'status', status: 403 });
    start();
    await eventually(() =>
      expect(notices.at(-1)).toMatch(/may not create CertificateSigningRequests; .*node\.kubelet\.certFile/),
    );
    await issued();
  });

  it('goes on after faults of the server', async () => {
    api.fail(() => true, { kind: 'status', status: 500 }, 2);
    api.fail(() => true, { kind: 'reset' }, 2);
    start();
    await issued();
  });
});
