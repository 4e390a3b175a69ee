import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttp, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ChannelSettings, RunnerRecord, SidecarMessage } from '../../../src/contract/job-directory.ts';
import { createCertificate } from '../../fakes/certificate.ts';
import type { Script } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';

/** The sidecar's side of the channel, with what came over it. */
class FakeSidecar {
  readonly paths: string[] = [];
  readonly tokens: (string | undefined)[] = [];
  readonly records: RunnerRecord[] = [];
  readonly streams = new Map<string, { bytes: string; error?: string; closed: boolean }>();
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #server: Server;
  #channel: WebSocket | undefined;
  /** `seq` of the hello; undefined says nothing at all. */
  hello: number | undefined = 0;

  constructor(server: Server) {
    this.#server = server;
    server.on('upgrade', (request, socket, head) => {
      this.paths.push(request.url ?? '');
      this.tokens.push(request.headers.authorization);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#serve(request.url ?? '', webSocket));
    });
  }

  get connections(): number {
    return this.#sockets.clients.size;
  }

  listen(at: string | number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(at as number, resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  send(message: SidecarMessage | string): void {
    this.#channel?.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  dropAll(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  async close(): Promise<void> {
    this.dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(path: string, socket: WebSocket): void {
    const stream = /streams\/(.+)$/.exec(path)?.[1];
    if (stream === undefined) {
      this.#channel = socket;
      socket.on('message', (data) => this.records.push(JSON.parse(String(data)).record));
      if (this.hello !== undefined) this.send({ type: 'hello', seq: this.hello });
    } else {
      const got: { bytes: string; error?: string; closed: boolean } = { bytes: '', closed: false };
      this.streams.set(stream, got);
      socket.on('message', (data, isBinary) => {
        if (isBinary) got.bytes += String(data);
        else got.error = JSON.parse(String(data)).error;
      });
      socket.on('close', () => {
        got.closed = true;
      });
    }
  }
}

let root: string;
const open: FakeSidecar[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-channel-'));
});
afterEach(async () => {
  for (const sidecar of open.splice(0)) await sidecar.close();
  await rm(root, { recursive: true });
});

async function unixSidecar(): Promise<{ sidecar: FakeSidecar; endpoint: string }> {
  const sidecar = new FakeSidecar(createHttp());
  open.push(sidecar);
  await sidecar.listen(join(root, 's'));
  return { sidecar, endpoint: `unix:${join(root, 's')}` };
}

async function tlsSidecar(): Promise<{ sidecar: FakeSidecar; endpoint: string; fingerprint: string }> {
  const { certFile, keyFile, fingerprint } = await createCertificate(root);
  const sidecar = new FakeSidecar(createHttps({ cert: await readFile(certFile), key: await readFile(keyFile) }));
  open.push(sidecar);
  await sidecar.listen(0);
  return { sidecar, endpoint: `wss://localhost:${sidecar.port}`, fingerprint };
}

const benchWith = (channel: Omit<ChannelSettings, 'token'>, c: Script) =>
  JobBench.create({
    spec: { containers: [{ name: 'c' }] },
    job: { channel: { token: 'job-token', ...channel } },
    scripts: { c },
  });
/** Lets time pass until the job has ended. */
const passTime = async (bench: JobBench, done: Promise<number>): Promise<number> => {
  let code: number | undefined;
  void done.then((value) => {
    code = value;
  });
  await until(async () => {
    await bench.clock.advance(250);
    return code !== undefined;
  });
  return done;
};
const until = (check: () => unknown) => expect.poll(check, { timeout: 5_000 }).toBeTruthy();

describe('the live channel', () => {
  it('carries every record with the token, and the last one before the runner ends', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit }) => exit(0));
    expect(await bench.run()).toBe(0);
    expect(sidecar.records).toEqual(await bench.records());
    expect(sidecar.records.at(-1)?.status.sandbox).toBe('Gone');
    expect(sidecar.tokens).toEqual(['Bearer job-token']);
    expect(sidecar.paths[0]).toMatch(/^\/channel\/bench-/);
  });

  it('goes over TLS to the pinned certificate', async () => {
    const { sidecar, ...channel } = await tlsSidecar();
    await using bench = await benchWith(
      { endpoints: [channel.endpoint], fingerprint: channel.fingerprint },
      ({ exit }) => exit(0),
    );
    await bench.run();
    expect(sidecar.records.at(-1)?.status.sandbox).toBe('Gone');
  });

  it('never shows the token to a server with another certificate (fault: impostor)', async () => {
    const { sidecar, endpoint } = await tlsSidecar();
    await using bench = await benchWith({ endpoints: [endpoint], fingerprint: 'ab'.repeat(32) }, ({ exit }) =>
      setTimeout(() => exit(0), 100),
    );
    expect(await bench.run()).toBe(0);
    expect(sidecar.tokens).toEqual([]);
    const log = await readFile(bench.directory.runnerLog, 'utf8');
    expect(log).toContain('shows another certificate than the pinned one');
    expect(log).not.toContain('job-token');
  });

  it('sends only what the sidecar does not have', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    sidecar.hello = 2;
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit }) => exit(0));
    await bench.run();
    expect(sidecar.records.map(({ seq }) => seq)).toEqual([3, 4]);
  });

  it('takes the first endpoint that answers', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    await using bench = await benchWith({ endpoints: [`unix:${root}/nobody`, endpoint] }, ({ exit }) =>
      setTimeout(() => exit(0), 50),
    );
    await bench.run();
    expect(sidecar.records.at(-1)?.status.sandbox).toBe('Gone');
  });

  it('is made again after it broke and goes on after the last record that arrived (fault: connection reset)', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    let end = (): void => {};
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit }) => {
      end = () => exit(0);
    });
    const done = bench.run();
    await until(() => sidecar.records.length === 2);
    sidecar.hello = 2;
    sidecar.dropAll();
    await until(async () => {
      await bench.clock.advance(250);
      return sidecar.paths.length === 2;
    });
    end();
    await done;
    expect(sidecar.records.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  });

  it('brings word of new contents at once, and finds what was told while it was away', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    let end = (): void => {};
    const objects = (k: string) => ({
      configMaps: [{ metadata: { name: 'm' }, data: { k } }],
      secrets: [],
      projectedVolumes: [],
    });
    await using bench = await JobBench.create({
      spec: {
        containers: [{ name: 'c', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
        volumes: [{ name: 'v', configMap: { name: 'm' } }],
      },
      bundle: objects('old'),
      job: { channel: { token: 'job-token', endpoints: [endpoint] } },
      scripts: {
        c: ({ exit }) => {
          end = () => exit(0);
        },
      },
    });
    const put = (revision: number): Promise<void> =>
      writeFile(
        bench.directory.contents,
        JSON.stringify({ version: 1, revision, volumes: { v: objects(`new ${revision}`) } }),
      );
    const done = bench.run();
    await until(() => sidecar.records.length === 2);
    const file = join(bench.runtime.started[0]?.mounts.find(({ target }) => target === '/v')?.source ?? '', 'k');
    await put(1);
    sidecar.send({ type: 'volumes', revision: 1 });
    // Without a tick of the clock.
    await until(async () => (await readFile(file, 'utf8')) === 'new 1');
    // A network file system that shows the file late: word comes first.
    sidecar.send({ type: 'volumes', revision: 2 });
    await bench.settle();
    await put(2);
    await until(async () => {
      await bench.clock.advance(500);
      return (await readFile(file, 'utf8')) === 'new 2';
    });
    expect(bench.clock.monotonicMs()).toBeLessThan(3_000);
    sidecar.dropAll();
    await put(3);
    await until(async () => {
      await bench.clock.advance(100);
      return (await readFile(file, 'utf8')) === 'new 3';
    });
    end();
    await done;
  });

  it.each<[string, () => Promise<string>]>([
    ['nobody listens', async () => `unix:${root}/nobody`],
    [
      'the port accepts and says nothing',
      async () => {
        const server = createTcp(() => {});
        await new Promise<void>((resolve) => server.listen(join(root, 'mute'), resolve));
        return `unix:${root}/mute`;
      },
    ],
    ['the endpoint is nonsense', async () => 'ftp://x'],
  ])('does not keep the pod from running or the job from ending when %s', async (_title, endpoint) => {
    await using bench = await benchWith({ endpoints: [await endpoint()] }, ({ exit }) => exit(4));
    const done = bench.run();
    expect(await passTime(bench, done)).toBe(4);
    expect((await bench.records()).at(-1)?.status.sandbox).toBe('Gone');
  });

  it('does not wait for a sidecar that accepts and never says hello (fault: stuck sidecar)', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    sidecar.hello = undefined;
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit }) => exit(0));
    const done = bench.run();
    expect(await passTime(bench, done)).toBe(0);
    expect((await bench.records()).at(-1)?.status.sandbox).toBe('Gone');
  });

  it('brings stop requests, and passes over what it does not know (fault: garbage)', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit, onSignal }) =>
      onSignal((name) => name === 'SIGTERM' && exit(0)),
    );
    const done = bench.run();
    await until(() => sidecar.records.length === 2);
    for (const garbage of ['{', '[]', 'null', '{"type":"new"}', '{"type":"stop","stop":{}}']) sidecar.send(garbage);
    sidecar.send({
      type: 'stop',
      stop: { gracePeriodSeconds: 5, requestedAt: '2026-11-25T12:00:00Z', reason: 'Deleted' },
    });
    expect(await done).toBe(0);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    expect(sidecar.records.at(-1)?.status.phase).toBeUndefined();
  });

  it('serves logs on streams of their own, followed to the end of the container', async () => {
    const { sidecar, endpoint } = await unixSidecar();
    let end = (): void => {};
    await using bench = await benchWith({ endpoints: [endpoint] }, ({ exit, output }) => {
      output.stdout.write('one\ntwo\n');
      end = () => {
        output.stdout.write('last\n');
        exit(0);
      };
    });
    const done = bench.run();
    await until(() => sidecar.records.length === 2);
    sidecar.send({ type: 'stream', id: 'tail', request: { kind: 'logs', container: 'c', options: { tailLines: 1 } } });
    sidecar.send({
      type: 'stream',
      id: 'follow',
      request: { kind: 'logs', container: 'c', options: { follow: true } },
    });
    sidecar.send({ type: 'stream', id: 'none', request: { kind: 'logs', container: 'x', options: {} } });
    await until(() => sidecar.streams.get('tail')?.closed && sidecar.streams.get('none')?.closed);
    await until(() => sidecar.streams.get('follow')?.bytes === 'one\ntwo\n');
    expect(sidecar.streams.get('tail')).toEqual({ bytes: 'two\n', closed: true });
    expect(sidecar.streams.get('none')).toEqual({ bytes: '', error: 'the pod has no container x', closed: true });
    end();
    await passTime(bench, done);
    expect(sidecar.streams.get('follow')).toEqual({ bytes: 'one\ntwo\nlast\n', closed: true });
  });
});
