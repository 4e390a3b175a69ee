import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isKind, messageOf } from '../base/errors.ts';
import { type BundleFault, bundleFaultsOf } from '../contract/bundle-fault.ts';
import { type CollectFacts, collectBundle } from '../contract/collect-bundle.ts';
import type { WaitingReason } from '../contract/container-status.ts';
import type { PodBundle } from '../contract/pod-bundle.ts';
import type { PodEvent } from '../contract/pod-status.ts';
import { missingPullSecrets } from '../contract/pull-secrets.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { Container, Pod } from '../kube/types.ts';
import type { BundleSource } from './bundle-source.ts';
import type { ConcurrencyLimit } from './concurrency-limit.ts';
import type { CreatedContent } from './pod-volume-feed.ts';

export interface PodStartDeps {
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  readonly random?: () => number;
  /** Shared by all pods of the node. */
  readonly creates: ConcurrencyLimit;
  /** @param changed called when something has changed that the pod refers to */
  readonly openSource: (pod: Pod, changed: () => void) => BundleSource;
  readonly facts: () => Omit<CollectFacts, 'seenAt'>;
}

/** What came of an attempt to hand a pod over to the site. */
export type StartOutcome =
  | {
      readonly kind: 'created';
      readonly jobId: string;
      /** What went wrong and did not keep the pod from starting. */
      readonly events: readonly Omit<PodEvent, 'id' | 'time'>[];
      /** What the site has been given; whoever takes the outcome disposes it. */
      readonly content: CreatedContent;
    }
  /** Not yet; to be tried again after `retryMs` or when something has changed. */
  | {
      readonly kind: 'waits';
      readonly retryMs: number;
      readonly waiting: (container: Container) => WaitingReason | undefined;
      readonly events: readonly Omit<PodEvent, 'id' | 'time'>[];
      /** For the log. */
      readonly cause: string;
    }
  /** The site can never run it. */
  | { readonly kind: 'refused'; readonly message: string }
  /** The site knows the UID with another content, or had it deleted. */
  | { readonly kind: 'conflict'; readonly message: string; readonly retryMs: number };

const BACKOFF = { initialMs: 1_000, maxMs: 5 * 60_000 };
/** What a pod waits for often comes without anybody telling, as where watches are not allowed. */
const MAX_FAULT_MS = 2 * 60_000;
/**
 * The API server learns a moment after the binding that a node may read what its new pod refers to (node authorizer); until then it says
 * forbidden, which is not worth an event.
 */
const RIGHTS_MS = 3_000;
const RIGHTS_RETRY_MS = 100;

const NOTHING_TO_SAY = { kind: 'waits', waiting: () => undefined, events: [] } as const;

/** Hands one pod over: collects what it needs, then creates it at the site, one attempt per call, with growing pauses. */
export class PodStart implements Disposable {
  readonly #deps: PodStartDeps;
  readonly #changed: () => void;
  readonly #faultBackoff: Backoff;
  readonly #createBackoff: Backoff;
  readonly #seenAt: string;
  #source: BundleSource | undefined;
  /** Kept between attempts: a second one would have other tokens, and the site would take it for another content. */
  #bundle: PodBundle | undefined;
  #mayBeKnown = false;
  #firstAttemptMs: number | undefined;

  constructor(deps: PodStartDeps, seenAt: string, changed: () => void) {
    this.#deps = deps;
    this.#seenAt = seenAt;
    this.#changed = changed;
    const random = deps.random === undefined ? {} : { random: deps.random };
    this.#faultBackoff = new Backoff({ ...BACKOFF, maxMs: MAX_FAULT_MS, ...random });
    this.#createBackoff = new Backoff({ ...BACKOFF, ...random });
  }

  /** Whether the site may have heard of the pod through this. */
  get mayBeKnown(): boolean {
    return this.#mayBeKnown;
  }

  /** @throws `signal.reason` on abort; the site may have taken the pod even so */
  async attempt(pod: Pod, signal: AbortSignal): Promise<StartOutcome> {
    const { sidecar, creates, clock } = this.#deps;
    this.#firstAttemptMs ??= clock.monotonicMs();
    try {
      this.#bundle ??= await this.#collect(pod, signal);
    } catch (error) {
      signal.throwIfAborted();
      return this.#incomplete(pod, error);
    }
    const bundle = this.#bundle;
    try {
      const session = pod.metadata?.uid ?? '';
      const { jobId } = await creates.run(() => {
        this.#mayBeKnown = true;
        return sidecar.create(bundle, { signal, session });
      }, signal);
      return { kind: 'created', jobId, events: pullSecretEvents(bundle), content: this.#give(bundle) };
    } catch (error) {
      signal.throwIfAborted();
      return this.#notCreated(error);
    }
  }

  [Symbol.dispose](): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
    this.#bundle = undefined;
  }

  #give(bundle: PodBundle): CreatedContent {
    const source = this.#source;
    this.#source = undefined;
    this.#bundle = undefined;
    return { bundle, source, [Symbol.dispose]: () => source?.[Symbol.dispose]() };
  }

  async #collect(pod: Pod, signal: AbortSignal): Promise<PodBundle> {
    const { openSource, facts } = this.#deps;
    this.#source ??= openSource(pod, this.#changed);
    return collectBundle(
      pod,
      this.#source,
      { ...facts(), seenAt: this.#seenAt },
      { signal, mayBeTooEarly: this.#isNew },
    );
  }

  get #isNew(): boolean {
    return this.#deps.clock.monotonicMs() - (this.#firstAttemptMs ?? 0) < RIGHTS_MS;
  }

  #incomplete(pod: Pod, error: unknown): StartOutcome {
    const cause = messageOf(error);
    const faults = bundleFaultsOf(error);
    if (this.#isNew && isKind(error, 'Forbidden')) return { ...NOTHING_TO_SAY, retryMs: RIGHTS_RETRY_MS, cause };
    const retryMs = this.#faultBackoff.next();
    if (!faults) return { ...NOTHING_TO_SAY, retryMs, cause };
    return {
      kind: 'waits',
      retryMs,
      cause,
      waiting: waitingFor(faults),
      events: faults.map((fault) => eventOf(pod, fault)),
    };
  }

  #notCreated(error: unknown): StartOutcome {
    const message = messageOf(error);
    if (isKind(error, 'Invalid', 'TooLarge')) return { kind: 'refused', message };
    const retryMs = this.#createBackoff.next();
    if (isKind(error, 'Conflict')) return { kind: 'conflict', message, retryMs };
    return {
      kind: 'waits',
      retryMs,
      cause: message,
      waiting: () => ({ reason: 'Submitting', message }),
      events: [
        { type: 'Warning', reason: 'FailedCreatePodSandBox', message: `Failed to create pod sandbox: ${message}` },
      ],
    };
  }
}

/** A container whose environment is faulty says so; with a faulty volume all just wait. */
function waitingFor(faults: readonly BundleFault[]): (container: Container) => WaitingReason | undefined {
  return ({ name }) => {
    const fault = faults.find((candidate) => candidate.part === 'environment' && candidate.name === name);
    return fault && { reason: 'CreateContainerConfigError', message: fault.message };
  };
}

/** @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go getPullSecretsForPod */
function pullSecretEvents(bundle: PodBundle): readonly Omit<PodEvent, 'id' | 'time'>[] {
  const missing = missingPullSecrets(bundle);
  if (missing.length === 0) return [];
  const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
  return [{ type: 'Warning', reason: 'FailedToRetrieveImagePullSecret', message }];
}

function eventOf(pod: Pod, { part, name, message }: BundleFault): Omit<PodEvent, 'id' | 'time'> {
  if (part === 'volume')
    return {
      type: 'Warning',
      reason: 'FailedMount',
      message: `MountVolume.SetUp failed for volume ${JSON.stringify(name)} : ${message}`,
    };
  const group = pod.spec?.initContainers?.some((container) => container.name === name)
    ? 'initContainers'
    : 'containers';
  return { type: 'Warning', reason: 'Failed', message: `Error: ${message}`, fieldPath: `spec.${group}{${name}}` };
}
