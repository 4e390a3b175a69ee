import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec } from '../../../src/kube/types.ts';
import { containerEnvironment } from '../../../src/runner/container-environment.ts';
import { containerSecurity } from '../../../src/runner/container-security.ts';
import { networkFiles } from '../../../src/runner/network-files.ts';
import { oomKills } from '../../../src/runner/oom-counter.ts';
import { podAddress } from '../../../src/runner/pod-address.ts';

const worker = {
  podIP: '192.0.2.7',
  hostname: 'node7',
  hosts: '127.0.0.1 localhost\n',
  resolvConf: 'search site\nnameserver 192.0.2.1 # own\noptions ndots:1 rotate\n',
};
const podOf = (spec: Partial<NonNullable<Pod['spec']>>, name = 'p'): Pod => ({
  metadata: { name, namespace: 'ns', uid: 'u' },
  spec: { containers: [], ...spec },
});

describe('environment', () => {
  const envOf = (env: NonNullable<Container['env']>): Record<string, string> =>
    Object.fromEntries(containerEnvironment({ name: 'c', env }, '192.0.2.7'));
  const podIP = { valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };

  it('takes values literally when nothing was left open', () => {
    expect(envOf([{ name: 'A', value: '$(B) $$' }, { name: 'B' }])).toEqual({ A: '$(B) $$', B: '' });
  });

  it('puts the address in and expands what follows, and nothing before it', () => {
    const env = [
      { name: 'BEFORE', value: '$(IP) $$' },
      { name: 'IP', ...podIP },
      { name: 'URL', value: 'http://$(IP):80/$$(IP)/$(NOPE)' },
    ];
    expect(envOf(env)).toEqual({ BEFORE: '$(IP) $$', IP: '192.0.2.7', URL: 'http://192.0.2.7:80/$(IP)/$(NOPE)' });
  });

  it('lets the later of two values count', () => {
    expect(
      envOf([
        { name: 'A', value: '1' },
        { name: 'A', value: '2' },
      ]),
    ).toEqual({ A: '2' });
  });
});

describe('network files', () => {
  it('cut a long name to 63 characters without a hyphen at the end (golden 160)', () => {
    const made = networkFiles(
      podOf({}, 'a-name-that-is-longer-than-a-host-name-may-be-and-is-cut-after-63-chars'),
      worker,
    );
    expect(made.hostname).toBe('a-name-that-is-longer-than-a-host-name-may-be-and-is-cut-after');
    expect(made.hostnameFile).toBe(`${made.hostname}\n`);
    expect(made.hosts).toBe(
      `# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n192.0.2.7\t${made.hostname}\n`,
    );
  });

  it('know host and subdomain (golden 161)', () => {
    const made = networkFiles(podOf({ hostname: 'h', subdomain: 'sub' }), worker);
    expect(made.hostname).toBe('h');
    expect(made.hosts).toContain('192.0.2.7\th.sub.ns.svc.\th\n');
    expect(networkFiles(podOf({ hostname: 'h', subdomain: 'sub', setHostnameAsFQDN: true }), worker).hostname).toBe(
      'h.sub.ns.svc.',
    );
    expect(() =>
      networkFiles(podOf({ hostname: 'h'.repeat(60), subdomain: 'sub', setHostnameAsFQDN: true }), worker),
    ).toThrow('too long');
  });

  it('let an override count alone, without a domain', () => {
    const spec = { hostname: 'h', subdomain: 'sub', hostnameOverride: 'other.example' } as Partial<PodSpec>;
    const made = networkFiles(podOf(spec), worker);
    expect(made.hostname).toBe('other.example');
    expect(made.hosts).toContain('192.0.2.7\tother.example\n');
  });

  it('add aliases at the end (golden 163)', () => {
    const hostAliases = [
      { ip: '192.0.2.10', hostnames: ['one.example', 'two.example'] },
      { ip: '192.0.2.11', hostnames: ['three'] },
    ];
    expect(networkFiles(podOf({ hostAliases }), worker).hosts).toMatch(
      /\n\n# Entries added by HostAliases.\n192.0.2.10\tone.example\ttwo.example\n192.0.2.11\tthree\n$/,
    );
  });

  it("are the worker's own in its network namespace by wish", () => {
    const made = networkFiles(podOf({ hostNetwork: true }), worker);
    expect([made.hostname, made.hosts]).toEqual([
      'node7',
      '# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n',
    ]);
  });

  it.each<[string, Partial<NonNullable<Pod['spec']>>, string]>([
    ["the worker's resolver", { dnsPolicy: 'ClusterFirst' }, worker.resolvConf],
    [
      "only the pod's (golden 164)",
      {
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['192.0.2.53'],
          searches: ['a.example', 'b.example'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      },
      'search a.example b.example\nnameserver 192.0.2.53\noptions ndots:2 edns0\n',
    ],
    [
      'both together, at most three servers',
      {
        dnsConfig: {
          nameservers: ['192.0.2.1', '2', '3', '4'],
          searches: ['x', 'site'],
          options: [{ name: 'ndots', value: '5' }],
        },
      },
      'search site x\nnameserver 192.0.2.1\nnameserver 2\nnameserver 3\noptions ndots:5 rotate\n',
    ],
  ])('resolve with %s', (_title, spec, expected) => {
    expect(networkFiles(podOf(spec), worker).resolvConf).toBe(expected);
  });
});

describe('the address of the pod', () => {
  const entry = (address: string, family: 'IPv4' | 'IPv6' = 'IPv4', internal = false) =>
    ({ address, family, internal }) as NonNullable<
      ReturnType<Parameters<typeof podAddress>[0] extends infer T ? () => T : never>
    >[string] extends readonly (infer E)[] | undefined
      ? E
      : never;
  it.each([
    [
      'the default route',
      { lo: [entry('127.0.0.1', 'IPv4', true)], docker0: [entry('172.17.0.1')], ib0: [entry('10.1.1.1')] },
      'Iface Destination Gateway Flags RefCnt Use Metric Mask\neth9 00000000 0 0 0 0 50 00000000\nib0 00000000 0101010A 0003 0 0 10 00000000\n',
      '10.1.1.1',
    ],
    [
      'the first that is not loopback',
      { lo: [entry('127.0.0.1', 'IPv4', true)], a: [entry('169.254.1.1')], eth0: [entry('10.1.1.2')] },
      '',
      '10.1.1.2',
    ],
    [
      'IPv6 where there is nothing else',
      { eth0: [entry('fe80::1', 'IPv6'), entry('2001:db8::1', 'IPv6')] },
      '',
      '2001:db8::1',
    ],
    ['loopback without any', { lo: [entry('127.0.0.1', 'IPv4', true)] }, '', '127.0.0.1'],
  ])('is that of %s', (_title, interfaces, routes, expected) => {
    expect(podAddress(interfaces as Parameters<typeof podAddress>[0], routes)).toBe(expected);
  });
});

describe('security', () => {
  it("takes the container's word over the pod's", () => {
    const pod = podOf({
      securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000] },
    });
    const container = {
      name: 'c',
      securityContext: { runAsUser: 0, capabilities: { drop: ['ALL'] }, seccompProfile: { type: 'RuntimeDefault' } },
    };
    expect(containerSecurity(pod, container)).toEqual({
      runAsUser: 0,
      runAsGroup: 2000,
      fsGroup: 3000,
      supplementalGroups: [4000],
      dropCapabilities: ['ALL'],
      seccomp: 'RuntimeDefault',
    });
    expect(() =>
      containerSecurity(podOf({ securityContext: { seccompProfile: { type: 'Localhost' } } }), { name: 'c' }),
    ).toThrow('Localhost');
  });
});

describe('the count of out-of-memory kills', () => {
  const procOf = async (
    cgroup: string,
    mountinfo: (root: string) => string,
    file: string,
    text: string,
  ): Promise<string> => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-oom-'));
    await writeFile(join(root, 'cgroup'), cgroup);
    await writeFile(join(root, 'mountinfo'), mountinfo(root));
    await mkdir(join(root, 'fs', file, '..'), { recursive: true });
    await writeFile(join(root, 'fs', file), text);
    return root;
  };
  it.each([
    [
      'version 2',
      '0::/slurm/job_1/step\n',
      (root: string) => `30 1 0:26 / ${root}/fs rw - cgroup2 cgroup2 rw\n`,
      'slurm/job_1/step/memory.events',
      'low 0\nmax 9\noom 2\noom_kill 2\n',
      2,
    ],
    [
      'version 1',
      '5:cpu:/x\n4:memory:/slurm/job_1\n',
      (root: string) => `30 1 0:26 / ${root}/fs rw shared:9 - cgroup cgroup rw,memory\n`,
      'slurm/job_1/memory.oom_control',
      'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
      3,
    ],
    [
      'a mount of a subtree',
      '0::/docker/abc/job\n',
      (root: string) => `30 1 0:26 /docker/abc ${root}/fs rw - cgroup2 cgroup2 rw\n`,
      'job/memory.events',
      'oom_kill 1\n',
      1,
    ],
    ['none', '', () => '', 'x', '', undefined],
  ])('comes from cgroup %s', async (_title, cgroup, mountinfo, file, text, expected) => {
    const proc = await procOf(cgroup, mountinfo, file, text);
    expect(oomKills(proc)).toBe(expected);
    await rm(proc, { recursive: true });
  });
});
