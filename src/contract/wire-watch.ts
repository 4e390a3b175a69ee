import { InterlinkError } from '../base/errors.ts';
import type { WatchEvent } from './sidecar.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, type JsonObject } from './wire-keys.ts';
import { watchEventSchema } from './wire-schemas.ts';
import { wireStatus } from './wire-status.ts';

/** One line of `GET /watch`; statuses in it are spelled as in `/status`. */
export const wireWatch = {
  encode(event: WatchEvent): JsonObject {
    switch (event.type) {
      case 'SNAPSHOT':
        return { type: event.type, items: event.items.map(wireStatus.encode) };
      case 'STATUS':
        return { type: event.type, item: wireStatus.encode(event.item) };
      default:
        return { ...event };
    }
  },

  /** @throws Invalid naming the path of the fault; undefined for a type that a newer peer sends. */
  decode(value: unknown): WatchEvent | undefined {
    const event = canonicalKeys(value, [], 'watch event');
    if (typeof event.type === 'string' && !['SNAPSHOT', 'STATUS', 'DELETED', 'HEARTBEAT'].includes(event.type))
      return undefined;
    wireCheck(watchEventSchema, event, 'watch event');
    switch (event.type) {
      case 'SNAPSHOT':
        return {
          type: 'SNAPSHOT',
          items: (event.items as unknown[]).map((item, index) => statusOf(item, `watch event.items[${index}]`)),
        };
      case 'STATUS':
        return { type: 'STATUS', item: statusOf(event.item, 'watch event.item') };
      case 'DELETED':
        return { type: 'DELETED', uid: event.uid as string };
      default:
        return { type: 'HEARTBEAT' };
    }
  },
};

function statusOf(value: unknown, path: string) {
  const status = wireStatus.decode(value, new Map(), path);
  if (status === undefined)
    throw new InterlinkError('Invalid', `${path}: a status without name or UID`, { code: 'wire.invalid' });
  return status;
}
