import { InterlinkError } from '../../base/errors.ts';
import { checkFields, type FieldProblem } from '../../kube/check-fields.ts';
import { defaultPod } from '../../kube/default-pod.ts';
import { type ManifestObject, parseManifest, renderFieldPath } from '../../kube/manifest.ts';
import type { ConfigMap, Pod, Secret } from '../../kube/types.ts';
import { validateData } from '../../kube/validate-data.ts';
import { validatePod } from '../../kube/validate-pod.ts';

/** The pod of a manifest and the objects that it may refer to, as the API server would store them. */
export interface PodManifest {
  readonly pod: Pod;
  readonly configMaps: readonly ConfigMap[];
  readonly secrets: readonly Secret[];
}

const KINDS = ['Pod', 'ConfigMap', 'Secret'] as const;
type Kind = (typeof KINDS)[number];

/**
 * Reads a manifest with one pod and any number of ConfigMaps and Secrets as `kubectl apply` would, defaults filled in, namespace `default`
 * where none is given.
 *
 * @param file name for messages; `-` for standard input
 * @throws Invalid listing every fault with file:line and field
 */
export function readPod(text: string, file: string): PodManifest {
  const objects = parseManifest(text, file);
  const source = file === '-' ? 'standard input' : file;
  if (objects.length === 0) throw new InterlinkError('Invalid', `${source}: holds no object; a pod was expected`);
  const faults: string[] = [];
  const found: Record<Kind, { readonly item: ManifestObject; readonly object: Record<string, unknown> }[]> = {
    Pod: [],
    ConfigMap: [],
    Secret: [],
  };
  for (const item of objects) {
    const { apiVersion, kind } = item.object;
    if (!isKnown(kind) || apiVersion !== 'v1') {
      faults.push(
        `${item.at(['kind'])}: ${String(apiVersion)} ${String(kind)} cannot be run; a Pod with its ConfigMaps and Secrets can`,
      );
      continue;
    }
    const problems = checkFields(item.object, kind);
    faults.push(...render(item, problems));
    if (problems.length > 0) continue;
    const object = withoutNulls(item.object) as Record<string, unknown>;
    const further = kind === 'Pod' ? validatePod(object as Pod) : validateData(object, kind);
    faults.push(...render(item, further));
    found[kind].push({ item, object: inNamespace(object) });
  }
  if (found.Pod.length > 1)
    faults.push(
      `${found.Pod[1]?.item.at(['kind'])}: a second pod; run takes one (the first is at ${found.Pod[0]?.item.at(['kind'])})`,
    );
  const [pod] = found.Pod;
  if (pod === undefined && faults.length === 0) faults.push(`${source}: holds no pod`);
  if (pod === undefined || faults.length > 0)
    throw new InterlinkError('Invalid', faults.join('\n'), { code: 'run.manifest' });
  return {
    pod: defaultPod(pod.object as Pod),
    configMaps: found.ConfigMap.map(({ object }) => object as ConfigMap),
    secrets: found.Secret.map(({ object }) => withStringData(object as Secret)),
  };
}

function isKnown(kind: unknown): kind is Kind {
  return KINDS.some((known) => known === kind);
}

function render(item: ManifestObject, problems: readonly FieldProblem[]): string[] {
  return problems.map(({ path, message }) => `${item.at(path)}: ${renderFieldPath(path)}: ${message}`);
}

function inNamespace(object: Record<string, unknown>): Record<string, unknown> {
  const metadata = (object.metadata ?? {}) as Record<string, unknown>;
  return { ...object, metadata: { ...metadata, namespace: metadata.namespace ?? 'default' } };
}

/** The API server reads a null as an absent field. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item)]),
  );
}

/** `stringData` is write-only: the API server moves it into `data`, where it wins. */
function withStringData(secret: Secret): Secret {
  const { stringData, ...rest } = secret;
  const encoded = Object.entries(stringData ?? {}).map(([key, text]) => [
    key,
    Buffer.from(text, 'utf8').toString('base64'),
  ]);
  return { ...rest, data: { ...rest.data, ...Object.fromEntries(encoded) } };
}
