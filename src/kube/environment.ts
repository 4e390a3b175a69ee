import { InterlinkError } from '../base/errors.ts';
import { containerResourceValue, type ResourceList } from './container-resource.ts';
import { environmentFieldText, type FieldFacts } from './downward-api.ts';
import { expandReferences } from './expansion.ts';
import type { PodObjects } from './pod-objects.ts';
import type { ConfigMap, Container, EnvVar, Pod, Secret } from './types.ts';

/** What a container's environment may refer to. */
export interface EnvironmentFacts extends FieldFacts {
  readonly objects: PodObjects;
  readonly services: ReadonlyMap<string, string>;
  readonly allocatable: ResourceList;
}

/**
 * The environment of a container with everything resolved but the pod's own address, in the order `envFrom`, `env`, Services; how it is read is
 * said at `PodBundle`.
 *
 * @throws NotFound with the kubelet's words (`configmap "m" not found`, `couldn't find key k in ConfigMap ns/m`), Invalid for a source that is
 * no source, or what `facts.objects` throws
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go makeEnvironmentVariables
 */
export function resolveEnvironment(pod: Pod, container: Container, facts: EnvironmentFacts): EnvVar[] {
  const environment = new Environment(facts.services);
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const data = configMapRef
      ? configMapOf(facts, configMapRef)?.data
      : secretRef && decoded(secretOf(facts, secretRef)?.data);
    for (const key of Object.keys(data ?? {}).sort()) environment.set(prefix + key, data?.[key] ?? '');
  }
  for (const variable of container.env ?? []) {
    const { name, value = '', valueFrom } = variable;
    if (value !== '' || !valueFrom) environment.setExpanded(name, value);
    else if (isLateBound(variable)) environment.defer({ name, valueFrom });
    else {
      const text = sourceText(pod, container, variable, facts);
      if (text !== undefined) environment.set(name, text);
    }
  }
  environment.addServices();
  return environment.entries;
}

/** Whether only the machine that runs the pod knows the variable's value. */
export function isLateBound({ value, valueFrom }: EnvVar): boolean {
  const path = valueFrom?.fieldRef?.fieldPath;
  return (value ?? '') === '' && (path === 'status.podIP' || path === 'status.podIPs');
}

/** Value of a variable's source; undefined when it is optional and missing. */
function sourceText(pod: Pod, container: Container, variable: EnvVar, facts: EnvironmentFacts): string | undefined {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
  const namespace = pod.metadata?.namespace ?? 'default';
  if (fieldRef) return environmentFieldText(pod, fieldRef.fieldPath, facts);
  if (resourceFieldRef) {
    const { containerName, resource, divisor } = resourceFieldRef;
    return containerResourceValue(namedContainer(pod, container, containerName), resource, divisor, facts.allocatable);
  }
  if (configMapKeyRef) {
    const { key, optional } = configMapKeyRef;
    return keyOf(
      configMapOf(facts, configMapKeyRef)?.data,
      key,
      optional,
      `ConfigMap ${namespace}/${configMapKeyRef.name}`,
    );
  }
  if (secretKeyRef) {
    const { key, optional } = secretKeyRef;
    return keyOf(
      decoded(secretOf(facts, secretKeyRef)?.data),
      key,
      optional,
      `Secret ${namespace}/${secretKeyRef.name}`,
    );
  }
  const kinds = Object.keys(variable.valueFrom ?? {}).join(', ');
  throw new InterlinkError(
    'Invalid',
    `variable ${variable.name}: valueFrom of kind ${kinds || 'nothing'} is not supported`,
  );
}

interface Reference {
  readonly name?: string;
  readonly optional?: boolean;
}

function configMapOf(facts: EnvironmentFacts, { name = '', optional }: Reference): ConfigMap | undefined {
  const configMap = facts.objects.configMap(name);
  if (!configMap && !optional) throw new InterlinkError('NotFound', `configmap ${JSON.stringify(name)} not found`);
  return configMap;
}

function secretOf(facts: EnvironmentFacts, { name = '', optional }: Reference): Secret | undefined {
  const secret = facts.objects.secret(name);
  if (!secret && !optional) throw new InterlinkError('NotFound', `secret ${JSON.stringify(name)} not found`);
  return secret;
}

function keyOf(
  data: Readonly<Record<string, string>> | undefined,
  key: string,
  optional: boolean | undefined,
  owner: string,
): string | undefined {
  if (data && Object.hasOwn(data, key)) return data[key];
  if (optional) return undefined;
  throw new InterlinkError('NotFound', `couldn't find key ${key} in ${owner}`);
}

function decoded(data: Readonly<Record<string, string>> | undefined): Record<string, string> | undefined {
  if (!data) return undefined;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}

function namedContainer(pod: Pod, container: Container, name: string | undefined): Container {
  if (!name) return container;
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  const named = [...initContainers, ...containers].find((candidate) => candidate.name === name);
  if (!named) throw new InterlinkError('Invalid', `container ${name} not found`);
  return named;
}

/** The variables so far. `late` names those whose value is not known here; text after the first of them is written with `$$` for `$`. */
class Environment {
  readonly #services: ReadonlyMap<string, string>;
  readonly #values = new Map<string, string>();
  readonly #late = new Set<string>();
  #entries: EnvVar[] = [];

  constructor(services: ReadonlyMap<string, string>) {
    this.#services = services;
  }

  get entries(): EnvVar[] {
    return this.#entries;
  }

  /** A value that is taken as it is. */
  set(name: string, value: string): void {
    this.#put(name, { name, value: this.#isLiteral() ? value : escaped(value) });
    this.#values.set(name, value);
  }

  /** A value with references to what stands before it. */
  setExpanded(name: string, value: string): void {
    const known = (reference: string): string | undefined =>
      this.#values.get(reference) ?? (this.#late.has(reference) ? undefined : this.#services.get(reference));
    let late = false;
    const text = expandReferences(value, (reference) => {
      if (this.#late.has(reference)) late = true;
      return known(reference);
    });
    if (!late) {
      this.set(name, text);
      return;
    }
    // Everything but the late references is text by now; the runner's expansion turns `$$` back.
    this.#put(name, { name, value: escapedButFor(value, this.#late, known) });
    this.#values.delete(name);
    this.#late.add(name);
  }

  defer(variable: EnvVar): void {
    this.#put(variable.name, variable);
    this.#values.delete(variable.name);
    this.#late.add(variable.name);
  }

  addServices(): void {
    for (const [name, value] of this.#services)
      if (!this.#values.has(name) && !this.#late.has(name)) this.set(name, value);
  }

  #isLiteral(): boolean {
    return !this.#entries.some(({ valueFrom }) => valueFrom);
  }

  #put(name: string, entry: EnvVar): void {
    // A late-bound entry stays although a later one hides it: values in between refer to it.
    if (this.#values.has(name)) this.#entries = this.#entries.filter((other) => other.name !== name);
    this.#late.delete(name);
    this.#entries.push(entry);
  }
}

function escaped(text: string): string {
  return text.replaceAll('$', '$$$$');
}

/** `value` expanded, each `$` of the outcome doubled but for references to `late` ones. */
function escapedButFor(value: string, late: ReadonlySet<string>, known: (name: string) => string | undefined): string {
  // NUL cannot be part of a variable, so it can stand for the `$` of a late reference meanwhile.
  const text = expandReferences(value, (name) => (late.has(name) ? `\0(${name})` : known(name)));
  return escaped(text).replaceAll('\0', '$');
}
