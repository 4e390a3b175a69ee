import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { type PodRef, podRefOf } from '../contract/pod-ref.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import type { CallOptions, PingResult, Sidecar } from '../contract/sidecar.ts';
import type { Pod } from '../kube/types.ts';
import { chooseSidecar, type MatchRule } from './choose-sidecar.ts';
import { KnownStatuses } from './known-statuses.ts';
import { mergePings } from './merge-pings.ts';
import { mergeWatches } from './merge-watches.ts';
import type { RouteStore } from './route-store.ts';

/** A sidecar of this site, by its configured name, and which pods it takes. */
export interface Upstream {
  readonly name: string;
  readonly sidecar: Sidecar;
  readonly match?: MatchRule | undefined;
}

export interface RoutingSidecarDeps {
  readonly routes: RouteStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

function unknownPod({ namespace, name }: PodRef): InterlinkError {
  return new InterlinkError('NotFound', `pod ${namespace}/${name} is not known here`, { code: 'proxy.route.none' });
}

/**
 * Several sidecars as one. A pod goes to the sidecar of its first create or, without one, to the sidecar that its rule names. Capabilities are those that all
 * have. Disposing disposes the sidecars, not the store.
 */
export function createRoutingSidecar(upstreams: readonly Upstream[], deps: RoutingSidecarDeps): Sidecar {
  const { routes, clock, logger } = deps;
  const byName = new Map(upstreams.map((upstream) => [upstream.name, upstream]));
  const known = new KnownStatuses();
  const lastPings = new Map<string, PingResult>();

  const upstreamNamed = (name: string): Upstream => {
    const found = byName.get(name);
    if (found) return found;
    throw new InterlinkError('Unavailable', `the pod is at sidecar ${name}, which is configured no more`, {
      code: 'proxy.route.gone',
    });
  };

  const ownerOf = (pod: Pod, uid: string): Upstream | undefined => {
    const name = routes.get(uid);
    return name === undefined ? chooseSidecar(upstreams, pod) : upstreamNamed(name);
  };

  const statusAt = async (
    upstream: Upstream,
    pods: readonly Pod[],
    options: CallOptions,
  ): Promise<readonly PodStatus[]> => {
    try {
      const statuses = await upstream.sidecar.status(pods, options);
      for (const status of statuses) known.set(upstream.name, status);
      return statuses;
    } catch (error) {
      options.signal.throwIfAborted();
      const last = pods.map((pod) => known.get(podRefOf(pod).uid));
      if (last.some((status) => status === undefined)) throw error;
      logger.debug('status answered from what was last heard', { sidecar: upstream.name, err: error });
      return last.filter((status) => status !== undefined);
    }
  };

  return {
    async capabilities(options) {
      const documents = await Promise.all(upstreams.map(({ sidecar }) => sidecar.capabilities(options)));
      const [first] = documents;
      return {
        apiVersion: 'interlink/v1',
        name: documents.some(({ name }) => name === 'legacy') ? 'legacy' : 'interlink-proxy',
        version: first?.version ?? '',
        capabilities: (first?.capabilities ?? []).filter((name) =>
          documents.every(({ capabilities }) => capabilities.includes(name)),
        ),
      };
    },

    async create(bundle, options) {
      const { uid, namespace, name } = podRefOf(bundle.pod);
      const chosen = chooseSidecar(upstreams, bundle.pod)?.name ?? routes.get(uid);
      if (chosen === undefined)
        throw new InterlinkError(
          'Invalid',
          `pod ${namespace}/${name} fits the rule of no sidecar here; its labels, annotations or namespace would have to`,
          { code: 'proxy.route.none' },
        );
      return upstreamNamed(routes.claim(uid, chosen)).sidecar.create(bundle, options);
    },

    async delete(pod, options) {
      const { uid } = podRefOf(pod);
      const owner = ownerOf(pod, uid);
      // A pod that no sidecar wants was never taken and never will be.
      if (owner === undefined) return;
      routes.claim(uid, owner.name);
      await owner.sidecar.delete(pod, options);
      routes.markDeleted(uid);
    },

    async status(pods, options) {
      const groups = Map.groupBy(pods, (pod) => ownerOf(pod, podRefOf(pod).uid));
      const answers = await Promise.all(
        [...groups].map(([owner, group]) => (owner === undefined ? [] : statusAt(owner, group, options))),
      );
      return answers.flat();
    },

    async logs(request, options) {
      const { namespace, name, uid } = request;
      const owner = ownerOf({ metadata: { namespace, name, uid } }, uid);
      if (owner === undefined) throw unknownPod(request);
      return owner.sidecar.logs(request, options);
    },

    async updateVolumes(update, options) {
      // Only a sidecar that has taken the pod may see its Secrets.
      const name = routes.get(update.pod.uid);
      if (name === undefined) throw unknownPod(update.pod);
      await upstreamNamed(name).sidecar.updateVolumes(update, options);
    },

    async ping(options) {
      const outcomes = await Promise.allSettled(upstreams.map(({ sidecar }) => sidecar.ping(options)));
      options.signal.throwIfAborted();
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed && outcomes.every(({ status }) => status === 'rejected')) throw failed.reason;
      // A sidecar that is away for a moment keeps its share, so that the node's capacity does not jump.
      const results = upstreams.flatMap(({ name }, index) => {
        const outcome = outcomes[index];
        if (outcome?.status === 'fulfilled') lastPings.set(name, outcome.value);
        else logger.debug('ping failed', { sidecar: name, err: outcome?.reason });
        return lastPings.get(name) ?? [];
      });
      return mergePings(results);
    },

    watch: (options) =>
      mergeWatches(upstreams, options, { clock, logger, known, onDeleted: (uid) => routes.forget(uid) }),

    async [Symbol.asyncDispose]() {
      await Promise.all(upstreams.map(({ sidecar }) => sidecar[Symbol.asyncDispose]()));
    },
  };
}
