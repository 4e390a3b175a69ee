import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { TokenAsk } from '../../../src/contract/object-source.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { PodTokens } from '../../../src/node/pod-tokens.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const { signal } = new AbortController();
const HOUR = 3600;
const ask = (expirationSeconds?: number, audience?: string): TokenAsk => ({
  namespace: 'ns',
  serviceAccount: 'sa',
  podName: 'p',
  podUid: 'u',
  ...(audience === undefined ? {} : { audience }),
  ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
});

/** An API server that issues numbered tokens, of `lives` seconds where it decides on that itself. */
function issuer(random: number, lives?: number) {
  const clock = new FakeClock();
  const requests: { ref: unknown; spec: Record<string, unknown> }[] = [];
  const state = { refusal: undefined as Error | undefined };
  const create = async (_kind: unknown, ref: unknown, body: { spec: Record<string, unknown> }) => {
    requests.push({ ref, spec: body.spec });
    if (state.refusal) throw state.refusal;
    const spec = { ...body.spec, ...(lives === undefined ? {} : { expirationSeconds: lives }) };
    return { spec, status: { token: `token-${requests.length}` } };
  };
  const kube = { create } as unknown as KubeClient;
  const tokens = new PodTokens({ kube, clock, logger: silentLogger, random: () => random });
  return { clock, requests, state, tokens };
}

describe('a service account token', () => {
  it('is bound to the pod and asked for with its audience and life', async () => {
    const { tokens, requests } = issuer(0);
    expect(await tokens.get(ask(1200, 'vault'), signal)).toBe('token-1');
    expect(requests).toEqual([
      {
        ref: { namespace: 'ns', name: 'sa', subresource: 'token' },
        spec: {
          audiences: ['vault'],
          expirationSeconds: 1200,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
        },
      },
    ]);
  });

  it.each<[string, number | undefined, number | undefined, number, number]>([
    ['80 % of an hour', HOUR, undefined, 0, 0.8 * HOUR],
    ['up to 10 s earlier', HOUR, undefined, 1, 0.8 * HOUR - 10],
    ['80 % of the life that the server gave, not of what was asked for', HOUR, 600, 0, 480],
    ['24 hours of a year', 365 * 24 * HOUR, undefined, 0, 24 * HOUR],
    ['80 % of the usual hour when nobody says how long', undefined, undefined, 0, 0.8 * HOUR],
  ])('is renewed after %s', async (_title, asked, given, random, seconds) => {
    const { clock, tokens } = issuer(random, given);
    await tokens.get(ask(asked), signal);
    expect(tokens.renewMs).toBe(seconds * 1000);
    await clock.advance(seconds * 1000 - 1);
    expect(await tokens.get(ask(asked), signal)).toBe('token-1');
    await clock.advance(1);
    expect(await tokens.get(ask(asked), signal)).toBe('token-2');
    expect(tokens.renewMs).toBe(2 * seconds * 1000);
  });

  it('is kept per audience and life; the first to be renewed counts', async () => {
    const { tokens, requests } = issuer(0);
    expect(tokens.renewMs).toBeUndefined();
    const texts = [];
    for (const one of [ask(HOUR), ask(600), ask(600, 'a'), ask(600)]) texts.push(await tokens.get(one, signal));
    expect(texts).toEqual(['token-1', 'token-2', 'token-3', 'token-2']);
    expect(requests).toHaveLength(3);
    expect(tokens.renewMs).toBe(480_000);
  });

  it('is given on while it lives when it cannot be renewed, and asked for less and less often (fault: API server away)', async () => {
    const { clock, tokens, requests, state } = issuer(0);
    await tokens.get(ask(600), signal);
    state.refusal = new InterlinkError('Unavailable', 'away');
    await clock.advance(480_000);
    expect(await tokens.get(ask(600), signal)).toBe('token-1');
    expect(tokens.renewMs).toBe(485_000);
    await clock.advance(5_000);
    expect(await tokens.get(ask(600), signal)).toBe('token-1');
    expect(tokens.renewMs).toBe(495_000);
    await clock.advance(115_000);
    await expect(tokens.get(ask(600), signal)).rejects.toThrow('away');
    state.refusal = undefined;
    expect(await tokens.get(ask(600), signal)).toBe(`token-${requests.length}`);
  });

  it('that was never given is refused in the words of the API server', async () => {
    const { tokens, state } = issuer(0);
    state.refusal = new InterlinkError('NotFound', 'serviceaccounts "sa" not found');
    await expect(tokens.get(ask(), signal)).rejects.toThrow('serviceaccounts "sa" not found');
  });
});
