import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Address } from '../http/address.ts';
import { type ClientTls, createHttpClient } from '../http/http-client.ts';
import { parseJson } from '../http/parse-json.ts';
import type { Pod } from '../kube/types.ts';
import { podRefOf } from './pod-ref.ts';
import type { PodStatus } from './pod-status.ts';
import { readLines } from './read-lines.ts';
import { type PeerCall, RemotePeer } from './remote-peer.ts';
import type { CallOptions, CreateResult, PingResult, Sidecar } from './sidecar.ts';
import { wireApi } from './wire-api.ts';
import { wireCreate } from './wire-create.ts';
import type { JsonObject } from './wire-keys.ts';
import { wireLogs } from './wire-logs.ts';
import { wirePing } from './wire-ping.ts';
import { wirePlugin } from './wire-plugin.ts';
import { wireStatus } from './wire-status.ts';
import { wireVolumes } from './wire-volumes.ts';
import { wireWatch } from './wire-watch.ts';

/** Time from a request's end to the answer's header, by call. A create may run a slow submit command. */
export interface RemoteTimeouts {
  readonly createMs: number;
  readonly deleteMs: number;
  readonly statusMs: number;
  readonly logsMs: number;
  readonly volumesMs: number;
  readonly pingMs: number;
  /** Longest silence of a watch; peers send a heartbeat every 15 s. */
  readonly watchIdleMs: number;
}

export interface RemoteSidecarOptions {
  readonly address: Address;
  readonly tls?: ClientTls;
  /** What the peer is: `api` an API server or our proxy, `plugin` a sidecar, ours or any other. */
  readonly codec: 'api' | 'plugin';
  /** How a plugin takes `/create`: one object, a list of one (before 0.5), or found out by trying. `auto` unless given. */
  readonly createFormat?: 'object' | 'array' | 'auto';
  /** Asked for each call; undefined sends none. */
  readonly token?: (options: { readonly signal: AbortSignal }) => Promise<Secret | undefined>;
  readonly timeouts?: Partial<RemoteTimeouts>;
  readonly clock: Clock;
}

const TIMEOUTS: RemoteTimeouts = {
  createMs: 120_000,
  deleteMs: 30_000,
  statusMs: 60_000,
  logsMs: 60_000,
  volumesMs: 30_000,
  pingMs: 30_000,
  watchIdleMs: 45_000,
};

/** Pods of one status request, so that the peer's limit of 8 MiB is never met. */
const STATUS_BATCH_BYTES = 2 * 1024 * 1024;
const MAX_WATCH_LINE_BYTES = 128 * 1024 * 1024;
const PROBE_OF_PYTHON_KIT = '/openapi.json';

/**
 * A sidecar reached over HTTP: one of ours, or any existing API server or plugin. Nothing is opened before the first call. An answer that is not what the contract says
 * is Unavailable with its beginning quoted; redirects are refused. Calls whose repetition does no harm are tried once more when a kept connection breaks.
 */
export function createRemoteSidecar(options: RemoteSidecarOptions): Sidecar {
  const { codec, clock, token } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const client = createHttpClient({ address: options.address, ...(options.tls ? { tls: options.tls } : {}) });
  const peer = new RemotePeer({ client, clock, token });
  const plugin = codec === 'plugin';
  let asList = options.createFormat === 'array';

  const isLegacy = async (call: CallOptions): Promise<boolean> => (await peer.capabilities(call)).name === 'legacy';

  const create = async (
    body: JsonObject,
    uid: string,
    repeatable: boolean,
    call: CallOptions,
  ): Promise<CreateResult> => {
    const request: PeerCall = {
      name: 'create',
      method: 'POST',
      path: '/create',
      body: JSON.stringify(asList ? [body] : body),
      headersTimeoutMs: timeouts.createMs,
      repeatable,
    };
    const answer = await peer.callJson(request, call);
    return peer.understood('create', () => wireCreate.decodeAnswer(answer, uid));
  };

  return {
    capabilities: (call) => peer.capabilities(call),

    async create(bundle, call) {
      const { uid } = podRefOf(bundle.pod);
      const repeatable = !(await isLegacy(call));
      // Existing peers cannot use them, and some write what they get into their logs.
      const { imagePullSecrets: _unused, ...others } = bundle;
      const sent = repeatable ? bundle : others;
      const body = plugin ? wirePlugin.encodeCreate(sent) : wireApi.encodeCreate(sent);
      try {
        return await create(body, uid, repeatable, call);
      } catch (error) {
        const retry = plugin && !asList && (options.createFormat ?? 'auto') === 'auto' && wantsList(error);
        if (!retry) throw wholeCall(error);
        asList = true;
        return await create(body, uid, repeatable, call);
      }
    },

    async delete(pod, call) {
      const request = {
        name: 'delete',
        method: plugin ? 'POST' : 'DELETE',
        path: '/delete',
        body: JSON.stringify(pod),
        headersTimeoutMs: timeouts.deleteMs,
        repeatable: true,
      };
      const answer = await peer.call(request, call).catch((error: unknown) => {
        throw wholeCall(error);
      });
      await answer.discard();
    },

    async status(pods, call) {
      const statuses: PodStatus[] = [];
      for (const batch of batches(pods)) {
        const request = {
          name: 'status',
          method: 'GET',
          path: '/status',
          body: `[${batch.map(({ json }) => json).join(',')}]`,
          headersTimeoutMs: timeouts.statusMs,
          repeatable: true,
        };
        const answer = await peer.callJson(request, call).catch((error: unknown) => {
          throw wholeCall(error);
        });
        const asked = batch.map(({ pod }) => pod);
        statuses.push(...peer.understood('status', () => wireStatus.decodeList(answer, asked)));
      }
      // An API server may answer for more pods than were asked for.
      const asked = new Set(pods.map((pod) => pod.metadata?.uid));
      return statuses.filter((status) => asked.has(status.uid));
    },

    async logs(request, call) {
      const { tailLines, limitBytes, ...others } = request.options;
      const cutHere = tailLines !== undefined && limitBytes !== undefined;
      const wireOptions = {
        ...others,
        ...(tailLines === undefined ? {} : { tailLines }),
        ...(limitBytes === undefined || cutHere ? {} : { limitBytes }),
      };
      // Existing peers read a tail of nothing as everything.
      if (tailLines === 0 && !others.follow && (await isLegacy(call))) return nothing();
      const answer = await peer.call(
        {
          name: 'getLogs',
          method: 'GET',
          path: '/getLogs',
          body: JSON.stringify(wireLogs.encode({ ...request, options: wireOptions }, plugin)),
          headersTimeoutMs: timeouts.logsMs,
          idleTimeoutMs: 0,
          stream: true,
          repeatable: true,
        },
        call,
      );
      return cutHere ? firstBytesOf(answer.body, limitBytes) : answer.body;
    },

    async ping(call) {
      const request = plugin
        ? { name: 'ping', method: 'GET', path: '/status', body: '[]' }
        : { name: 'ping', method: 'POST', path: '/pinglink' };
      const common = { headersTimeoutMs: timeouts.pingMs, repeatable: true };
      let bytes: Buffer;
      try {
        const answer = await peer.call({ ...request, ...common }, call);
        bytes = await answer.bytes(1024 * 1024);
      } catch (error) {
        if (plugin && isCrashOfPythonKit(error)) {
          const alive = { name: 'ping', method: 'GET', path: PROBE_OF_PYTHON_KIT, ...common };
          await (await peer.call(alive, call)).discard();
          return { status: 'ok' };
        }
        throw wholeCall(error);
      }
      return decodePing(bytes);
    },

    async updateVolumes(update, call) {
      if (!(await peer.capabilities(call)).capabilities.includes('volumes'))
        throw new InterlinkError('Unsupported', 'the peer takes no new content of volumes', { code: 'peer.volumes' });
      const request = {
        name: 'volumes',
        method: 'POST',
        path: '/volumes',
        body: JSON.stringify(wireVolumes.encode(update)),
        headersTimeoutMs: timeouts.volumesMs,
        repeatable: true,
      };
      await (await peer.call(request, call)).discard();
    },

    async *watch(call) {
      if (!(await peer.capabilities(call)).capabilities.includes('watch'))
        throw new InterlinkError('Unsupported', 'the peer has no watch; ask for the status instead', {
          code: 'peer.watch',
        });
      const request = {
        name: 'watch',
        method: 'GET',
        path: '/watch',
        headersTimeoutMs: timeouts.statusMs,
        idleTimeoutMs: timeouts.watchIdleMs,
        stream: true,
        repeatable: true,
      };
      const answer = await peer.call(request, call);
      for await (const line of readLines(answer.body, MAX_WATCH_LINE_BYTES)) {
        if (line.length === 0) continue;
        const event = peer.understood('watch', () => wireWatch.decode(parseJson(line, 'a line')), line);
        if (event) yield event;
      }
      call.signal.throwIfAborted();
      peer.forget();
      throw new InterlinkError('Unavailable', 'the peer ended the watch; open it again', { code: 'peer.watch.end' });
    },

    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** A 404 for a call that every sidecar has means that something else answers there, which an operator can mend. */
function wholeCall(error: unknown): unknown {
  if (isKind(error, 'NotFound', 'Unsupported') && error.code === 'peer.refused')
    return new InterlinkError('Unavailable', `${error.message}; this is no interLink peer, check the address`, {
      code: 'peer.stranger',
      cause: error,
    });
  return error;
}

/** How plugins of before 0.5 refuse an object. */
function wantsList(error: unknown): boolean {
  return (
    isKind(error, 'Invalid') && error.code === 'peer.refused' && /\b(list|array|slice)\b|\[\]/i.test(error.message)
  );
}

/** Plugins made with the Python kit take the first of no pods and crash. */
function isCrashOfPythonKit(error: unknown): boolean {
  return isKind(error, 'Unavailable') && error.code === 'peer.refused' && error.message.includes('answered 500');
}

function decodePing(bytes: Buffer): PingResult {
  try {
    return wirePing.decode(parseJson(bytes, 'ping'));
  } catch (error) {
    if (isKind(error, 'Invalid')) return { status: 'ok' };
    throw error;
  }
}

function* batches(pods: readonly Pod[]): Generator<{ readonly pod: Pod; readonly json: string }[], void, void> {
  let batch: { readonly pod: Pod; readonly json: string }[] = [];
  let size = 0;
  for (const pod of pods) {
    const json = JSON.stringify(pod);
    if (batch.length > 0 && size + json.length > STATUS_BATCH_BYTES) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push({ pod, json });
    size += json.length;
  }
  if (batch.length > 0) yield batch;
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}

async function* firstBytesOf(source: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array, void, void> {
  let rest = limit;
  for await (const chunk of source) {
    yield chunk.subarray(0, rest);
    rest -= chunk.length;
    if (rest <= 0) return;
  }
}
