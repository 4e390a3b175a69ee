import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY, PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';

/** One decision. Holds nothing secret; a token appears only by the beginning of its SHA-256. */
export interface AuditEntry {
  /** RFC 3339 with milliseconds. */
  readonly time: string;
  readonly decision: 'allow' | 'deny';
  /** The rule that let the caller in, or why it was refused. */
  readonly reason: string;
  readonly code?: string;
  readonly status: number;
  readonly method: string;
  readonly path: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly clientId?: string;
  readonly audiences?: readonly string[];
  readonly tokenId?: string;
  readonly remoteAddress?: string;
  readonly session?: string;
  readonly call?: string;
  /** Pods of the call; only their number when there are several. */
  readonly pod?: string;
  readonly podUid?: string;
  readonly pods?: number;
  readonly durationMs: number;
}

/** Where decisions are written, one JSON line each, in the order in which they were made. */
export interface AuditLog extends AsyncDisposable {
  write(entry: AuditEntry): void;
}

/**
 * Appends to `path` (0600, made with its directory); each line is one write, so that lines of several processes do not mix. A write that fails is logged
 * once per change and does not stop the service.
 * @throws Invalid when the file cannot be opened.
 */
export async function openAuditFile(path: string, logger: Logger): Promise<AuditLog> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    await mkdir(dirname(path), { recursive: true, mode: PRIVATE_DIRECTORY });
    handle = await open(path, 'a', PRIVATE_FILE);
  } catch (error) {
    throw new InterlinkError('Invalid', `audit file ${path}: ${messageOf(error)}`, {
      code: 'proxy.audit',
      cause: error,
    });
  }
  let waiting: string[] = [];
  let writing: Promise<void> | undefined;
  let failing = false;

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const text = waiting.join('');
      waiting = [];
      try {
        await handle.appendFile(text);
        failing = false;
      } catch (error) {
        if (!failing) logger.error('audit cannot be written', { path, err: error });
        failing = true;
      }
    }
    writing = undefined;
  };

  return {
    write(entry) {
      waiting.push(`${JSON.stringify(entry)}\n`);
      writing ??= drain();
    },
    async [Symbol.asyncDispose]() {
      await writing;
      await handle.close();
    },
  };
}

/** Writes each decision to a stream that somebody else owns, such as standard error. */
export function streamAudit(stream: { write(text: string): unknown }): AuditLog {
  return {
    write: (entry) => void stream.write(`${JSON.stringify({ audit: entry })}\n`),
    async [Symbol.asyncDispose]() {},
  };
}
