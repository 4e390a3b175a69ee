import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import type { LifecycleHandler } from '../../../src/kube/types.ts';
import { runHook } from '../../../src/runner/run-hook.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeContainer, type FakeProgram } from '../../fakes/fake-container.ts';

function hook(handler: LifecycleHandler, program: FakeProgram = () => 0) {
  const clock = new FakeClock();
  const running = new FakeContainer(new Date(0).toISOString(), program);
  const controller = new AbortController();
  const { signal } = controller;
  const container = { name: 'c', ports: [{ name: 'web', containerPort: 1 }] };
  const done = runHook(handler, { container, running, podIP: '127.0.0.1', clock, logger: silentLogger, signal });
  return { done, clock, running, controller };
}

async function serve(status: number) {
  const seen: string[] = [];
  const server = createServer(({ url, headers }, response) => {
    seen.push(`${url} ${headers['user-agent']} ${headers.authorization}`);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  return { port, seen, [Symbol.dispose]: () => void server.close() };
}

describe('a hook', () => {
  it('runs a program and drops what it prints', async () => {
    const { done, running } = hook({ exec: { command: ['sh', '-c', 'x'] } }, ({ output }) => {
      output.stdout.write(Buffer.alloc(1_000_000));
      return 0;
    });
    await done;
    expect(running.programs).toEqual(['sh -c x']);
  });

  it('fails with a program that does', async () => {
    await expect(hook({ exec: { command: ['sh', '-c', 'x'] } }, () => 8).done).rejects.toThrow(
      "command 'sh -c x' exited with 8",
    );
  });

  it('is cut off, and its program killed', async () => {
    const { done, controller, running } = hook({ exec: { command: ['sleep', '60'] } }, () => new Promise(() => {}));
    controller.abort(new Error('grace period over'));
    await expect(done).rejects.toThrow('grace period over');
    expect(running.killed).toBe(1);
  });

  it('sends a GET and is content with any answer', async () => {
    using server = await serve(500);
    await hook({ httpGet: { port: server.port, path: '/stop' } }).done;
    expect(server.seen).toEqual(['/stop kube-lifecycle/1.36 undefined']);
  });

  it('asks a server without TLS again in plain, without credentials', async () => {
    using server = await serve(200);
    const httpHeaders = [{ name: 'Authorization', value: 'secret' }];
    await hook({ httpGet: { port: server.port, path: '/x', scheme: 'HTTPS', httpHeaders } }).done;
    expect(server.seen).toEqual(['/x kube-lifecycle/1.36 undefined']);
  });

  it('fails without an answer', async () => {
    await expect(hook({ httpGet: { port: 'web' as never } }).done).rejects.toThrow(
      'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused',
    );
  });

  it('sleeps', async () => {
    const { done, clock } = hook({ sleep: { seconds: 3 } });
    let isDone = false;
    void done.then(() => {
      isDone = true;
    });
    await clock.advance(2_999);
    expect(isDone).toBe(false);
    await clock.advance(1);
    await done;
  });

  it.each([
    [{ tcpSocket: { port: 80 } }, 'invalid handler: tcpSocket'],
    [{}, 'invalid handler: none'],
  ] as const)('does nothing else: %j', async (handler, message) => {
    await expect(hook(handler).done).rejects.toThrow(message);
  });
});
