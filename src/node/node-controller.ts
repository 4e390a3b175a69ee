import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import { NODES } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import { createReflector } from '../kube/reflector.ts';
import type { Node } from '../kube/types.ts';
import { metadataPatch, newNode, statusPatch, taintPatch } from './node-changes.ts';
import type { WantedNode } from './node-object.ts';

export interface NodeControllerDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How the Node shall be now; asked before each look. */
  readonly wanted: () => WantedNode;
  /** The node is registered only after this: pods are cached, the site has been asked. */
  readonly mayRegister: Promise<void>;
}

export interface NodeControllerOptions {
  readonly nodeName: string;
  /** The status is written this often although nothing has changed. */
  readonly statusReportMs: number;
}

/**
 * Keeps the Node object as it is wanted: makes it, makes it again at once when somebody deletes it, adopts one that is there, and puts labels, taints,
 * capacity and conditions right whenever they differ. `ready` resolves when the node is registered. Nothing is removed at the end.
 */
export interface NodeController extends Service {
  /** The object as last seen or written; undefined while there is none. */
  readonly node: Node | undefined;
  /** Call it when `wanted` gives something else. */
  changed(): void;
}

/** Between two looks, so that a fight with another writer costs little. */
const MIN_GAP_MS = 500;
/** What was forbidden is tried again after this time. */
const REFUSED_MS = 300_000;

/** Reads and writes nothing until `run`. */
export function createNodeController(deps: NodeControllerDeps, options: NodeControllerOptions): NodeController {
  return new Controller(deps, options);
}

class Controller implements NodeController {
  readonly name = 'node controller';
  readonly ready: Promise<void>;
  readonly #deps: NodeControllerDeps;
  readonly #options: NodeControllerOptions;
  readonly #becomeReady: () => void;
  /** Monotonic time until which a forbidden change is not tried again. */
  readonly #refusedUntil = new Map<string, number>();
  #node: Node | undefined;
  #statusAtMs = Number.NEGATIVE_INFINITY;
  #wake: () => void = () => {};
  #dirty = true;

  constructor(deps: NodeControllerDeps, options: NodeControllerOptions) {
    this.#deps = deps;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#becomeReady = resolve;
  }

  get node(): Node | undefined {
    return this.#node;
  }

  changed(): void {
    this.#dirty = true;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { kube, clock, logger } = this.#deps;
    const { nodeName } = this.#options;
    const reflector = createReflector(
      { kube, clock, logger },
      {
        kind: NODES,
        query: { fieldSelector: `metadata.name=${nodeName}` },
        name: 'reflector of the own node',
        handlers: {
          added: (node) => this.#saw(node),
          updated: (node) => this.#saw(node),
          deleted: (node) => this.#lost(node),
        },
      },
    );
    await Promise.all([
      reflector.run(signal),
      this.#loop(Promise.all([reflector.ready, this.#deps.mayRegister]), signal),
    ]);
  }

  async #loop(start: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    const backoff = new Backoff({ initialMs: 500, maxMs: 10_000 });
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([start, aborted]);
    while (!signal.aborted) {
      this.#dirty = false;
      let retryMs = 0;
      try {
        await this.#reconcile(signal);
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        retryMs = backoff.next();
        // Once per trouble: the first repetition may already cure it.
        if (backoff.attempts === 2) logger.warn('node not written, will retry', { err: messageOf(error) });
        if (isKind(error, 'NotFound')) this.#node = undefined;
        if (isKind(error, 'Conflict')) await this.#refresh(signal);
      }
      await this.#pause(Math.max(retryMs, MIN_GAP_MS), signal);
      const dueMs = this.#statusAtMs + this.#options.statusReportMs - clock.monotonicMs();
      if (retryMs === 0 && !this.#dirty) await this.#pauseUntilWoken(dueMs, signal);
    }
  }

  /** What changed the Node will be told by the watch too, but that may be reconnecting. */
  async #refresh(signal: AbortSignal): Promise<void> {
    try {
      this.#node = await this.#deps.kube.get(NODES, { name: this.#options.nodeName }, { signal });
    } catch (error) {
      if (isKind(error, 'NotFound')) this.#node = undefined;
      else this.#deps.logger.debug('node not read, will retry', { err: messageOf(error) });
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(ms, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #pauseUntilWoken(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      await this.#deps.clock.sleep(Math.max(0, ms), { signal: AbortSignal.any([signal, woken.signal]) });
    } catch (error) {
      if (!signal.aborted && !woken.signal.aborted) throw error;
    } finally {
      this.#wake = () => {};
    }
  }

  #saw(node: Node): void {
    // The watch is behind our own writes; what it still has to tell about them is older than their answers.
    if (node.metadata?.uid === this.#node?.metadata?.uid && isOlder(node, this.#node)) return;
    this.#node = node;
    this.changed();
  }

  #lost(node: Node): void {
    if (node.metadata?.uid !== this.#node?.metadata?.uid) return;
    this.#deps.logger.warn('node deleted by somebody, registering it again', { node: this.#options.nodeName });
    this.#node = undefined;
    this.changed();
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { kube, clock, logger, wanted: ask } = this.#deps;
    const ref = { name: this.#options.nodeName };
    const wanted = ask();
    if (this.#node === undefined) {
      try {
        this.#node = await kube.create(NODES, {}, newNode(ref.name, wanted, clock.nowMs()), { signal });
        this.#statusAtMs = clock.monotonicMs();
        logger.info('node registered', { node: ref.name });
      } catch (error) {
        if (!isKind(error, 'Conflict')) throw error;
        this.#node = await kube.get(NODES, ref, { signal });
        logger.info('node adopted', { node: ref.name });
      }
    }
    await this.#apply('labels', metadataPatch(this.#node, wanted), signal);
    await this.#apply('taints', taintPatch(this.#node, wanted), signal);
    const due = clock.monotonicMs() - this.#statusAtMs >= this.#options.statusReportMs;
    const patch = statusPatch(this.#node, wanted, clock.nowMs(), due);
    if (patch !== undefined) {
      this.#node = await kube.patch(NODES, { ...ref, subresource: 'status' }, patch, { type: 'strategic', signal });
      this.#statusAtMs = clock.monotonicMs();
    }
    this.#becomeReady();
  }

  /** A node that acts under its own name may not change its taints and some labels; the rest of it must work all the same. */
  async #apply(what: 'labels' | 'taints', patch: unknown, signal: AbortSignal): Promise<void> {
    const { kube, clock, logger } = this.#deps;
    if (patch === undefined || (this.#refusedUntil.get(what) ?? Number.NEGATIVE_INFINITY) > clock.monotonicMs()) return;
    try {
      this.#node = await kube.patch(NODES, { name: this.#options.nodeName }, patch, { type: 'merge', signal });
    } catch (error) {
      if (!isKind(error, 'Forbidden')) throw error;
      if (!this.#refusedUntil.has(what))
        logger.warn(`the API server lets this node not change its ${what}; an administrator can`, {
          err: messageOf(error),
        });
      this.#refusedUntil.set(what, clock.monotonicMs() + REFUSED_MS);
    }
  }
}

/** Versions of one kind of object grow; the API promises it since 1.35 and every server has kept it. */
function isOlder(node: Node, than: Node | undefined): boolean {
  const [version = '', other = ''] = [node.metadata?.resourceVersion, than?.metadata?.resourceVersion];
  return [version, other].every((text) => /^\d+$/.test(text)) && BigInt(version) <= BigInt(other);
}
