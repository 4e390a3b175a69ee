import type { PingResult, SiteResources } from '../contract/sidecar.ts';
import { parseQuantity, renderQuantity } from '../kube/quantity.ts';
import type { Taint } from '../kube/types.ts';

/**
 * What several sidecars offer together: sums of resources and the taints of all. Resources that one does not tell are what the others tell; taints are
 * absent when nobody tells any.
 */
export function mergePings(results: readonly PingResult[]): PingResult {
  const offers = results.flatMap(({ resources }) => resources ?? []);
  const told = results.flatMap(({ taints }) => (taints === undefined ? [] : [taints]));
  return {
    status: 'ok',
    ...(offers.length === 0 ? {} : { resources: mergeResources(offers) }),
    ...(told.length === 0 ? {} : { taints: distinctTaints(told.flat()) }),
  };
}

function mergeResources(offers: readonly SiteResources[]): SiteResources {
  const types = [...new Set(offers.flatMap(({ accelerators = [] }) => accelerators.map((item) => item.resourceType)))];
  const quantities = (['cpu', 'memory', 'pods'] as const).flatMap((name) => {
    const values = offers.flatMap((offer) => offer[name] ?? []);
    return values.length === 0 ? [] : [[name, sum(values)] as const];
  });
  const accelerators = types.map((resourceType) => ({
    resourceType,
    available: sum(
      offers.flatMap(({ accelerators: list = [] }) =>
        list.filter((item) => item.resourceType === resourceType).map((item) => item.available),
      ),
    ),
  }));
  return {
    ...Object.fromEntries(quantities),
    ...(offers.some((offer) => offer.accelerators) ? { accelerators } : {}),
  };
}

/** A single quantity keeps its spelling. */
function sum(quantities: readonly string[]): string {
  const [only = '0'] = quantities;
  if (quantities.length <= 1) return only;
  return renderQuantity(quantities.reduce((total, quantity) => total + parseQuantity(quantity), 0n));
}

function distinctTaints(taints: readonly Taint[]): readonly Taint[] {
  return [...new Map(taints.map((taint) => [`${taint.key}:${taint.effect}`, taint])).values()];
}
