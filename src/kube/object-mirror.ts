import type { ReflectorHandlers } from './reflector.ts';

/** What the mirror needs to see of an object. */
export interface MirroredObject {
  /** Of ConfigMaps and Secrets: the content never changes. */
  readonly immutable?: boolean;
  readonly metadata?: {
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/**
 * The objects of a reflector by name, and the place where changes become calls of its handlers. Identity is the UID: another one under the same
 * name is a deletion and an addition.
 */
export class ObjectMirror<T extends MirroredObject> {
  readonly #objects = new Map<string, T>();
  readonly #handlers: ReflectorHandlers<T>;

  constructor(handlers: ReflectorHandlers<T>) {
    this.#handlers = handlers;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(`${namespace ?? ''}/${name}`);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  put(object: T): void {
    const key = keyOf(object);
    const lean = withoutManagedFields(object);
    const before = this.#objects.get(key);
    if (before !== undefined && before.metadata?.uid === object.metadata?.uid) {
      if (before.metadata?.resourceVersion === object.metadata?.resourceVersion) return;
      this.#objects.set(key, lean);
      this.#handlers.updated?.(lean, before);
      return;
    }
    if (before !== undefined) this.#remove(key, before);
    this.#objects.set(key, lean);
    this.#handlers.added?.(lean);
  }

  /** The deletion of an object that has been replaced already changes nothing. */
  remove(object: T): void {
    const key = keyOf(object);
    if (this.#objects.get(key)?.metadata?.uid === object.metadata?.uid) this.#remove(key, withoutManagedFields(object));
  }

  /** Makes `objects` the whole content: deletions first, then what is new or has changed. */
  replaceAll(objects: Iterable<T>): void {
    const now = new Map<string, T>();
    for (const object of objects) now.set(keyOf(object), object);
    for (const [key, before] of this.#objects)
      if (now.get(key)?.metadata?.uid !== before.metadata?.uid) this.#remove(key, before);
    for (const object of now.values()) this.put(object);
  }

  #remove(key: string, object: T): void {
    if (this.#objects.delete(key)) this.#handlers.deleted?.(object);
  }
}

function keyOf({ metadata }: MirroredObject): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

/** `managedFields` can be half of an object and nobody here reads them; everything else stays as it came. */
function withoutManagedFields<T extends MirroredObject>(object: T): T {
  const metadata = object.metadata as Record<string, unknown> | undefined;
  if (metadata !== undefined && 'managedFields' in metadata) delete metadata.managedFields;
  return object;
}
