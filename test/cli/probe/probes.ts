import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import * as client from 'openid-client';
import { pino } from 'pino';
import { Counter, Registry } from 'prom-client';
import { Agent, request } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import { parse } from 'yaml';
import { z } from 'zod';

/** A little real work with each library; what each says is compared by the test. */
export const PROBES: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'node:sqlite'() {
    const { DatabaseSync } = await import('node:sqlite');
    using database = new DatabaseSync(':memory:');
    return (database.prepare('select 40 + 2 as sum').get() as { sum: number }).sum;
  },
  async ws() {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${String(data)}`)));
    const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await once(socket, 'open');
    socket.send('hello');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    socket.close();
    server.close();
    return String(answer);
  },
  async pino() {
    const lines: string[] = [];
    pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) }).info('hello');
    return lines.join('').trim();
  },
  async zod() {
    return z.strictObject({ a: z.number().int() }).safeParse({ a: 1.5 }).success;
  },
  async yaml() {
    return JSON.stringify(parse('a: [1, {b: 0o17}]'));
  },
  async undici() {
    return withServer({ '/': 'plain' }, async (url) => {
      await using dispatcher = new DisposableAgent(new Agent());
      const { body } = await request(url, { dispatcher: dispatcher.agent });
      return body.text();
    });
  },
  async jose() {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const token = await new SignJWT({ sub: 'me' }).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    const { payload } = await jwtVerify(token, publicKey);
    return `${payload.sub} ${(await exportJWK(publicKey)).kty}`;
  },
  async 'openid-client'() {
    return withServer(
      { '/.well-known/openid-configuration': (url) => JSON.stringify({ issuer: url }) },
      async (url) => {
        const configuration = await client.discovery(new URL(url), 'id', undefined, undefined, {
          execute: [client.allowInsecureRequests],
        });
        return new URL(configuration.serverMetadata().issuer).hostname;
      },
    );
  },
  async 'prom-client'() {
    const registry = new Registry();
    new Counter({ name: 'probe_total', help: 'x', registers: [registry] }).inc();
    return (await registry.metrics()).includes('probe_total 1');
  },
};

class DisposableAgent<T extends { close(): Promise<void> }> {
  readonly agent: T;
  constructor(agent: T) {
    this.agent = agent;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.agent.close();
  }
}

async function withServer<T>(
  answers: Readonly<Record<string, string | ((url: string) => string)>>,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const server: Server = createServer((request, response) => {
    const answer = answers[request.url ?? ''] ?? '';
    response.setHeader('content-type', 'application/json');
    response.end(typeof answer === 'string' ? answer : answer(url));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    return await use(url);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
