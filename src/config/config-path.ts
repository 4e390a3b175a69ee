/** Keys and list indices from the section down, e.g. `['node', 'taints', 0, 'key']`. */
export type ConfigPath = readonly (string | number)[];

/** The path as people write it: `node.taints[0].key`; a key that is no plain word is quoted. */
export function renderPath(path: ConfigPath): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      const plain = /^[\w-]+$/.test(step) ? step : JSON.stringify(step);
      return index === 0 ? plain : `.${plain}`;
    })
    .join('');
}
