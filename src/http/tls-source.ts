import { readFile, stat } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';

/** Certificate chain and key in PEM, and the authorities that client certificates may come from. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/** Where a server's certificate comes from. */
export interface TlsSource {
  /** @throws Unavailable or Invalid when there is none that can be used. */
  load(): Promise<TlsMaterial>;
  /** Resolves when `load` may give something else than before; rejects with `signal.reason`. */
  changed(signal: AbortSignal): Promise<void>;
}

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile?: string | undefined;
}

const POLL_MS = 10_000;

/** A certificate in files, read again within 10 s of a change. */
export function tlsFileSource(files: TlsFiles, clock: Clock): TlsSource {
  const paths = [files.certFile, files.keyFile, files.clientCaFile].filter((path) => path !== undefined);
  let loaded = '';
  return {
    async load() {
      loaded = await fingerprintOf(paths);
      return {
        cert: await readPem(files.certFile),
        key: await readPem(files.keyFile),
        ...(files.clientCaFile === undefined ? {} : { clientCa: await readPem(files.clientCaFile) }),
      };
    },
    async changed(signal) {
      do await clock.sleep(POLL_MS, { signal });
      while ((await fingerprintOf(paths)) === loaded);
    },
  };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new InterlinkError('Invalid', `${path}: cannot be read: ${(error as Error).message}`, {
      code: 'tls.file',
      cause: error,
    });
  }
}

/** Identity and time of each file; a file that is away for a moment (being replaced) counts as a state of its own. */
async function fingerprintOf(paths: readonly string[]): Promise<string> {
  const facts = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`,
        () => 'absent',
      ),
    ),
  );
  return facts.join(' ');
}
