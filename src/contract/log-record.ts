const SPACE = 32;

/** One record of a container log in the CRI format. */
export interface LogRecord {
  readonly time: string;
  readonly whole: boolean;
  readonly text: Buffer;
}

/** `TIME STREAM TAG TEXT`; undefined for what is no record of the format. `record` has no newline at its end. */
export function parseRecord(record: Buffer): LogRecord | undefined {
  const first = record.indexOf(SPACE);
  const second = record.indexOf(SPACE, first + 1);
  const third = record.indexOf(SPACE, second + 1);
  if (first < 0 || second < 0) return undefined;
  const tag = third < 0 ? record.toString('latin1', second + 1) : record.toString('latin1', second + 1, third);
  return {
    time: record.toString('latin1', 0, first),
    whole: !tag.split(':').includes('P'),
    text: third < 0 ? record.subarray(record.length) : record.subarray(third + 1),
  };
}
