import type { Assignment } from './assignment.ts';
import { type ConfigPath, renderPath } from './config-path.ts';

/** Maps without a prototype, so that no key of a file is special. */
interface Branch {
  [key: string]: unknown;
}

/** The values of all sources put over each other, with the origin of each. */
export class ConfigTree {
  readonly root: Branch = newBranch();
  readonly #origins = new Map<string, string>();

  /** Sets a value whole; what stood at the path, above it as something else than a map, or below it is gone. */
  set({ path, value, origin }: Assignment): void {
    let branch = this.root;
    for (const [depth, step] of path.slice(0, -1).entries()) {
      let next = branch[step];
      if (!isBranch(next)) {
        this.#forget(path.slice(0, depth + 1));
        next = newBranch();
        branch[step] = next;
      }
      branch = next as Branch;
    }
    this.#forget(path);
    branch[path.at(-1) ?? ''] = value;
    this.#origins.set(renderPath(path), origin);
  }

  /** Where the value at the path, or what holds it whole, was set; undefined when no source did. */
  originOf(path: ConfigPath): string | undefined {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#origins.get(renderPath(path.slice(0, length)));
      if (origin !== undefined) return origin;
    }
    return undefined;
  }

  /** Where the first value below the path was set. */
  originBelow(path: ConfigPath): string | undefined {
    const prefix = renderPath(path);
    for (const [known, origin] of this.#origins) if (isBelow(known, prefix)) return origin;
    return undefined;
  }

  /** The value at the path, or undefined. */
  get(path: ConfigPath): unknown {
    let value: unknown = this.root;
    for (const step of path) {
      if (typeof value !== 'object' || value === null) return undefined;
      value = Object.hasOwn(value, step) ? (value as Branch)[step] : undefined;
    }
    return value;
  }

  #forget(path: ConfigPath): void {
    const prefix = renderPath(path);
    for (const known of this.#origins.keys())
      if (known === prefix || isBelow(known, prefix)) this.#origins.delete(known);
  }
}

function isBelow(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path[prefix.length] === '.' || path[prefix.length] === '[');
}

function newBranch(): Branch {
  return Object.create(null) as Branch;
}

function isBranch(value: unknown): value is Branch {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
