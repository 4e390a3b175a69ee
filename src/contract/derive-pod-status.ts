import { rfc3339 } from '../base/clock.ts';
import { type ObservedCondition, podConditions } from '../kube/pod-conditions.ts';
import { isSidecar, isTerminalPhase, type PodPhase, podPhase } from '../kube/pod-phase.ts';
import type { Container, ContainerStatus, Pod, PodStatusFields } from '../kube/types.ts';
import { completeContainerStatuses, type WaitingReason } from './container-status.ts';
import { UNEXPLAINED_END } from './job-directory.ts';
import type { PodStatus } from './pod-status.ts';
import { queueReason } from './queue-reason.ts';

/** What decides about a status beside the pod and the site. */
export interface StatusFacts {
  readonly nowMs: number;
  /** Addresses of the node; the first one is `hostIP`. */
  readonly hostIPs: readonly string[];
  /** Nothing of the pod runs or will run, although the site does not say so: it was never sent there, or the site has forgotten it. */
  readonly over?: boolean;
  /** Why a container waits before the site knows the pod. */
  readonly waiting?: (container: Container) => WaitingReason | undefined;
  /** Why the pod as a whole has failed, where the site does not say; only with `over`. Containers that never started go on waiting. */
  readonly failure?: WaitingReason;
}

const SANDBOX_CONDITION = 'PodReadyToStartContainers';

/** Why a pod failed that was taken away by its machine or its batch system: it may run elsewhere. */
const DISRUPTIONS = new Set(['NodeLost', 'NodeShutdown', 'Preempted', UNEXPLAINED_END]);

const LOST: NonNullable<ContainerStatus['state']> = {
  terminated: {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  },
};

/**
 * The `status` that a kubelet would show for the pod: `pod` as the API server has it, `site` what the site says (undefined before it knows the
 * pod). Pure. A terminal phase is kept, phases never go back, transition times change only with their condition, conditions of others stay.
 * `qosClass` is left to the API server.
 *
 * While the sandbox is not `Gone` a pod whose containers have all ended is still `Running` (or `Pending` if it was never seen running), as it may
 * hold what belongs to the machine. `containerStatuses` are sorted by name, as a kubelet has them, `initContainerStatuses` in the order of the spec.
 */
export function derivePodStatus(pod: Pod, site: PodStatus | undefined, facts: StatusFacts): PodStatusFields {
  const before = pod.status ?? {};
  const over = facts.over === true || site?.sandbox === 'Gone';
  // Nobody knows more about a finished pod than what stands there.
  if (isTerminalPhase(before.phase as PodPhase) && !site) return withGeneration(pod, before);

  const waiting = (container: Container, said: WaitingReason | undefined): WaitingReason | undefined =>
    site ? queueReason(site, said) : facts.waiting?.(container);
  const statuses = (init: boolean): ContainerStatus[] =>
    completeContainerStatuses(pod, {
      init,
      site: (init ? site?.initContainers : site?.containers) ?? [],
      before: (init ? before.initContainerStatuses : before.containerStatuses) ?? [],
      waiting,
    });
  let initContainers = statuses(true);
  let containers = statuses(false);

  const failed = site?.phase === 'Failed' || (over && facts.failure !== undefined);
  const reached = failed ? 'Failed' : podPhase(pod, [...initContainers, ...containers], over);
  const now = rfc3339(facts.nowMs);
  const wasReady = before.conditions?.some(({ type, status }) => type === SANDBOX_CONDITION && status === 'True');
  const sandboxReady = !over && (site ? site.sandbox === 'Ready' : wasReady === true);
  const disruption =
    over && site?.phase === 'Failed' && DISRUPTIONS.has(site.reason ?? '') ? (site.message ?? site.reason) : undefined;
  const conditionsOf = (phase: PodPhase): ObservedCondition[] =>
    podConditions(pod, { phase, sandboxReady, initContainers, containers, now, disruption });
  let conditions = conditionsOf(reached);
  if (over) {
    // Whoever watches for readiness must never see a finished pod that is ready.
    if (conditions.some(({ type, status }) => type === 'ContainersReady' && status === 'True'))
      conditions = conditionsOf('Failed');
    ({ initContainers, containers } = withoutLost(pod, initContainers, containers, facts.failure !== undefined));
  }

  const phase = shownPhase(before.phase as PodPhase | undefined, reached, over);
  const explained = phase === 'Failed' && !isTerminalPhase(before.phase as PodPhase);
  const reason = explained ? (site?.phase === 'Failed' ? site.reason : facts.failure?.reason) : before.reason;
  const message = explained ? (site?.phase === 'Failed' ? site.message : facts.failure?.message) : before.message;
  const podIP = site?.podIP ?? before.podIP;
  const { reason: _reason, message: _message, ...kept } = before;
  return withGeneration(pod, {
    ...kept,
    phase,
    conditions,
    ...(reason ? { reason } : {}),
    ...(message ? { message } : {}),
    ...(facts.hostIPs[0] ? { hostIP: facts.hostIPs[0], hostIPs: facts.hostIPs.map((ip) => ({ ip })) } : {}),
    ...(podIP ? { podIP, podIPs: podIP === before.podIP && before.podIPs ? before.podIPs : [{ ip: podIP }] } : {}),
    startTime: before.startTime ?? now,
    ...(initContainers.length > 0 ? { initContainerStatuses: initContainers } : {}),
    containerStatuses: containers.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  });
}

function withGeneration(pod: Pod, status: PodStatusFields): PodStatusFields {
  const generation = pod.metadata?.generation;
  if (generation === undefined) return status;
  return { ...status, observedGeneration: Math.max(generation, status.observedGeneration ?? 0) };
}

function shownPhase(before: PodPhase | undefined, reached: PodPhase, over: boolean): PodPhase {
  if (isTerminalPhase(before)) return before;
  if (over) return isTerminalPhase(reached) ? reached : 'Failed';
  // Running that was seen is not taken back, and the end is shown only when nothing is left on the machine.
  return before === 'Running' || reached === 'Running' ? 'Running' : 'Pending';
}

/**
 * Gives every container an end that has or must have begun: nobody knows whether it was a good one, so it was not.
 *
 * @param refused the pod as a whole has failed: what waits has not begun
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/status/status_manager.go TerminatePod
 */
function withoutLost(
  pod: Pod,
  initContainers: readonly ContainerStatus[],
  containers: readonly ContainerStatus[],
  refused: boolean,
): { initContainers: ContainerStatus[]; containers: ContainerStatus[] } {
  const end = (status: ContainerStatus): ContainerStatus =>
    status.state?.terminated || (refused && status.state?.waiting)
      ? status
      : { ...status, state: LOST, ready: false, started: false };
  const initialized = isInitialized(pod, initContainers, containers);
  const begun = initContainers.findLastIndex(({ state, lastState }) => !state?.waiting || lastState?.terminated);
  return {
    initContainers: initContainers.map((status, index) => (index <= Math.max(0, begun) ? end(status) : status)),
    containers: containers.map((status) => (initialized || status.state?.running ? end(status) : status)),
  };
}

/**
 * Whether the pod got past its init containers, so that a container without an end is one that was lost.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/status/status_manager.go hasPodInitialized
 */
function isInitialized(
  pod: Pod,
  initContainers: readonly ContainerStatus[],
  containers: readonly ContainerStatus[],
): boolean {
  if (initContainers.length === 0) return true;
  if (containers.some(({ state, lastState }) => !state?.waiting || lastState?.terminated)) return true;
  const last = initContainers.at(-1);
  const spec = pod.spec?.initContainers?.at(-1);
  if (spec && isSidecar(spec)) return Boolean(last?.state?.running && last.started);
  return last?.state?.terminated?.exitCode === 0 || last?.lastState?.terminated?.exitCode === 0;
}
