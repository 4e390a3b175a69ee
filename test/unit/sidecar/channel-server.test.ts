import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { RunnerRecord, SidecarMessage } from '../../../src/contract/job-directory.ts';
import { dialChannel } from '../../../src/runner/dial-channel.ts';
import { channelCertificate } from '../../../src/sidecar/channel-certificate.ts';
import { type ChannelHost, ChannelServer } from '../../../src/sidecar/channel-server.ts';

const signal = new AbortController().signal;
const TOKEN = 'secret-token';
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-channel-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Keeps what it is told; knows the pod `u`, whose last record is number 4. */
class RecordingHost implements ChannelHost {
  readonly records: RunnerRecord[] = [];
  readonly connections: boolean[] = [];
  tokenHash(uid: string): string | undefined {
    return uid === 'u' ? createHash('sha256').update(TOKEN).digest('hex') : undefined;
  }
  lastSeq(): number {
    return 4;
  }
  record(_uid: string, record: RunnerRecord): void {
    this.records.push(record);
  }
  connected(_uid: string, isConnected: boolean): void {
    this.connections.push(isConnected);
  }
}

async function listenUnix() {
  const path = join(directory, 'channel.sock');
  const host = new RecordingHost();
  const server = new ChannelServer({ kind: 'unix', path }, undefined, { clock: systemClock, logger: silentLogger });
  await server.listen(host);
  const dial = (path_: string, token = TOKEN) => dialChannel({ endpoints: [], token }, `unix:${path}`, path_, signal);
  return { server, host, dial, path };
}

/** Messages of a socket from its opening on. */
function messagesOf(socket: WebSocket): SidecarMessage[] {
  const messages: SidecarMessage[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data)) as SidecarMessage));
  socket.resume();
  return messages;
}

const record = (seq: number): RunnerRecord => ({
  seq,
  time: '2026-11-25T00:00:00.000Z',
  status: { sandbox: 'Ready', nodeName: 'n', startTime: '2026-11-25T00:00:00Z', containers: [], initContainers: [] },
  events: [],
});

test('a runner is greeted with the last record and what it sends arrives', async () => {
  const { server, host, dial, path } = await listenUnix();
  await using _server = server;
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const socket = await dial('/channel/u');
  const messages = messagesOf(socket);
  await expect.poll(() => messages).toEqual([{ type: 'hello', seq: 4 }]);
  socket.send(JSON.stringify({ type: 'record', record: record(5) }));
  await expect.poll(() => host.records).toEqual([record(5)]);
  const stop = { gracePeriodSeconds: 3, requestedAt: '2026-11-25T00:00:00Z', reason: 'Deleted' };
  expect(server.send('u', { type: 'stop', stop })).toBe(true);
  await expect.poll(() => messages.at(-1)).toEqual({ type: 'stop', stop });
  socket.terminate();
  await expect.poll(() => host.connections).toEqual([true, false]);
  expect(server.send('u', { type: 'stop', stop })).toBe(false);
});

test.each([
  ['a wrong token', '/channel/u', 'other', '401'],
  ['no token', '/channel/u', '', '401'],
  ['an unknown pod', '/channel/v', TOKEN, '401'],
  ['another path', '/other', TOKEN, '404'],
  ['a stream that nobody asked for', '/channel/u/streams/x', TOKEN, '404'],
  ['a path that leads elsewhere', '/channel/..%2fu', TOKEN, '404'],
])('a runner with %s is refused', async (_what, path, token, status) => {
  const { server, host, dial } = await listenUnix();
  await using _server = server;
  await expect(dial(path, token)).rejects.toThrow(status);
  expect(host.connections).toEqual([]);
});

test('messages that are none are ignored', async () => {
  const { server, host, dial } = await listenUnix();
  await using _server = server;
  const socket = await dial('/channel/u');
  socket.resume();
  for (const text of ['nonsense', '{}', 'null', '{"type":"record"}', '{"type":"record","record":{"seq":"1"}}'])
    socket.send(text);
  socket.send(Buffer.from([1, 2, 3]));
  socket.send(JSON.stringify({ type: 'record', record: record(6) }));
  await expect.poll(() => host.records).toEqual([record(6)]);
});

test('the newest channel of a pod wins', async () => {
  const { server, dial } = await listenUnix();
  await using _server = server;
  const first = await dial('/channel/u');
  first.resume();
  const closed = new Promise((resolve) => first.once('close', resolve));
  const second = await dial('/channel/u');
  const messages = messagesOf(second);
  await closed;
  expect(server.send('u', { type: 'hello', seq: 9 })).toBe(true);
  await expect.poll(() => messages.at(-1)).toEqual({ type: 'hello', seq: 9 });
});

test('a stream is dialled by the runner and carries bytes to the end', async () => {
  const { server, dial } = await listenUnix();
  await using _server = server;
  const channel = await dial('/channel/u');
  channel.on('message', async (data) => {
    const message = JSON.parse(String(data)) as SidecarMessage;
    if (message.type !== 'stream') return;
    const stream = await dial(`/channel/u/streams/${message.id}`);
    stream.resume();
    stream.send(Buffer.from('one '));
    stream.send(Buffer.alloc(3 * 1024 * 1024, 120));
    stream.close(1000);
  });
  channel.resume();
  await expect.poll(() => server.send('u', { type: 'hello', seq: 0 })).toBe(true);
  const stream = await server.openStream('u', { kind: 'logs', container: 'c', options: {} }, signal);
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  expect(bytes).toBe(4 + 3 * 1024 * 1024);
});

test('a stream that fails at the runner fails with its words', async () => {
  const { server, dial } = await listenUnix();
  await using _server = server;
  const channel = await dial('/channel/u');
  channel.on('message', async (data) => {
    const message = JSON.parse(String(data)) as SidecarMessage;
    if (message.type !== 'stream') return;
    const stream = await dial(`/channel/u/streams/${message.id}`);
    stream.send(JSON.stringify({ error: 'no such log' }));
    stream.close(1000);
  });
  channel.resume();
  await expect.poll(() => server.send('u', { type: 'hello', seq: 0 })).toBe(true);
  const stream = await server.openStream('u', { kind: 'logs', container: 'c', options: {} }, signal);
  const read = async () => {
    for await (const _chunk of stream);
  };
  await expect(read()).rejects.toMatchObject({ kind: 'Unavailable', message: expect.stringContaining('no such log') });
});

test('a stream of a pod without a channel is unavailable at once', async () => {
  const { server } = await listenUnix();
  await using _server = server;
  await expect(server.openStream('u', { kind: 'logs', container: 'c', options: {} }, signal)).rejects.toMatchObject({
    kind: 'Unavailable',
  });
});

test('over TLS the certificate is made once and pinned by its fingerprint', async () => {
  const certificate = await channelCertificate(directory);
  expect(await channelCertificate(directory)).toEqual(certificate);
  expect((await stat(join(directory, 'channel.pem'))).mode & 0o777).toBe(0o600);
  const address = { kind: 'tcp', tls: true, host: '127.0.0.1', port: 0 } as const;
  await using server = new ChannelServer(address, certificate, { clock: systemClock, logger: silentLogger });
  await server.listen(new RecordingHost());
  const port = server.address.kind === 'tcp' ? server.address.port : 0;
  const settings = { endpoints: [], token: TOKEN, fingerprint: certificate.fingerprint };
  const socket = await dialChannel(settings, `wss://127.0.0.1:${port}`, '/channel/u', signal);
  const messages = messagesOf(socket);
  await expect.poll(() => messages).toEqual([{ type: 'hello', seq: 4 }]);
  socket.terminate();
  const other = { ...settings, fingerprint: '00'.repeat(32) };
  await expect(dialChannel(other, `wss://127.0.0.1:${port}`, '/channel/u', signal)).rejects.toMatchObject({
    kind: 'Unavailable',
  });
});
