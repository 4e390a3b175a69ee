import { messageOf } from '../base/errors.ts';
import type { FieldProblem } from './check-fields.ts';
import type { FieldPath } from './manifest.ts';
import { isDnsLabel, isDnsSubdomain, isEnvName, isRelativePath } from './names.ts';
import { parseQuantity, type Quantity } from './quantity.ts';
import type { Container, Pod, ResourceRequirements, Volume, VolumeMount } from './types.ts';

type Report = (path: FieldPath, message: string) => void;

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
/** The API holds quantities in 64 bits; more is a slip of the pen. */
const LARGEST = ((1n << 63n) - 1n) * 1_000_000_000n;

/**
 * The faults that the API server would find in a pod whose fields have the right types, all of them, and one that it does not: a volume
 * without a source, which it takes for an emptyDir and which is a forgotten line.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/apis/core/validation/validation.go
 */
export function validatePod(pod: Pod): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const report: Report = (path, message) => problems.push({ path, message });
  const { metadata, spec } = pod;
  checkMetadata(metadata, report);
  const volumes = checkVolumes(spec?.volumes ?? [], report);
  const names = new Set<string>();
  for (const [field, containers] of [
    ['initContainers', spec?.initContainers ?? []],
    ['containers', spec?.containers ?? []],
  ] as const)
    for (const [index, container] of containers.entries())
      checkContainer(container, ['spec', field, index], volumes, names, report);
  if (!spec?.containers?.length) report(['spec', 'containers'], 'is required: a pod has at least one container');
  if (spec?.restartPolicy !== undefined && !RESTART_POLICIES.includes(spec.restartPolicy))
    report(
      ['spec', 'restartPolicy'],
      `must be one of ${RESTART_POLICIES.join(', ')}, not ${JSON.stringify(spec.restartPolicy)}`,
    );
  atLeast(spec?.terminationGracePeriodSeconds, 0, ['spec', 'terminationGracePeriodSeconds'], report);
  atLeast(spec?.activeDeadlineSeconds, 1, ['spec', 'activeDeadlineSeconds'], report);
  return problems;
}

/** Name, and namespace where there is one, of any namespaced object. */
export function checkMetadata(metadata: Pod['metadata'], report: Report): void {
  const { name, namespace } = metadata ?? {};
  if (name === undefined || name === '') report(['metadata', 'name'], 'is required');
  else if (!isDnsSubdomain(name))
    report(
      ['metadata', 'name'],
      `${JSON.stringify(name)} is no name: at most 253 lower-case letters, digits, "-" and ".", with a letter or digit at both ends`,
    );
  if (namespace !== undefined && !isDnsLabel(namespace))
    report(['metadata', 'namespace'], `${JSON.stringify(namespace)} is no namespace name`);
}

function atLeast(value: number | undefined, least: number, path: FieldPath, report: Report): void {
  if (value !== undefined && value < least) report(path, `must be at least ${least}, not ${value}`);
}

function checkContainer(
  container: Container,
  path: FieldPath,
  volumes: ReadonlySet<string>,
  names: Set<string>,
  report: Report,
): void {
  const { name, image } = container;
  if (!isDnsLabel(name))
    report(
      [...path, 'name'],
      `${JSON.stringify(name)} is no container name: lower-case letters, digits and "-", at most 63`,
    );
  else if (names.has(name)) report([...path, 'name'], `duplicate container name ${JSON.stringify(name)}`);
  names.add(name);
  if (image === undefined || image === '') report([...path, 'image'], 'is required');
  (container.env ?? []).forEach((variable, index) => {
    if (!isEnvName(variable.name))
      report([...path, 'env', index, 'name'], `${JSON.stringify(variable.name)} is no name of a variable`);
    if (variable.valueFrom && variable.value) report([...path, 'env', index], 'has both value and valueFrom; keep one');
    if (variable.value?.includes('\0')) report([...path, 'env', index, 'value'], 'holds a NUL character');
  });
  for (const field of ['command', 'args'] as const)
    (container[field] ?? []).forEach((text, index) => {
      if (text.includes('\0')) report([...path, field, index], 'holds a NUL character');
    });
  const targets = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries())
    checkMount(mount, [...path, 'volumeMounts', index], volumes, targets, report);
  (container.ports ?? []).forEach((port, index) => {
    if (port.containerPort < 1 || port.containerPort > 65_535)
      report([...path, 'ports', index, 'containerPort'], `must be between 1 and 65535, not ${port.containerPort}`);
  });
  checkResources(container.resources, [...path, 'resources'], report);
}

function checkMount(
  mount: VolumeMount,
  path: FieldPath,
  volumes: ReadonlySet<string>,
  targets: Set<string>,
  report: Report,
): void {
  if (!volumes.has(mount.name))
    report(
      [...path, 'name'],
      `no volume named ${JSON.stringify(mount.name)}; add it to spec.volumes or correct the name`,
    );
  const target = mount.mountPath;
  if (!target) report([...path, 'mountPath'], 'is required');
  else if (!target.startsWith('/') || target.includes('\0') || target.split('/').includes('..'))
    report([...path, 'mountPath'], `${JSON.stringify(target)} must be an absolute path without ".."`);
  else if (targets.has(target))
    report([...path, 'mountPath'], `${JSON.stringify(target)} is used twice in this container`);
  targets.add(target);
  for (const field of ['subPath', 'subPathExpr'] as const)
    if (mount[field] && !isRelativePath(mount[field]))
      report([...path, field], `${JSON.stringify(mount[field])} must be a relative path without ".."`);
  if (mount.subPath && mount.subPathExpr) report([...path, 'subPathExpr'], 'cannot be given together with subPath');
}

function checkVolumes(volumes: readonly Volume[], report: Report): ReadonlySet<string> {
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const path = ['spec', 'volumes', index];
    if (!isDnsLabel(volume.name)) report([...path, 'name'], `${JSON.stringify(volume.name)} is no volume name`);
    else if (names.has(volume.name)) report([...path, 'name'], `duplicate volume name ${JSON.stringify(volume.name)}`);
    names.add(volume.name);
    const sources = Object.entries(volume).filter(
      ([key, value]) => key !== 'name' && value !== null && value !== undefined,
    );
    if (sources.length === 0)
      report(path, `volume ${JSON.stringify(volume.name)} has no source; write "emptyDir: {}" for an empty directory`);
    if (sources.length > 1)
      report(
        path,
        `volume ${JSON.stringify(volume.name)} has ${sources.length} sources: ${sources.map(([key]) => key).join(', ')}`,
      );
    checkVolumeFiles(volume, path, report);
  });
  return names;
}

function checkVolumeFiles(volume: Volume, path: FieldPath, report: Report): void {
  const { configMap, secret, projected, downwardAPI, emptyDir } = volume;
  const sources: readonly (readonly [string, { defaultMode?: number; items?: readonly object[] } | undefined])[] = [
    ['configMap', configMap],
    ['secret', secret],
    ['projected', projected],
    ['downwardAPI', downwardAPI],
  ];
  for (const [field, source] of sources) {
    checkMode(source?.defaultMode, [...path, field, 'defaultMode'], report);
    checkItems(source?.items, [...path, field, 'items'], report);
  }
  (projected?.sources ?? []).forEach((source, index) => {
    for (const [field, value] of Object.entries(source)) {
      const at = [...path, 'projected', 'sources', index, field];
      checkItems((value as { items?: readonly object[] } | null)?.items, [...at, 'items'], report);
      const file = (value as { path?: unknown } | null)?.path;
      if (file !== undefined && !isRelativePath(file))
        report([...at, 'path'], `${JSON.stringify(file)} must be a relative path without ".."`);
    }
  });
  if (emptyDir?.sizeLimit !== undefined) checkQuantity(emptyDir.sizeLimit, [...path, 'emptyDir', 'sizeLimit'], report);
}

function checkItems(items: readonly object[] | undefined, path: FieldPath, report: Report): void {
  (items ?? []).forEach((item, index) => {
    const { path: file, mode } = item as { path?: unknown; mode?: number };
    if (!isRelativePath(file))
      report([...path, index, 'path'], `${JSON.stringify(file)} must be a relative path without ".."`);
    checkMode(mode, [...path, index, 'mode'], report);
  });
}

function checkMode(mode: number | undefined, path: FieldPath, report: Report): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) report(path, `must be a mode between 0 and 0777, not ${mode}`);
}

function checkResources(resources: ResourceRequirements | undefined, path: FieldPath, report: Report): void {
  const limits = new Map<string, Quantity>();
  for (const field of ['limits', 'requests'] as const)
    for (const [name, text] of Object.entries(resources?.[field] ?? {})) {
      const quantity = checkQuantity(text, [...path, field, name], report);
      if (quantity === undefined) continue;
      const limit = limits.get(name);
      if (field === 'limits') limits.set(name, quantity);
      else if (limit !== undefined && quantity > limit)
        report([...path, field, name], `asks for ${text}, more than the limit of ${resources?.limits?.[name]}`);
    }
}

function checkQuantity(text: string | number, path: FieldPath, report: Report): Quantity | undefined {
  try {
    const quantity = parseQuantity(text);
    if (quantity >= 0n && quantity <= LARGEST) return quantity;
    report(path, quantity < 0n ? `must not be negative: ${text}` : `is out of any range: ${text}`);
  } catch (error) {
    report(path, messageOf(error));
  }
  return undefined;
}
