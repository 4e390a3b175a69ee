import type { Container, Pod, PodSpec, SecurityContext } from '../../kube/types.ts';
import type { SitePolicy } from './site-policy.ts';

type PodSecurityContext = NonNullable<PodSpec['securityContext']>;
/** What pods and containers both have. */
type Common = Pick<
  SecurityContext & PodSecurityContext,
  'seccompProfile' | 'appArmorProfile' | 'seLinuxOptions' | 'windowsOptions' | 'runAsUser' | 'runAsGroup'
>;

const APPARMOR_ANNOTATION = 'container.apparmor.security.beta.kubernetes.io/';
/** Fields of the pod that take it into the worker's own namespaces. Its network is the worker's anyway, so `hostNetwork` is not among them. */
const HOST_NAMESPACES = {
  hostPID:
    'containers cannot see the processes of the worker; leave it out, or use shareProcessNamespace for those of the pod',
  hostIPC: 'containers cannot have the shared memory of the worker; leave it out, containers of the pod share theirs',
} as const;
/** Settings of the shared memory and message queues, which pods have of their own. @see sysctl in ipc_namespaces(7) */
const OWN_SYSCTLS = /^(kernel\.(shm_rmid_forced|shmmax|shmall|shmmni|msgmax|msgmnb|msgmni|sem)|fs\.mqueue\.[a-z_]+)$/;
const ADMINISTRATOR = 'the administrator of this site can allow it by';

/**
 * What a pod asks for by its security contexts, or beside them, that this site does not give: each with its field and the way out. What is not named here is
 * done by the runner. Nothing is left out in silence.
 */
export function securityFaults(pod: Pod, policy: SitePolicy): readonly string[] {
  const { metadata, spec } = pod;
  const ofPod = spec?.securityContext;
  const containers = (
    [
      ['initContainers', spec?.initContainers ?? []],
      ['containers', spec?.containers ?? []],
    ] as const
  ).flatMap(([field, list]) => list.map((container, index) => [container, `spec.${field}[${index}]`] as const));
  return [
    ...specFaults(spec, policy),
    ...(ofPod ? [...commonFaults(ofPod, 'spec.securityContext', policy), ...podFaults(ofPod, policy)] : []),
    ...containers.flatMap(([container, at]) => containerFaults(container, at, policy)),
    ...Object.entries(metadata?.annotations ?? {})
      .filter(([key, value]) => key.startsWith(APPARMOR_ANNOTATION) && value.startsWith('localhost/'))
      .map(([key]) => `metadata.annotations[${key}]: ${noProfile('AppArmor')}`),
  ];
}

function specFaults(spec: PodSpec | undefined, policy: SitePolicy): readonly string[] {
  const { hostUsers, os, resourceClaims, runtimeClassName } = spec ?? {};
  const faults = (['hostPID', 'hostIPC'] as const)
    .filter((field) => spec?.[field])
    .map((field) => `spec.${field}: ${HOST_NAMESPACES[field]}`);
  if (hostUsers === false && isRoot(policy))
    faults.push(
      'spec.hostUsers: jobs run as root here, so pods have the users of the worker; a sidecar of another user gives each pod its own',
    );
  if (os?.name !== undefined && os.name !== 'linux') faults.push(`spec.os: containers are Linux here, not ${os.name}`);
  if (resourceClaims?.length)
    faults.push('spec.resourceClaims: devices cannot be claimed here; ask for them in resources.limits');
  if (runtimeClassName && !policy.runtimeClasses.includes(runtimeClassName))
    faults.push(
      `spec.runtimeClassName: ${JSON.stringify(runtimeClassName)} is not known here; leave it out, or ${ADMINISTRATOR} sidecar.policy.runtimeClasses`,
    );
  return faults;
}

function podFaults({ sysctls, supplementalGroups }: PodSecurityContext, policy: SitePolicy): readonly string[] {
  const foreign = ownUserOnly(policy)
    ? supplementalGroups?.find((group) => group !== policy.user.gid && !policy.user.groups.includes(group))
    : undefined;
  return [
    ...(sysctls ?? []).flatMap(({ name }, index) =>
      OWN_SYSCTLS.test(name)
        ? []
        : [
            `spec.securityContext.sysctls[${index}]: ${name} cannot be set, as it is a setting of the worker and not of the pod; leave it out`,
          ],
    ),
    ...(foreign === undefined ? [] : [notOurs('spec.securityContext.supplementalGroups', foreign, policy.user.gid)]),
  ];
}

function commonFaults(context: Common, at: string, policy: SitePolicy): readonly string[] {
  const { seccompProfile, appArmorProfile, seLinuxOptions, windowsOptions, runAsUser, runAsGroup } = context;
  const faults: string[] = [];
  if (seccompProfile?.type === 'Localhost') faults.push(`${at}.seccompProfile: ${noProfile('seccomp')}`);
  if (appArmorProfile?.type === 'Localhost') faults.push(`${at}.appArmorProfile: ${noProfile('AppArmor')}`);
  if (isSet(seLinuxOptions)) faults.push(`${at}.seLinuxOptions: SELinux labels cannot be given in a job; leave it out`);
  if (isSet(windowsOptions)) faults.push(`${at}.windowsOptions: containers are Linux here; leave it out`);
  if (ownUserOnly(policy)) {
    const { uid, gid } = policy.user;
    if (runAsUser !== undefined && runAsUser !== uid) faults.push(notOurs(`${at}.runAsUser`, runAsUser, uid));
    if (runAsGroup !== undefined && runAsGroup !== gid) faults.push(notOurs(`${at}.runAsGroup`, runAsGroup, gid));
  }
  return faults;
}

function containerFaults(container: Container, path: string, policy: SitePolicy): readonly string[] {
  const { securityContext: own, volumeDevices, volumeMounts } = container;
  const at = `${path}.securityContext`;
  const faults: string[] = [...(own ? commonFaults(own, at, policy) : [])];
  if (own?.privileged && !policy.privileged)
    faults.push(
      `${at}.privileged: containers are not privileged here; leave it out, or ${ADMINISTRATOR} sidecar.policy.privileged`,
    );
  for (const [index, name] of (own?.capabilities?.add ?? []).entries())
    if (!own?.privileged && !mayAdd(name, policy))
      faults.push(
        `${at}.capabilities.add[${index}]: ${name} cannot be added; leave it out, or ${ADMINISTRATOR} sidecar.policy.capabilities`,
      );
  // In a user namespace the kernel itself keeps /proc safe, so that it is never masked there.
  if (own?.procMount === 'Unmasked' && isRoot(policy) && !policy.privileged)
    faults.push(
      `${at}.procMount: /proc is masked where jobs run as root, or ${ADMINISTRATOR} sidecar.policy.privileged`,
    );
  if (own?.readOnlyRootFilesystem && policy.runtime === 'process')
    faults.push(
      `${at}.readOnlyRootFilesystem: the runtime "process" runs on the file system of the worker, which stays writable; leave it out or use the runtime apptainer`,
    );
  if (volumeDevices?.length)
    faults.push(`${path}.volumeDevices: block devices cannot be given to a job; use volumeMounts`);
  for (const [index, mount] of (volumeMounts ?? []).entries())
    if (mount.mountPropagation === 'Bidirectional')
      faults.push(
        `${path}.volumeMounts[${index}].mountPropagation: mounts of a container cannot reach the worker; use HostToContainer`,
      );
  return faults;
}

function isRoot({ user }: SitePolicy): boolean {
  return user.uid === 0;
}

/** Whether everything runs as the user of the jobs. */
function ownUserOnly(policy: SitePolicy): boolean {
  return policy.runtime === 'process' && !isRoot(policy);
}

function mayAdd(name: string, { capabilities }: SitePolicy): boolean {
  const short = (text: string): string => text.toUpperCase().replace(/^CAP_/, '');
  return capabilities.some((allowed) => short(allowed) === 'ALL' || short(allowed) === short(name));
}

/** The API server keeps `{}`, which asks for nothing. */
function isSet(options: object | null | undefined): boolean {
  return Object.values(options ?? {}).some((value) => value !== undefined && value !== null && value !== '');
}

function noProfile(kind: string): string {
  return `a ${kind} profile of the type Localhost is a file on a node and not on the workers; use RuntimeDefault`;
}

function notOurs(field: string, asked: number, own: number): string {
  return `${field}: ${asked} cannot be had, as the runtime "process" runs everything as the user of the job (${own}); leave it out or use the runtime apptainer`;
}
