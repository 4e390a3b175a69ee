import { InterlinkError } from '../base/errors.ts';

export interface IdentityLimitsOptions {
  readonly maxCalls: number;
  readonly maxStreams: number;
}

/** Counts what each identity has under way, so that one caller cannot take the whole proxy. */
export class IdentityLimits {
  readonly #options: IdentityLimitsOptions;
  readonly #calls = new Map<string, number>();
  readonly #streams = new Map<string, number>();

  constructor(options: IdentityLimitsOptions) {
    this.#options = options;
  }

  /** Enters a call; the result leaves it again and may be called more than once. @throws TooManyRequests */
  enterCall(identity: string): () => void {
    return enter(this.#calls, identity, this.#options.maxCalls, 'calls');
  }

  /** As {@link enterCall}, for a followed log or a watch. */
  enterStream(identity: string): () => void {
    return enter(this.#streams, identity, this.#options.maxStreams, 'streams');
  }
}

function enter(counts: Map<string, number>, identity: string, limit: number, what: string): () => void {
  const count = counts.get(identity) ?? 0;
  if (count >= limit)
    throw new InterlinkError('TooManyRequests', `${limit} ${what} at the same time are the most; try again`, {
      code: 'proxy.limit',
      details: { retryAfterSeconds: 1 },
    });
  counts.set(identity, count + 1);
  let left = false;
  return () => {
    if (left) return;
    left = true;
    const now = (counts.get(identity) ?? 1) - 1;
    if (now <= 0) counts.delete(identity);
    else counts.set(identity, now);
  };
}
