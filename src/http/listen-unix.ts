import { lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';
import { dirname } from 'node:path';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY } from '../base/files.ts';

/** Leaves 0600 of a socket's 0777. */
const PRIVATE_UMASK = 0o177;

/**
 * Makes `server` listen on the socket, which has mode 0600 from its first moment; a missing directory is made, 0700. A socket that a dead process left is
 * replaced. Two processes that start at the same moment on one stale socket must be kept apart by the caller's own lock.
 * @throws Conflict when a living process serves the path, Invalid when it is something else than a socket.
 */
export async function listenUnix(server: Server, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: PRIVATE_DIRECTORY });
  await removeStale(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve);
  server.once('error', reject);
  // The bind happens inside `listen`, before it returns, so nothing else of this process sees the umask.
  const umask = process.umask(PRIVATE_UMASK);
  try {
    server.listen(path);
  } finally {
    process.umask(umask);
  }
  try {
    await promise;
  } finally {
    server.off('listening', resolve);
    server.off('error', reject);
  }
}

async function removeStale(path: string): Promise<void> {
  try {
    const facts = await lstat(path);
    if (!facts.isSocket())
      throw new InterlinkError('Invalid', `${path} exists and is no socket; remove it or choose another path`, {
        code: 'http.socket.occupied',
      });
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (await isAlive(path))
    throw new InterlinkError('Conflict', `${path} is served by another process; stop that one or choose another path`, {
      code: 'http.socket.alive',
    });
  await unlink(path).catch((error: unknown) => {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      // EAGAIN: its backlog is full, so somebody has it open.
      const code = systemCodeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
      else if (code === 'EAGAIN') resolve(true);
      else reject(error);
    });
  });
}
