import { InterlinkError } from '../base/errors.ts';
import type { LogOptions } from '../contract/sidecar.ts';

/** RFC 3339 as Go reads it. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/**
 * The options of a kubelet's `/containerLogs` query. `tail=all` is the old spelling of no limit.
 *
 * @throws Invalid with code `kubelet.query` (400) for text that cannot be read, `kubelet.options` (422) for values that make no sense.
 */
export function parseLogOptions(query: string): LogOptions {
  const parameters = new URLSearchParams(query);
  const tail = parameters.get('tail');
  if (tail === 'all') parameters.delete('tailLines');
  else if (tail) parameters.set('tailLines', tail);
  const tailLines = integer(parameters, 'tailLines', 0);
  const limitBytes = integer(parameters, 'limitBytes', 1);
  const sinceSeconds = integer(parameters, 'sinceSeconds', 1);
  const sinceTime = parameters.get('sinceTime') || undefined;
  if (sinceTime !== undefined && (!TIME.test(sinceTime) || Number.isNaN(Date.parse(sinceTime))))
    throw unreadable('sinceTime', sinceTime);
  if (sinceTime !== undefined && sinceSeconds !== undefined)
    throw senseless('at most one of `sinceTime` or `sinceSeconds` may be specified');
  const stream = parameters.get('stream') || 'All';
  if (stream !== 'All') throw senseless(`stream: this node keeps both streams together, ask for All, not ${stream}`);
  return {
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === undefined ? {} : { sinceTime }),
    ...flag(parameters, 'timestamps'),
    ...flag(parameters, 'follow'),
    ...flag(parameters, 'previous'),
  };
}

function integer(parameters: URLSearchParams, name: string, minimum: number): number | undefined {
  const text = parameters.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) throw unreadable(name, text);
  if (value < minimum) throw senseless(`${name}: ${text} must be at least ${minimum}`);
  return value;
}

/** Kubernetes takes every value but `false` and `0` for true, an empty one too. */
function flag<K extends string>(parameters: URLSearchParams, name: K): Partial<Record<K, boolean>> {
  const text = parameters.get(name);
  if (text === null) return {};
  return { [name]: text !== '0' && text.toLowerCase() !== 'false' } as Partial<Record<K, boolean>>;
}

function unreadable(name: string, text: string): InterlinkError {
  return new InterlinkError('Invalid', `Unable to decode query: ${name}=${JSON.stringify(text)}`, {
    code: 'kubelet.query',
  });
}

function senseless(why: string): InterlinkError {
  return new InterlinkError('Invalid', `Invalid request: ${why}`, { code: 'kubelet.options' });
}
