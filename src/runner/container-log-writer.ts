import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY, PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { LOG_FILES, LOG_ROTATE_BYTES } from '../contract/job-directory.ts';
import type { ContainerOutput } from './container-runtime.ts';

export interface ContainerLogWriterOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Size at which a file is rotated; 10 MiB unless given. */
  readonly rotateBytes?: number;
}

/** Bytes of text per record; a longer line becomes parts, as containerd does it. */
const MAX_TEXT_BYTES = 16 * 1024;

/**
 * The log of one attempt: takes both output streams and writes records of the CRI format, rotated 10 MiB × 5. Text is kept byte by byte
 * (latin1 inside, nothing is decoded). Each chunk is one write with one time stamp. Writing is synchronous, so that a slow disk
 * stops the reading and the container waits, as on a kubelet. A log that cannot be written (disk full, quota) never harms
 * the container: the text is dropped, and said once in the runner's log.
 */
export class ContainerLogWriter implements ContainerOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #options: ContainerLogWriterOptions;
  #fd: number;
  #size: number;
  #failed = false;
  #closed = false;

  constructor(options: ContainerLogWriterOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true, mode: PRIVATE_DIRECTORY });
    this.#fd = openSync(options.path, 'a', PRIVATE_FILE);
    this.#size = fstatSync(this.#fd).size;
    this.stdout = this.#stream('stdout');
    this.stderr = this.#stream('stderr');
  }

  /** Writes what has no newline yet as a part and closes the file; further text is dropped. Repeating it is harmless. */
  close(): void {
    if (this.#closed) return;
    this.stdout.destroy();
    this.stderr.destroy();
    this.#closed = true;
    try {
      closeSync(this.#fd);
    } catch (error) {
      this.#report(error);
    }
  }

  #stream(name: 'stdout' | 'stderr'): Writable {
    let rest = '';
    const flush = (): void => {
      if (rest !== '') this.#append(`${this.#head(name, 'P')}${rest}\n`);
      rest = '';
    };
    const stream = new Writable({
      decodeStrings: true,
      write: (chunk: Buffer, _encoding, done) => {
        const text = chunk.toString('latin1');
        const end = text.lastIndexOf('\n');
        const head = this.#head(name, 'P');
        let out = '';
        if (end < 0) {
          rest += text;
        } else {
          const full = this.#head(name, 'F');
          const body = rest + text.slice(0, end);
          rest = text.slice(end + 1);
          out =
            body.length <= MAX_TEXT_BYTES
              ? `${full}${body.replaceAll('\n', `\n${full}`)}\n`
              : body
                  .split('\n')
                  .map((line) => splitLine(line, head, full))
                  .join('');
        }
        while (rest.length > MAX_TEXT_BYTES) {
          out += `${head}${rest.slice(0, MAX_TEXT_BYTES)}\n`;
          rest = rest.slice(MAX_TEXT_BYTES);
        }
        if (out !== '') this.#append(out);
        done();
      },
      final: (done) => {
        flush();
        done();
      },
      destroy: (error, done) => {
        flush();
        done(error);
      },
    });
    // Text after the close is dropped, and whoever writes it need not know.
    stream.on('error', () => {});
    return stream;
  }

  #head(stream: string, tag: 'P' | 'F'): string {
    // Nine digits as containerd writes them; the clock knows three.
    return `${new Date(this.#options.clock.nowMs()).toISOString().slice(0, 23)}000000Z ${stream} ${tag} `;
  }

  #append(records: string): void {
    if (this.#closed) return;
    try {
      let data = Buffer.from(records, 'latin1');
      this.#size += data.length;
      while (data.length > 0) data = data.subarray(writeSync(this.#fd, data));
      if (this.#size >= (this.#options.rotateBytes ?? LOG_ROTATE_BYTES)) this.#rotate();
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    const { path, logger } = this.#options;
    if (!this.#failed) logger.error('container log cannot be written; output is dropped', { path, err: error });
    this.#failed = true;
  }

  #rotate(): void {
    const { path } = this.#options;
    for (let index = LOG_FILES - 2; index >= 0; index -= 1) {
      try {
        renameSync(index === 0 ? path : `${path}.${index}`, `${path}.${index + 1}`);
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
      }
    }
    const next = openSync(path, 'a', PRIVATE_FILE);
    closeSync(this.#fd);
    this.#fd = next;
    this.#size = 0;
  }
}

function splitLine(line: string, part: string, full: string): string {
  let out = '';
  let from = 0;
  for (; line.length - from > MAX_TEXT_BYTES; from += MAX_TEXT_BYTES)
    out += `${part}${line.slice(from, from + MAX_TEXT_BYTES)}\n`;
  return `${out}${full}${line.slice(from)}\n`;
}
