import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, SecurityContext } from '../../../src/kube/types.ts';
import { securityFaults } from '../../../src/sidecar/batch/security-faults.ts';
import type { SitePolicy } from '../../../src/sidecar/batch/site-policy.ts';
import { sitePolicy } from '../../fakes/site-policy.ts';

function faultsOf(
  spec: object,
  policy: Partial<SitePolicy> = {},
  annotations: Record<string, string> = {},
): readonly string[] {
  const pod = { metadata: { name: 'p', annotations }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } };
  return securityFaults(pod as Pod, sitePolicy(policy));
}

const container = (securityContext: SecurityContext, more: Partial<Container> = {}) => ({
  containers: [{ name: 'c', image: 'i', securityContext, ...more }],
});
const ofPod = (securityContext: PodSpec['securityContext']) => ({ securityContext });
const root = { user: { uid: 0, gid: 0, groups: [0] } };
const bare = { runtime: 'process' } as const;

describe('what a pod asks for beside its containers', () => {
  it.each<[string, object, Partial<SitePolicy>, RegExp]>([
    ['hostPID', { hostPID: true }, {}, /^spec\.hostPID: .*use shareProcessNamespace/],
    ['hostIPC', { hostIPC: true }, {}, /^spec\.hostIPC: /],
    ['hostUsers: false where jobs run as root', { hostUsers: false }, root, /^spec\.hostUsers: jobs run as root here/],
    ['Windows', { os: { name: 'windows' } }, {}, /^spec\.os: .*not windows/],
    ['a resource claim', { resourceClaims: [{ name: 'gpu' }] }, {}, /^spec\.resourceClaims: .*resources\.limits/],
    [
      'another runtime class',
      { runtimeClassName: 'gvisor' },
      {},
      /^spec\.runtimeClassName: "gvisor" .*sidecar\.policy\.runtimeClasses/,
    ],
    [
      'a sysctl',
      ofPod({ sysctls: [{ name: 'net.core.somaxconn', value: '1' }] }),
      {},
      /^spec\.securityContext\.sysctls\[0\]: net\.core\.somaxconn/,
    ],
    [
      'a seccomp profile from a file',
      ofPod({ seccompProfile: { type: 'Localhost', localhostProfile: 'x' } }),
      {},
      /^spec\.securityContext\.seccompProfile: .*use RuntimeDefault/,
    ],
    [
      'an AppArmor profile from a file',
      ofPod({ appArmorProfile: { type: 'Localhost', localhostProfile: 'x' } }),
      {},
      /^spec\.securityContext\.appArmorProfile: /,
    ],
    ['SELinux options', ofPod({ seLinuxOptions: { level: 's0' } }), {}, /^spec\.securityContext\.seLinuxOptions: /],
    [
      'Windows options',
      ofPod({ windowsOptions: { runAsUserName: 'x' } }),
      {},
      /^spec\.securityContext\.windowsOptions: /,
    ],
    [
      'another user without images',
      ofPod({ runAsUser: 7 }),
      bare,
      /^spec\.securityContext\.runAsUser: 7 .*\(1000\).*apptainer/,
    ],
    ['another group without images', ofPod({ runAsGroup: 7 }), bare, /^spec\.securityContext\.runAsGroup: 7/],
    [
      "a group that the job's user is not in",
      ofPod({ supplementalGroups: [50, 51] }),
      bare,
      /^spec\.securityContext\.supplementalGroups: 51/,
    ],
  ])('is refused by its field: %s', (_title, spec, policy, message) => {
    const faults = faultsOf(spec, policy);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(message);
  });

  it.each<[string, object, Partial<SitePolicy>]>([
    ['hostNetwork, which pods have anyway', { hostNetwork: true }, {}],
    ['users of its own', { hostUsers: false }, {}],
    ['the users of the worker', { hostUsers: true }, root],
    ['Linux', { os: { name: 'linux' } }, {}],
    ['a runtime class that means nothing here', { runtimeClassName: 'nvidia' }, {}],
    [
      'users, groups and their policies',
      ofPod({
        runAsUser: 1,
        runAsGroup: 2,
        fsGroup: 3,
        supplementalGroups: [4],
        fsGroupChangePolicy: 'OnRootMismatch',
      }),
      {},
    ],
    [
      'sysctls of its own shared memory and queues',
      ofPod({
        sysctls: [
          { name: 'kernel.sem', value: '1 2 3 4' },
          { name: 'fs.mqueue.msg_max', value: '20' },
        ],
      }),
      {},
    ],
    [
      'the profiles of a runtime',
      ofPod({ seccompProfile: { type: 'RuntimeDefault' }, appArmorProfile: { type: 'Unconfined' } }),
      {},
    ],
    ['empty options', ofPod({ seLinuxOptions: {}, windowsOptions: {} }), {}],
    ["the job's own ids without images", ofPod({ runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [50] }), bare],
    ['any ids of root without images', ofPod({ runAsUser: 5, supplementalGroups: [6] }), { ...bare, ...root }],
  ])('is taken: %s', (_title, spec, policy) => {
    expect(faultsOf(spec, policy)).toEqual([]);
  });

  it('is refused by an AppArmor annotation too', () => {
    const key = 'container.apparmor.security.beta.kubernetes.io/c';
    expect(faultsOf({}, {}, { [key]: 'localhost/x' })[0]).toContain(`metadata.annotations[${key}]`);
    expect(faultsOf({}, {}, { [key]: 'runtime/default' })).toEqual([]);
  });
});

describe('what a container asks for', () => {
  it.each<[string, Partial<PodSpec>, Partial<SitePolicy>, RegExp]>([
    [
      'privileged',
      container({ privileged: true }),
      {},
      /^spec\.containers\[0\]\.securityContext\.privileged: .*sidecar\.policy\.privileged/,
    ],
    [
      'a capability',
      container({ capabilities: { add: ['CHOWN', 'CAP_SYS_ADMIN'] } }),
      {},
      /\.capabilities\.add\[1\]: CAP_SYS_ADMIN .*sidecar\.policy\.capabilities/,
    ],
    ['every capability', container({ capabilities: { add: ['ALL'] } }), {}, /add\[0\]: ALL/],
    ['an unmasked /proc where jobs run as root', container({ procMount: 'Unmasked' }), root, /\.procMount: /],
    [
      'a read-only root without images',
      container({ readOnlyRootFilesystem: true }),
      bare,
      /\.readOnlyRootFilesystem: .*apptainer/,
    ],
    [
      'a seccomp profile from a file',
      container({ seccompProfile: { type: 'Localhost' } }),
      {},
      /^spec\.containers\[0\]\.securityContext\.seccompProfile: /,
    ],
    [
      'another user without images',
      container({ runAsUser: 0 }),
      bare,
      /^spec\.containers\[0\]\.securityContext\.runAsUser: 0/,
    ],
    [
      'a block device',
      container({}, { volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] }),
      {},
      /^spec\.containers\[0\]\.volumeDevices: /,
    ],
    [
      'mounts that reach the worker',
      container({}, { volumeMounts: [{ name: 'v', mountPath: '/v', mountPropagation: 'Bidirectional' }] }),
      {},
      /volumeMounts\[0\]\.mountPropagation: .*HostToContainer/,
    ],
    [
      'powers of an init container',
      { initContainers: [{ name: 'i', image: 'i', securityContext: { privileged: true } }] },
      {},
      /^spec\.initContainers\[0\]/,
    ],
  ])('is refused by its field: %s', (_title, spec, policy, message) => {
    const faults = faultsOf(spec, policy);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(message);
  });

  it.each<[string, Partial<PodSpec>, Partial<SitePolicy>]>([
    [
      'privileged where the site allows it, with all that it adds',
      container({ privileged: true, capabilities: { add: ['SYS_ADMIN'] }, procMount: 'Unmasked' }),
      { privileged: true, ...root },
    ],
    [
      'a capability that the site allows, by either spelling',
      container({ capabilities: { add: ['CAP_IPC_LOCK', 'net_admin'] } }),
      { capabilities: ['IPC_LOCK', 'CAP_NET_ADMIN'] },
    ],
    [
      'every capability where all are allowed',
      container({ capabilities: { add: ['ALL'] } }),
      { capabilities: ['ALL'] },
    ],
    [
      'capabilities of the baseline',
      container({ capabilities: { add: ['NET_BIND_SERVICE', 'SYS_PTRACE'], drop: ['ALL'] } }),
      {},
    ],
    ['an unmasked /proc in a user namespace', container({ procMount: 'Unmasked' }), {}],
    [
      'a read-only root, no privilege escalation',
      container({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, runAsNonRoot: true }),
      {},
    ],
    [
      'mounts of the worker that come later',
      container(
        {},
        {
          volumeMounts: [
            {
              name: 'v',
              mountPath: '/v',
              mountPropagation: 'HostToContainer',
              readOnly: true,
              recursiveReadOnly: 'Enabled',
            },
          ],
        },
      ),
      {},
    ],
  ])('is taken: %s', (_title, spec, policy) => {
    expect(faultsOf(spec, policy)).toEqual([]);
  });

  it('is told for each container and field at once', () => {
    const faults = faultsOf({
      ...container({ privileged: true, seLinuxOptions: { level: 's0' } }),
      initContainers: [{ name: 'i', image: 'i', securityContext: { privileged: true } }],
    });
    expect(faults).toHaveLength(3);
  });
});
