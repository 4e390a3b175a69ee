import { isSidecar, isTerminalPhase, type PodPhase } from './pod-phase.ts';
import type { ContainerStatus, Pod, PodCondition } from './types.ts';

/** A condition with the field that is newer than the type package. */
export interface ObservedCondition extends PodCondition {
  observedGeneration?: number;
}

/** The conditions that a kubelet owns; all others are left as they are. */
export const OWNED_CONDITIONS: readonly string[] = [
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
];

/** Why and by whom a pod is taken away, which Jobs look at (`podFailurePolicy`); also set by the scheduler, the eviction API and others. */
const DISRUPTION = 'DisruptionTarget';
/** `reason` of the disruptions that a kubelet sets. */
const BY_KUBELET = 'TerminationByKubelet';

/** Whether a node writes the condition: one of its own, or a disruption that it caused. */
export function isWrittenByNode({ type, reason }: PodCondition): boolean {
  return OWNED_CONDITIONS.includes(type) || (type === DISRUPTION && reason === BY_KUBELET);
}

/** What the conditions are made of. */
export interface ConditionFacts {
  /** What the containers add up to, although the pod may not be shown there yet. */
  readonly phase: PodPhase;
  readonly sandboxReady: boolean;
  readonly initContainers: readonly ContainerStatus[];
  readonly containers: readonly ContainerStatus[];
  /** RFC 3339; the transition time of a condition whose status is another one than before. */
  readonly now: string;
  /** In a sentence, when the pod was taken away for no fault of its own. */
  readonly disruption?: string | undefined;
}

/**
 * All conditions of the pod: those of others as they are, a disruption when there is one, then the kubelet's five.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/status/generate.go
 */
export function podConditions(pod: Pod, facts: ConditionFacts): ObservedCondition[] {
  const before = pod.status?.conditions ?? [];
  const others = before.filter(({ type }) => !OWNED_CONDITIONS.includes(type));
  const containersReady = containersReadyVerdict(pod, facts);
  const verdicts: [string, Verdict][] = [
    ['PodReadyToStartContainers', { isTrue: facts.sandboxReady }],
    ['Initialized', initializedVerdict(pod, facts)],
    ['Ready', containersReady.isTrue ? gatesVerdict(pod, others) : containersReady],
    ['ContainersReady', containersReady],
    ['PodScheduled', { isTrue: true }],
  ];
  const generation = pod.metadata?.generation;
  const owned = verdicts.map(([type, { isTrue, reason, message }]): ObservedCondition => {
    const status = isTrue ? 'True' : 'False';
    const old = before.find((condition) => condition.type === type);
    const lastTransitionTime = old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : facts.now;
    return {
      type,
      status,
      ...(old && 'lastProbeTime' in old ? { lastProbeTime: old.lastProbeTime } : {}),
      lastTransitionTime,
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    } as ObservedCondition;
  });
  return [...others, ...disruptionOf(pod, others, facts), ...owned];
}

/** The first one to say why the pod is taken away is right. */
function disruptionOf(pod: Pod, others: readonly PodCondition[], { disruption, now }: ConditionFacts): PodCondition[] {
  if (disruption === undefined || others.some(({ type }) => type === DISRUPTION)) return [];
  const generation = pod.metadata?.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const condition = { type: DISRUPTION, status: 'True', lastTransitionTime: now, reason: BY_KUBELET };
  return [{ ...condition, message: disruption, ...observed }];
}

interface Verdict {
  readonly isTrue: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function terminalReason(phase: PodPhase): string {
  return phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed';
}

function containersReadyVerdict(pod: Pod, { phase, initContainers, containers }: ConditionFacts): Verdict {
  if (isTerminalPhase(phase)) return { isTrue: false, reason: terminalReason(phase) };
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
  const watched = [...initContainers.filter(({ name }) => sidecars.includes(name)), ...containers];
  const unready = watched.filter(({ ready }) => !ready).map(({ name }) => name);
  if (unready.length === 0) return { isTrue: true };
  return {
    isTrue: false,
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
}

function gatesVerdict(pod: Pod, others: readonly PodCondition[]): Verdict {
  const messages = (pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = others.find(({ type }) => type === conditionType);
    const gate = JSON.stringify(conditionType);
    if (!condition) return [`corresponding condition of pod readiness gate ${gate} does not exist.`];
    if (condition.status === 'True') return [];
    return [`the status of pod readiness gate ${gate} is not "True", but ${condition.status}`];
  });
  return messages.length === 0
    ? { isTrue: true }
    : { isTrue: false, reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}

function initializedVerdict(pod: Pod, { phase, initContainers, containers }: ConditionFacts): Verdict {
  if (phase === 'Succeeded') return { isTrue: true, reason: 'PodCompleted' };
  if (containers.some(({ state }) => state?.running ?? state?.terminated)) return { isTrue: true };
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
  const incomplete = initContainers
    .filter(({ name, started, ready }) => (sidecars.includes(name) ? !started : !ready))
    .map(({ name }) => name);
  if (incomplete.length === 0) return { isTrue: true };
  return {
    isTrue: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${incomplete.join(' ')}]`,
  };
}
