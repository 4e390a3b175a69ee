import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { containerLogPath, type JobDirectory } from '../contract/job-directory.ts';
import { expandReferences } from '../kube/expansion.ts';
import { formatPod } from '../kube/format-pod.ts';
import { podMemoryLimit } from '../kube/pod-memory-limit.ts';
import { parseQuantity, wholeUnits } from '../kube/quantity.ts';
import type { Container, Pod } from '../kube/types.ts';
import { containerEnvironment } from './container-environment.ts';
import { containerMounts } from './container-mounts.ts';
import type { ContainerPlan, Mount } from './container-runtime.ts';
import { containerSecurity } from './container-security.ts';
import type { PodNetwork } from './pod-network.ts';
import type { PodVolume } from './pod-volumes.ts';

const DEFAULT_TERMINATION_PATH = '/dev/termination-log';

/** What one attempt of a container is made of. */
export interface ContainerPlanRequest {
  readonly directory: JobDirectory;
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly volumes: ReadonlyMap<string, PodVolume>;
  readonly network: PodNetwork;
}

/** A plan with the files of this attempt. */
export interface PreparedContainer {
  readonly plan: ContainerPlan;
  readonly logPath: string;
  readonly terminationFile: string;
}

/**
 * Everything that the runtime needs for one attempt of a container; makes its termination file, and missing subPaths.
 * @throws InterlinkError with code `CreateContainerConfigError` when the pod asks for what cannot be prepared
 */
export async function prepareContainer(request: ContainerPlanRequest): Promise<PreparedContainer> {
  const { directory, pod, container, attempt, volumes, network } = request;
  const { name, command, args, workingDir, resources, tty } = container;
  const own = containerEnvironment(container, network.podIP);
  const expand = (words: readonly string[]): readonly string[] =>
    words.map((word) => expandReferences(word, (variable) => own.get(variable)));
  const logPath = containerLogPath(directory, name, attempt);
  const terminationFile = join(dirname(logPath), `${attempt}.termination`);
  await mkdir(dirname(logPath), { recursive: true, mode: 0o700 });
  await writeFile(terminationFile, '');
  // The user of the container may be anybody.
  await chmod(terminationFile, 0o666);
  const volumeMounts = await containerMounts(container, volumes, own);
  const taken = new Set(volumeMounts.map(({ target }) => normalize(`${target}/`)));
  const podFiles: Mount[] = [
    ...[...network.files].map(([target, source]) => ({ source, target, readOnly: false, optional: true })),
    {
      source: terminationFile,
      target: container.terminationMessagePath || DEFAULT_TERMINATION_PATH,
      readOnly: false,
      optional: true,
    },
  ].filter(({ target }) => !taken.has(normalize(`${target}/`)));
  const memory = resources?.limits?.memory;
  const sharedMemory = podMemoryLimit(pod);
  const sysctls = pod.spec?.securityContext?.sysctls;
  const plan: ContainerPlan = {
    name,
    attempt,
    ...(command?.length ? { command: expand(command) } : {}),
    ...(args?.length ? { args: expand(args) } : {}),
    env: [...new Map([['HOSTNAME', network.hostname], ...own])],
    ...(workingDir ? { workingDir } : {}),
    mounts: [...podFiles, ...volumeMounts],
    security: containerSecurity(pod, container),
    hostname: network.hostname,
    tty: tty ?? false,
    sharedProcesses: pod.spec?.shareProcessNamespace ?? false,
    podName: formatPod(pod),
    ...(sysctls?.length ? { sysctls } : {}),
    ...(sharedMemory === undefined ? {} : { sharedMemoryBytes: sharedMemory }),
    ...(memory === undefined ? {} : { memoryLimitBytes: wholeUnits(parseQuantity(memory)) }),
  };
  return { plan, logPath, terminationFile };
}
