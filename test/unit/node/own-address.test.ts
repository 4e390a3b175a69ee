import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { ownAddress } from '../../../src/node/own-address.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

it('finds the address towards the API server, however long that is down', async () => {
  const clock = new FakeClock();
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = Object(server.address()).port as number;
  await new Promise((resolve) => server.close(resolve));
  let found: string | undefined;
  const { signal } = new AbortController();
  const asking = ownAddress(`https://127.0.0.1:${port}/prefix`, { clock, logger: silentLogger }, signal).then(
    (address) => {
      found = address;
    },
  );
  for (let i = 0; i < 5; i++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  expect(found).toBeUndefined();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const later = async (): Promise<string | undefined> => {
    await clock.advance(1_000);
    return found;
  };
  await expect.poll(later, { interval: 3 }).toBe('127.0.0.1');
  await asking;
  server.close();
});

it('stops asking when it is told to', async () => {
  const controller = new AbortController();
  const reason = new Error('stop');
  const asking = ownAddress('https://127.0.0.1:1', { clock: new FakeClock(), logger: silentLogger }, controller.signal);
  setTimeout(() => controller.abort(reason), 10);
  await expect(asking).rejects.toBe(reason);
});
