import { InterlinkError } from '../base/errors.ts';
import { dividedBy, parseQuantity } from './quantity.ts';
import type { Container } from './types.ts';

/** What a node offers to pods: resource name → quantity. */
export type ResourceList = Readonly<Record<string, string>>;

const WHOLE = 1_000_000_000n;
const MILLI = 1_000_000n;
/** Limits of these that are missing or zero count as all that the node has. Huge pages are never overcommitted. */
const DEFAULTED = new Set(['cpu', 'memory', 'ephemeral-storage']);

/**
 * The value of a `resourceFieldRef` (`limits.cpu`, `requests.memory`, `limits.hugepages-2Mi`) in units of `divisor`, rounded up. A missing limit
 * of CPU, memory or ephemeral storage is what `allocatable` says, anything else that is missing is 0.
 *
 * @throws Invalid for another resource
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/api/v1/resource/helpers.go
 */
export function containerResourceValue(
  container: Container,
  resource: string,
  divisor: string | number | undefined,
  allocatable: ResourceList,
): string {
  const [, kind, name = ''] = /^(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)$/.exec(resource) ?? [];
  if (kind !== 'limits' && kind !== 'requests')
    throw new InterlinkError('Invalid', `unsupported container resource : ${resource}`);
  let quantity = parseQuantity(container.resources?.[kind]?.[name] ?? '0');
  if (kind === 'limits' && quantity === 0n && DEFAULTED.has(name)) quantity = parseQuantity(allocatable[name] ?? '0');
  // Kubernetes rounds both to thousandths of a CPU, or to whole bytes, before it divides.
  const unit = name === 'cpu' ? MILLI : WHOLE;
  const parsed = parseQuantity(divisor ?? '0');
  const by = dividedBy(parsed === 0n ? WHOLE : parsed, unit);
  return String(dividedBy(dividedBy(quantity, unit), by));
}
