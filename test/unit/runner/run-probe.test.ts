import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Container, Probe } from '../../../src/kube/types.ts';
import { containerPort } from '../../../src/runner/container-port.ts';
import type { ExecRequest, RunningContainer } from '../../../src/runner/container-runtime.ts';
import type { ProbeResult } from '../../../src/runner/probe-result.ts';
import { startBareProcess } from '../../../src/runner/process-bare.ts';
import { runProbe } from '../../../src/runner/run-probe.ts';
import { createCertificate } from '../../fakes/certificate.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeContainer } from '../../fakes/fake-container.ts';

const servers: { close(): unknown; closeAllConnections?(): void }[] = [];
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-probe-'));
});

afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections?.();
    server.close();
  }
  await rm(directory, { recursive: true });
});

async function listen(server: Pick<Server, 'listen' | 'address' | 'close'>): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return (server.address() as AddressInfo).port;
}

function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<number> {
  return listen(createServer(answer));
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createTcp();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Given {
  readonly container?: Container;
  readonly running?: RunningContainer;
  readonly clock?: FakeClock;
}

function run(probe: Probe, { container = { name: 'c' }, running, clock }: Given = {}): Promise<ProbeResult> {
  const target = {
    container,
    running: running ?? new FakeContainer(new Date().toISOString(), () => 0),
    podIP: '127.0.0.1',
    clock: clock ?? systemClock,
  };
  // Long enough for a busy machine; what runs out of time has a clock of its own.
  return runProbe({ timeoutSeconds: 20, ...probe }, target, new AbortController().signal);
}

/** Runs a probe that gets no answer until its second is over. */
async function runOut(probe: Probe, isWaiting: () => boolean): Promise<ProbeResult> {
  const clock = new FakeClock();
  const result = run({ timeoutSeconds: 1, ...probe }, { clock });
  while (!isWaiting()) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(1000);
  return result;
}

describe('a probe by HTTP', () => {
  it.each([
    [200, 'success'],
    [204, 'success'],
    [304, 'warning'],
    [400, 'HTTP probe failed with statuscode: 400'],
    [404, 'HTTP probe failed with statuscode: 404'],
    [503, 'HTTP probe failed with statuscode: 503'],
  ])('judges %i: %s', async (status, expected) => {
    const port = await serve((_, response) => response.writeHead(status).end());
    const result = await run({ httpGet: { port } });
    expect(result.outcome === 'failure' ? result.output : result.outcome).toBe(expected);
  });

  it('asks as a kubelet does', async () => {
    const seen: { url: string | undefined; raw: readonly string[] }[] = [];
    const port = await serve((request, response) => {
      seen.push({ url: request.url, raw: request.rawHeaders });
      response.end('ok');
    });
    const container = { name: 'c', ports: [{ name: 'web', containerPort: port }] };
    await run({ httpGet: { port: 'web' as never } }, { container });
    const httpHeaders = [
      { name: 'X-A', value: '1' },
      { name: 'X-A', value: '2' },
      { name: 'Host', value: 'example.org' },
      { name: 'user-agent', value: 'mine' },
      { name: 'Accept', value: '' },
    ];
    await run({ httpGet: { port: String(port) as never, path: 'deep/er?q=%20a&b', httpHeaders } });
    expect(seen).toEqual([
      {
        url: '/',
        raw: ['user-agent', 'kube-probe/1.36', 'accept', '*/*', 'Host', `127.0.0.1:${port}`, 'Connection', 'close'],
      },
      {
        url: '/deep/er?q=%20a&b',
        raw: ['x-a', '1', 'x-a', '2', 'host', 'example.org', 'user-agent', 'mine', 'Connection', 'close'],
      },
    ]);
  });

  it('follows redirects on the same host, and takes another one for success with a warning', async () => {
    const port = await serve(({ url }, response) => {
      if (url === '/a') response.writeHead(302, { location: '/b' }).end();
      else if (url === '/b') response.writeHead(307, { location: `http://127.0.0.1:${port}/fine` }).end();
      else if (url === '/loop') response.writeHead(301, { location: '/loop' }).end();
      else if (url === '/away') response.writeHead(302, { location: 'http://192.0.2.1/' }).end('look there');
      else response.writeHead(url === '/fine' ? 200 : 500).end();
    });
    expect(await run({ httpGet: { port, path: '/a' } })).toEqual({ outcome: 'success' });
    expect(await run({ httpGet: { port, path: '/away' } })).toEqual({
      outcome: 'warning',
      output: 'Probe terminated redirects, Response body: look there',
    });
    expect(await run({ httpGet: { port, path: '/loop' } })).toEqual({
      outcome: 'failure',
      output: `Get "http://127.0.0.1:${port}/loop": stopped after 10 redirects`,
    });
  });

  it('speaks TLS to a server with any certificate', async () => {
    const { certFile, keyFile } = await createCertificate(directory);
    const options = { cert: await readFile(certFile), key: await readFile(keyFile) };
    const port = await listen(createHttps(options, (_, response) => response.end()));
    expect(await run({ httpGet: { port, scheme: 'HTTPS' } })).toEqual({ outcome: 'success' });
    const plain = await serve((_, response) => response.end());
    expect(await run({ httpGet: { port: plain, scheme: 'HTTPS' } })).toEqual({
      outcome: 'failure',
      output: `Get "https://127.0.0.1:${plain}/": http: server gave HTTP response to HTTPS client`,
    });
  });

  it('fails when nobody answers, in the words of a kubelet', async () => {
    const port = await closedPort();
    expect(await run({ httpGet: { port } })).toEqual({
      outcome: 'failure',
      output: `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
    const rude = await listen(createTcp((socket) => socket.destroy()));
    expect(await run({ httpGet: { port: rude } })).toMatchObject({ outcome: 'failure' });
  });

  it('fails when the answer takes too long', async () => {
    let isAsked = false;
    const port = await serve(() => {
      isAsked = true;
    });
    expect(await runOut({ httpGet: { port } }, () => isAsked)).toEqual({
      outcome: 'failure',
      output: `Get "http://127.0.0.1:${port}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    });
  });

  it('does not wait for the end of a long body', async () => {
    const port = await serve((_, response) => {
      response.write(Buffer.alloc(20_000));
    });
    expect(await run({ httpGet: { port } })).toEqual({ outcome: 'success' });
  });

  it('finds nothing out by a body that breaks off', async () => {
    const port = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('x', () => response.destroy());
    });
    await expect(run({ httpGet: { port } })).rejects.toThrow('unexpected EOF');
  });
});

describe('a probe by TCP', () => {
  it('wants an open port', async () => {
    const port = await listen(createTcp((socket) => socket.end()));
    expect(await run({ tcpSocket: { port } })).toEqual({ outcome: 'success' });
    expect(await run({ tcpSocket: { port, host: 'localhost' } })).toEqual({ outcome: 'success' });
    const closed = await closedPort();
    expect(await run({ tcpSocket: { port: closed } })).toEqual({
      outcome: 'failure',
      output: `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    });
  });

  it('fails for a host that does not exist', async () => {
    const result = await run({ tcpSocket: { port: 1, host: 'no.such.host.invalid' } });
    expect(result).toEqual({ outcome: 'failure', output: 'dial tcp: lookup no.such.host.invalid: no such host' });
  });
});

describe('the port of a probe', () => {
  const ports = [{ name: 'web', containerPort: 8080 }];

  it.each([
    [80, 80],
    ['web', 8080],
    ['81', 81],
  ])('%j is %i', (port, expected) => {
    expect(containerPort(port, { ports })).toBe(expected);
  });

  it.each([
    ['none', 'strconv.Atoi: parsing "none": invalid syntax'],
    [0, 'invalid port number: 0'],
    ['70000', 'invalid port number: 70000'],
  ])('%j cannot be found out', async (port, message) => {
    await expect(run({ tcpSocket: { port: port as never } }, { container: { name: 'c', ports } })).rejects.toThrow(
      message,
    );
  });
});

describe('a probe by gRPC', () => {
  /** Serves what `answer` says about the service that is asked for. */
  async function grpc(answer: (service: string, stream: ServerHttp2Stream) => void): Promise<number> {
    const server = createHttp2();
    server.on('stream', async (stream, headers) => {
      const body = await buffer(stream);
      if (headers[':path'] !== '/grpc.health.v1.Health/Check' || headers['content-type'] !== 'application/grpc')
        return stream.respond({ ':status': 404 }, { endStream: true });
      answer(body.length > 5 ? body.subarray(7).toString() : '', stream);
    });
    return listen(server);
  }

  function health(stream: ServerHttp2Stream, message: readonly number[]): void {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
  }

  function refuse(stream: ServerHttp2Stream, code: number, message: string): void {
    const trailers = { 'grpc-status': String(code), 'grpc-message': message };
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true });
  }

  it.each([
    [[8, 1], 'success'],
    [[8, 2], 'service unhealthy (responded with "NOT_SERVING")'],
    [[8, 3], 'service unhealthy (responded with "SERVICE_UNKNOWN")'],
    [[], 'service unhealthy (responded with "UNKNOWN")'],
  ])('judges the state %j: %s', async (message, expected) => {
    const port = await grpc((_, stream) => health(stream, message));
    const result = await run({ grpc: { port } });
    expect('output' in result ? result.output : result.outcome).toBe(expected);
  });

  it('asks for the service that it is told', async () => {
    const services: string[] = [];
    const port = await grpc((service, stream) => {
      services.push(service);
      health(stream, [8, 1]);
    });
    for (const service of ['my.Service', ''])
      expect(await run({ grpc: { port, service } })).toEqual({ outcome: 'success' });
    expect(services).toEqual(['my.Service', '']);
  });

  it.each([
    [
      12,
      'unknown service',
      'error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service',
    ],
    [5, 'no%20such%20service', 'error: health rpc probe failed: rpc error: code = NotFound desc = no such service'],
    [4, '', 'timeout: health rpc did not complete within 20s'],
  ])('fails by status %i', async (code, message, expected) => {
    const port = await grpc((_, stream) => refuse(stream, code, message));
    expect(await run({ grpc: { port } })).toEqual({ outcome: 'failure', output: expected });
  });

  it('fails when nobody listens, or somebody who speaks something else', async () => {
    const closed = await closedPort();
    expect(await run({ grpc: { port: closed } })).toEqual({
      outcome: 'failure',
      output: `error: failed to connect service at "127.0.0.1:${closed}": connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:${closed}: connect: connection refused"`,
    });
    const http1 = await serve((_, response) => response.end());
    expect(await run({ grpc: { port: http1 } })).toMatchObject({
      outcome: 'failure',
      output: expect.stringContaining(`error: failed to connect service at "127.0.0.1:${http1}"`),
    });
  });

  it('fails when it takes too long, before and after the connection', async () => {
    let isAsked = false;
    const slow = await grpc(() => {
      isAsked = true;
    });
    expect(await runOut({ grpc: { port: slow } }, () => isAsked)).toEqual({
      outcome: 'failure',
      output: 'timeout: health rpc did not complete within 1s',
    });
    let isConnected = false;
    const mute = await listen(
      createTcp((socket) => {
        isConnected = true;
        socket.on('error', () => {});
      }),
    );
    expect(await runOut({ grpc: { port: mute } }, () => isConnected)).toEqual({
      outcome: 'failure',
      output: `timeout: failed to connect service "127.0.0.1:${mute}" within 1s: context deadline exceeded`,
    });
  });
});

describe.runIf(process.platform === 'linux')('a probe by a program', () => {
  it('runs in the container and shows what it printed', async () => {
    const [stdout, stderr] = [new PassThrough().resume(), new PassThrough().resume()];
    const command = {
      argv: ['sleep', '60'],
      env: new Map([
        ['PATH', '/usr/bin:/bin'],
        ['WHO', 'me'],
      ]),
      cwd: '/',
    };
    const running = await startBareProcess(
      { command, tty: false },
      { stdout, stderr },
      { directory: join(directory, 'bare'), clock: systemClock },
    );
    try {
      const exec = (script: string): Promise<ProbeResult> =>
        run({ exec: { command: ['sh', '-c', script] } }, { running });
      expect(await exec('[ "$WHO" = me ]')).toEqual({ outcome: 'success' });
      expect(await exec('echo out; echo err >&2; false')).toEqual({ outcome: 'failure', output: 'out\nerr\n' });
      await expect(run({ exec: { command: ['nonesuch'] } }, { running })).rejects.toThrow(
        'failed to exec in container: OCI runtime exec failed: exec failed: unable to start container process: exec: "nonesuch": executable file not found in $PATH: unknown',
      );
    } finally {
      running.kill('SIGKILL');
      await running.exited;
    }
  });
});

describe('a program that a busy worker takes long to start', () => {
  class SlowContainer extends FakeContainer {
    readonly clock = new FakeClock();
    readonly delayMs: number;

    constructor(delayMs: number) {
      super(new Date(0).toISOString(), () => 0);
      this.delayMs = delayMs;
    }

    override async exec(request: ExecRequest) {
      await this.clock.sleep(this.delayMs);
      return super.exec(request);
    }
  }

  it('still has all of its time', async () => {
    const running = new SlowContainer(5_000);
    const result = run({ exec: { command: ['true'] }, timeoutSeconds: 1 }, { running, clock: running.clock });
    await running.clock.advance(5_000);
    expect(await result).toEqual({ outcome: 'success' });
  });

  it('says nothing about the health of the container when it does not start at all', async () => {
    const running = new SlowContainer(3_600_000);
    const result = run({ exec: { command: ['true'] } }, { running, clock: running.clock });
    const refused = expect(result).rejects.toThrow(
      'failed to exec in container: program "true": no answer within 30000 ms',
    );
    await running.clock.advance(30_000);
    await refused;
    await running.clock.advance(3_600_000);
    expect(running.programs).toEqual([]);
  });
});

describe('a probe', () => {
  it('without an action finds nothing out', async () => {
    await expect(run({})).rejects.toThrow('missing probe handler for container c');
  });
});
