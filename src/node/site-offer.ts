import type { PingResult } from '../contract/sidecar.ts';
import { parseQuantity, type Quantity } from '../kube/quantity.ts';
import type { Taint } from '../kube/types.ts';

/** What the site offers, smoothed. */
export interface SiteOffer {
  /** Quantities by resource name. */
  readonly resources: Readonly<Record<string, string>>;
  /** Undefined: the site has never said anything about taints. */
  readonly taints: readonly Taint[] | undefined;
}

/** A value that a sample held and that is not used. */
export type Complaint = (problem: string) => void;

/** Samples that are looked at: what has not been confirmed this many times in a row is still believed to be there. */
const WINDOW = 3;
const EFFECTS: ReadonlySet<string> = new Set(['NoSchedule', 'PreferNoSchedule', 'NoExecute']);
const EXTENDED_RESOURCE = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const TAINT_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const TAINT_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

interface Sample {
  readonly values: ReadonlyMap<string, { readonly text: string; readonly quantity: Quantity }>;
  /** Names that this sample said something unusable about; they keep what they had. */
  readonly unusable: ReadonlySet<string>;
  readonly listsAccelerators: boolean;
}

/**
 * Makes a steady offer of what a site says from ping to ping. More is believed at once, less (a smaller number, a device or taint that is gone)
 * only after three pings in a row, so that one odd answer neither evicts anything from the scheduler's plans nor flaps. Invalid values, and zero for cpu, memory and
 * pods, are ignored.
 */
export class SiteOffers {
  readonly #samples: Sample[] = [];
  readonly #taints: (readonly Taint[])[] = [];
  #offer: SiteOffer = { resources: {}, taints: undefined };

  /** The offer of now. */
  get current(): SiteOffer {
    return this.#offer;
  }

  add(ping: PingResult, complain: Complaint): void {
    if (ping.resources !== undefined) {
      push(this.#samples, sampleOf(ping.resources, complain));
      this.#offer = { ...this.#offer, resources: this.#resources() };
    }
    if (ping.taints !== undefined) {
      push(this.#taints, usableTaints(ping.taints, complain));
      const all = new Map(this.#taints.flat().map((taint) => [`${taint.key}:${taint.effect}`, taint]));
      this.#offer = { ...this.#offer, taints: [...all.values()] };
    }
  }

  #resources(): Record<string, string> {
    const before = this.#offer.resources;
    const names = new Set([...Object.keys(before), ...this.#samples.flatMap(({ values }) => [...values.keys()])]);
    return Object.fromEntries(
      [...names].sort().flatMap((name) => {
        const seen = this.#samples.flatMap(({ values }) => values.get(name) ?? []);
        const largest = seen.reduce((a, b) => (a && a.quantity > b.quantity ? a : b), seen[0]);
        if (largest !== undefined) return [[name, largest.text]];
        const known = before[name];
        return known !== undefined && this.#samples.some((sample) => keeps(sample, name)) ? [[name, known]] : [];
      }),
    );
  }
}

/** Whether a sample without a value for `name` is no reason to give it up. */
function keeps(sample: Sample, name: string): boolean {
  return !name.includes('/') || sample.unusable.has(name) || !sample.listsAccelerators;
}

function sampleOf(resources: NonNullable<PingResult['resources']>, complain: Complaint): Sample {
  const values = new Map<string, { text: string; quantity: Quantity }>();
  const unusable = new Set<string>();
  const take = (name: string, text: unknown, accept: (quantity: Quantity) => boolean): void => {
    const quantity = quantityOf(text);
    if (quantity !== undefined && accept(quantity)) values.set(name, { text: String(text), quantity });
    else {
      unusable.add(name);
      complain(`${name}: ${JSON.stringify(text)} is not a usable quantity`);
    }
  };
  for (const name of ['cpu', 'memory', 'pods'] as const) {
    const text = resources[name];
    const whole = name === 'pods' ? isWhole : () => true;
    if (text !== undefined) take(name, text, (quantity) => quantity > 0n && whole(quantity));
  }
  for (const { resourceType, available } of resources.accelerators ?? []) {
    if (EXTENDED_RESOURCE.test(resourceType)) take(resourceType, available, (q) => q >= 0n && isWhole(q));
    else complain(`${JSON.stringify(resourceType)} is not a resource name such as nvidia.com/gpu`);
  }
  return { values, unusable, listsAccelerators: resources.accelerators !== undefined };
}

function usableTaints(taints: readonly Taint[], complain: Complaint): Taint[] {
  return taints.flatMap((taint) => {
    const { key, value = '', effect } = taint;
    if (!TAINT_KEY.test(key ?? '') || !TAINT_VALUE.test(value)) {
      complain(`${JSON.stringify(taint)} is not a usable taint`);
      return [];
    }
    // Existing plugins leave the effect out or misspell it, and mean to keep pods away.
    return [{ key, ...(value === '' ? {} : { value }), effect: EFFECTS.has(effect) ? effect : 'NoSchedule' }];
  });
}

function quantityOf(text: unknown): Quantity | undefined {
  if (typeof text !== 'string' && typeof text !== 'number') return undefined;
  try {
    return parseQuantity(text);
  } catch {
    // The caller reports the value by its name.
    return undefined;
  }
}

function isWhole(quantity: Quantity): boolean {
  return quantity % 1_000_000_000n === 0n;
}

function push<T>(window: T[], item: T): void {
  window.push(item);
  if (window.length > WINDOW) window.shift();
}
