import { readFile } from 'node:fs/promises';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import { podRefOf } from '../contract/pod-ref.ts';

const CONTAINER_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * The job as the sidecar wrote it. Only what the runner builds paths from is checked; the pod itself was checked at create.
 * @throws NotFound without `pod.json`, Invalid when it is no job of this version or a container name could not be part of a path
 */
export async function readJobSpec(directory: JobDirectory): Promise<JobSpec> {
  const spec = parse(await read(directory.spec), directory.spec);
  podRefOf(spec.bundle.pod);
  const { initContainers = [], containers = [] } = spec.bundle.pod.spec ?? {};
  const names = [...initContainers, ...containers].map(({ name }) => name);
  if (containers.length === 0) throw new InterlinkError('Invalid', `${directory.spec}: the pod has no containers`);
  const odd = names.find((name, index) => !CONTAINER_NAME.test(name) || names.indexOf(name) !== index);
  if (odd !== undefined)
    throw new InterlinkError(
      'Invalid',
      `${directory.spec}: container name ${JSON.stringify(odd)} is not valid or not unique`,
    );
  return spec;
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (systemCodeOf(cause) !== 'ENOENT') throw cause;
    throw new InterlinkError('NotFound', `${path} does not exist; give the directory of a job`, { cause });
  }
}

function parse(text: string, path: string): JobSpec {
  let value: Partial<JobSpec> | null;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InterlinkError('Invalid', `${path} is not JSON`, { cause });
  }
  if (value?.version !== 1)
    throw new InterlinkError('Invalid', `${path} is a job of version ${value?.version}; this runner knows version 1`);
  if (!value.bundle?.pod?.spec || !value.runtime)
    throw new InterlinkError('Invalid', `${path} has no bundle with a pod, or no runtime`);
  const { configMaps = [], secrets = [], projectedVolumes = [] } = value.bundle;
  return { ...(value as JobSpec), bundle: { ...value.bundle, configMaps, secrets, projectedVolumes } };
}
