import type { Pod } from './types.ts';

/** The pod as a kubelet names it in its messages: `name_namespace(uid)`. */
export function formatPod({ metadata }: Pod): string {
  return `${metadata?.name}_${metadata?.namespace ?? 'default'}(${metadata?.uid})`;
}
