import { closeSync, openSync, writeSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { PRIVATE_FILE } from '../base/files.ts';
import type { LogFields, Logger } from '../base/logger.ts';

/**
 * The runner's own log: JSON lines appended to a file, 0600. It is small on purpose (the program's logger costs time and memory that a job should not pay).
 * A line that cannot be written is lost: the file system is full or gone, and there is no other place to say so.
 */
export function createFileLogger(path: string, clock: Clock): Logger & Disposable {
  const fd = openSync(path, 'a', PRIVATE_FILE);
  let isOpen = true;
  const make = (base: LogFields): Logger => {
    const write =
      (level: string) =>
      (msg: string, fields: LogFields = {}): void => {
        if (!isOpen) return;
        const line = { time: new Date(clock.nowMs()).toISOString(), level, msg, ...base, ...fields };
        try {
          writeSync(fd, `${JSON.stringify(line, errorsAsText)}\n`);
        } catch {
          return;
        }
      };
    return {
      debug: () => {},
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: (fields) => make({ ...base, ...fields }),
    };
  };
  return Object.assign(make({}), {
    [Symbol.dispose]: () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  });
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const cause = value.cause === undefined ? {} : { cause: value.cause };
  return { message: value.message, code: (value as { code?: unknown }).code, ...cause, stack: value.stack };
}
