import { isUtf8 } from 'node:buffer';
import { InterlinkError } from '../base/errors.ts';

/** Deepest nesting that is read; a Kubernetes object has less than 30. Deeper input exists only to exhaust the stack. */
const MAX_DEPTH = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * The value of a JSON text. The error quotes nothing of it, because bodies hold secrets.
 * @throws Invalid when it is empty, no UTF-8, no JSON or nested deeper than 100 levels; `what` begins the message.
 */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  const refuse = (reason: string): InterlinkError =>
    new InterlinkError('Invalid', `${what}: ${reason}`, { code: 'json.invalid' });
  if (bytes.length === 0) throw refuse('empty, expected JSON');
  if (!isUtf8(bytes)) throw refuse('not UTF-8');
  if (deeperThan(bytes, MAX_DEPTH)) throw refuse(`nested deeper than ${MAX_DEPTH} levels`);
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    // The engine's own message quotes the text around the fault; only the place may be told.
    const position = /position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    throw refuse(position === undefined ? 'not valid JSON (it ends too early)' : `not valid JSON at byte ${position}`);
  }
}

function deeperThan(bytes: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (inString) {
      if (byte === BACKSLASH) index++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > limit) return true;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
  }
  return false;
}
