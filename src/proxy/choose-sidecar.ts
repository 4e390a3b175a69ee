import type { Pod } from '../kube/types.ts';

/** Which pods a sidecar takes: all of what is given must hold. Without a rule it takes what no other one wants. */
export interface MatchRule {
  readonly namespaces?: readonly string[] | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** The first candidate whose rule fits the pod, else the one without a rule; undefined when none wants it. */
export function chooseSidecar<T extends { readonly match?: MatchRule | undefined }>(
  candidates: readonly T[],
  pod: Pod,
): T | undefined {
  return (
    candidates.find(({ match }) => match !== undefined && fits(match, pod)) ??
    candidates.find(({ match }) => match === undefined)
  );
}

function fits(rule: MatchRule, pod: Pod): boolean {
  const { namespace = 'default', labels, annotations } = pod.metadata ?? {};
  return (
    (rule.namespaces?.includes(namespace) ?? true) &&
    contains(labels, rule.labels) &&
    contains(annotations, rule.annotations)
  );
}

function contains(
  actual: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>> = {},
): boolean {
  return Object.entries(wanted).every(([key, value]) => actual?.[key] === value);
}
