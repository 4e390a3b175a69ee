interface Versioned {
  readonly metadata?: { readonly resourceVersion?: string };
}

/**
 * Whether `object` is a later state of the same object than `than`. Versions are numbers that grow; where they are none, any other one counts as
 * newer.
 *
 * @see https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
 */
export function isNewer(object: Versioned, than: Versioned): boolean {
  const [a = '', b = ''] = [object.metadata?.resourceVersion, than.metadata?.resourceVersion];
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return a !== b || a === '';
  return BigInt(a) > BigInt(b);
}
