import { open } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import { watchFile } from '../base/file-changes.ts';
import { existingFiles } from './log-files.ts';
import { parseRecord } from './log-record.ts';
import { LogSuccession } from './log-succession.ts';
import { startOf } from './log-tail.ts';
import type { LogOptions } from './sidecar.ts';

/** What to read and how long. */
export interface ContainerLogRequest {
  /** Path of the attempt's newest file, as `containerLogPath` gives it; `previous` is the caller's choice of another attempt. */
  readonly path: string;
  readonly options: LogOptions;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether the attempt has ended and written everything; asked only while following. */
  readonly isEnded: () => boolean | Promise<boolean>;
}

const BLOCK_BYTES = 64 * 1024;
/** Longest record that is kept together; ours have at most 16 KiB and a head. A foreign longer one is cut. */
const MAX_RECORD_BYTES = 1024 * 1024;
const NEWLINE = 10;

/**
 * The bytes that `kubectl logs` shows of a log in the CRI format, over its rotated files, oldest first. Parts of a line are joined; a time
 * stamp stands before the first part only; `limitBytes` cuts what is left after `tailLines` and `since…`, also inside a line;
 * `tailLines` counts lines of the container before `since…` filters them. `follow` ends when {@link ContainerLogRequest.isEnded} says so and all is read.
 * Memory does not depend on the log's size.
 *
 * @throws NotFound when there is no such log; `signal.reason` on abort.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/logs/logs.go ReadLogs
 */
export async function* readContainerLog(request: ContainerLogRequest): AsyncGenerator<Uint8Array, void, void> {
  const { options, clock, signal } = request;
  signal.throwIfAborted();
  const sinceMs = earliest(options, clock);
  let remaining = options.limitBytes ?? Number.POSITIVE_INFINITY;
  let atLineStart = true;
  for await (const records of readRecords(request)) {
    const out: Buffer[] = [];
    for (const record of records) {
      const message = parseRecord(record);
      if (message === undefined) continue;
      const { text, time, whole } = message;
      if (sinceMs === undefined || Date.parse(time) >= sinceMs) {
        if (options.timestamps && atLineStart) out.push(Buffer.from(`${time} `, 'latin1'));
        out.push(text);
        if (whole) out.push(NEWLINE_BUFFER);
      }
      atLineStart = whole;
    }
    if (out.length === 0) continue;
    const chunk = Buffer.concat(out);
    if (chunk.length >= remaining) {
      yield chunk.subarray(0, remaining);
      return;
    }
    remaining -= chunk.length;
    yield chunk;
  }
}

const NEWLINE_BUFFER = Buffer.from('\n');

function earliest({ sinceSeconds, sinceTime }: LogOptions, clock: Clock): number | undefined {
  if (sinceSeconds !== undefined) return clock.nowMs() - sinceSeconds * 1000;
  if (sinceTime === undefined) return undefined;
  const ms = Date.parse(sinceTime);
  if (Number.isNaN(ms)) throw new InterlinkError('Invalid', `sinceTime is no RFC 3339 time: ${sinceTime}`);
  return ms;
}

/** Batches of whole records, each valid until the next is asked for, from where `tailLines` begins, then, with `follow`, those that come. */
async function* readRecords(request: ContainerLogRequest): AsyncGenerator<Buffer[], void, void> {
  const { path, options, signal } = request;
  const start = await startOf(await existingFiles(path), options.tailLines);
  let handle = await open(start.path, 'r');
  const succession = await LogSuccession.after(handle, path, { isFollowed: options.follow === true });
  let offset = start.offset;
  const changes = options.follow ? watchFile(path) : undefined;
  const buffer = new RecordBuffer();
  // One block for all: whoever takes a batch is done with it before the next one is read.
  const space = Buffer.allocUnsafe(BLOCK_BYTES);
  const readAll = async function* (): AsyncGenerator<Buffer[], void, void> {
    for (;;) {
      const { bytesRead } = await handle.read(space, 0, BLOCK_BYTES, offset);
      if (bytesRead === 0) return;
      signal.throwIfAborted();
      offset += bytesRead;
      const records = buffer.push(space.subarray(0, bytesRead));
      if (records.length > 0) yield records;
    }
  };
  try {
    for (;;) {
      signal.throwIfAborted();
      // Asked before reading: what was written before the end is read after the answer.
      const ended = changes === undefined || (await request.isEnded());
      yield* readAll();
      const next = await succession.next();
      if (next !== undefined) {
        // What came between the last read and the rename is in the old file.
        yield* readAll();
        await handle.close();
        handle = next;
        offset = 0;
      } else if (ended) {
        const last = buffer.rest();
        if (last !== undefined) yield [last];
        return;
      } else {
        await changes?.wait(request);
      }
    }
  } finally {
    changes?.close();
    await succession[Symbol.asyncDispose]();
    await handle.close();
  }
}

/** Cuts blocks into records; keeps what has no newline yet. */
class RecordBuffer {
  #rest: Buffer = Buffer.alloc(0);

  push(block: Buffer): Buffer[] {
    const records: Buffer[] = [];
    let from = 0;
    for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE, from)) {
      const record = block.subarray(from, end);
      records.push(this.#rest.length === 0 ? record : Buffer.concat([this.#rest, record]));
      this.#rest = Buffer.alloc(0);
      from = end + 1;
    }
    if (from < block.length && this.#rest.length < MAX_RECORD_BYTES)
      this.#rest = Buffer.concat([this.#rest, block.subarray(from)]);
    return records;
  }

  rest(): Buffer | undefined {
    return this.#rest.length === 0 ? undefined : this.#rest;
  }
}
