import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PodSpec, Volume } from '../../src/kube/types.ts';
import { outputOf } from './support/command.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment } from './support/environment.ts';
import { apply, kubectl, podOf } from './support/kubectl.ts';
import { podFor, shell, stateOf, untilPhase } from './support/pod.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

describeOn(EVERYTHING, 'volumes that are places of the site, and limits of emptyDirs', () => {
  const site = join(environment.directory, 'site-data');
  let stack: Stack;

  const host = (name: string, path: string, type = 'Directory'): Volume => ({ name, hostPath: { path, type } });
  const mounts = (...names: string[]) => ({ volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })) });
  const logsOf = (pod: string, container = 'c') => kubectl(['-n', stack.namespace, 'logs', pod, '-c', container]);

  beforeAll(async () => {
    rmSync(site, { recursive: true, force: true });
    for (const path of ['data', 'scratch', 'reference/inner', 'closed', 'claims', 'cvmfs/soft.example'])
      mkdirSync(join(site, path), { recursive: true });
    for (const path of ['data/f', 'reference/f', 'closed/secret', 'cvmfs/soft.example/f'])
      writeFileSync(join(site, path), `${path}\n`);
    symlinkSync('../closed', join(site, 'data/out'));
    await outputOf(['chown', '-R', `${environment.user}:`, site]);
    stack = await startStack({
      name: 'volumes',
      sidecar: {
        volumes: {
          hostPaths: [
            { path: '/data', rewrite: join(site, 'data') },
            { path: '/scratch', rewrite: join(site, 'scratch'), create: true },
            { path: '/reference', rewrite: join(site, 'reference'), readOnly: true },
          ],
          claims: { results: { path: join(site, 'claims'), subPathPerPod: true } },
          cvmfs: { root: join(site, 'cvmfs') },
        },
      },
    });
    await applyPods();
  });
  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
    rmSync(site, { recursive: true, force: true });
  });

  /** All at once: each takes a while, mostly by waiting. */
  async function applyPods(): Promise<void> {
    const hostScript = [
      'cat /data/f /reference/f /soft/f /whole/soft.example/f',
      'echo made >/scratch/f',
      'touch /reference/x /reference/inner/x /soft/x 2>&1',
      'echo $?',
    ].join('; ');
    const refused = (name: string, spec: Partial<PodSpec>) => podFor(stack, name, 'true', spec);
    await apply(
      stack.namespace,
      podFor(stack, 'host', '', {
        securityContext: { fsGroup: 3000 },
        containers: [shell('c', hostScript, mounts('data', 'scratch', 'reference', 'soft', 'whole'))],
        volumes: [
          host('data', '/data'),
          host('scratch', '/scratch/of/host', 'DirectoryOrCreate'),
          host('reference', '/reference', ''),
          host('whole', '/cvmfs'),
          {
            name: 'soft',
            csi: { driver: 'cvmfs.csi.cern.ch', volumeAttributes: { repository: 'soft.example' } },
          },
        ],
      }),
      podFor(stack, 'claim', '', {
        containers: [
          shell('writer', 'echo result >/claim/f', {
            volumeMounts: [{ name: 'claim', mountPath: '/claim', subPath: 'deep' }],
          }),
          shell('reader', 'until [ -s /claim/deep/f ]; do sleep 0.1; done; cat /claim/deep/f; touch /claim/x 2>&1', {
            volumeMounts: [{ name: 'claim', mountPath: '/claim', readOnly: true }],
          }),
        ],
        // Past the scheduler, which would want a PersistentVolume: where the claim is, the site says.
        nodeName: stack.nodeName,
        volumes: [{ name: 'claim', persistentVolumeClaim: { claimName: 'results' } }],
      }),
      podFor(stack, 'memory', '', {
        restartPolicy: 'OnFailure',
        containers: [
          shell('first', '[ -f /m/again ] || { echo once >/m/again; exit 1; }; cat /m/again', mounts('m')),
          shell(
            'second',
            'until [ -f /m/again ]; do sleep 0.1; done; grep " /m " /proc/mounts | cut -d" " -f3; dd if=/dev/zero of=/m/x bs=1k count=2000 2>&1 | grep -o "No space left.*"; df -k /dev/shm | tail -1 | cut -d" " -f1',
            {
              volumeMounts: [
                { name: 'm', mountPath: '/m' },
                { name: 'shm', mountPath: '/dev/shm' },
              ],
            },
          ),
        ],
        volumes: [
          { name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
          { name: 'shm', emptyDir: { medium: 'Memory' } },
        ],
      }),
      podFor(stack, 'too-much', '', {
        containers: [
          shell('c', 'dd if=/dev/zero of=/v/f bs=1k count=3000 2>/dev/null; mkdir -m 700 /v/d; sleep 600', mounts('v')),
        ],
        volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }],
      }),
      podFor(stack, 'leads-out', '', {
        containers: [shell('c', 'cat /out/secret', mounts('out'))],
        volumes: [host('out', '/data/out')],
      }),
      refused('closed', { volumes: [host('etc', '/etc')] }),
      refused('nfs', { volumes: [{ name: 'share', nfs: { server: 'server.example', path: '/' } }] }),
      refused('no-place', {
        volumes: [{ name: 'claim', persistentVolumeClaim: { claimName: 'other' } }],
        nodeName: stack.nodeName,
      }),
      refused('privileged', { containers: [shell('c', 'true', { securityContext: { privileged: true } })] }),
    );
  }

  test('an emptyDir over its limit evicts the pod; it lay on the disk of the worker and is gone', async () => {
    const uid = (await untilPhase(stack, 'too-much', 'Running')).metadata?.uid;
    const scratch = `/tmp/interlink-${uid}`;
    expect(existsSync(join(scratch, 'v'))).toBe(true);
    const pod = await untilPhase(stack, 'too-much', 'Failed');
    expect(pod.status).toMatchObject({
      reason: 'Evicted',
      message: 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
    });
    expect(stateOf(pod, 'c').terminated).toMatchObject({ exitCode: 137, reason: 'Error' });
    expect(await kubectl(['-n', stack.namespace, 'get', 'events', '--field-selector', 'reason=Evicted'])).toContain(
      'pod/too-much',
    );
    await until('the volume is removed', () => !existsSync(scratch), { withinMs: 20_000 });
  });

  test('hostPath, by a map, made where that is allowed, read-only where the site says so; CernVM-FS', async () => {
    await untilPhase(stack, 'host', 'Succeeded');
    expect(await logsOf('host')).toBe(
      [
        'data/f',
        'reference/f',
        'cvmfs/soft.example/f',
        'cvmfs/soft.example/f',
        'touch: /reference/x: Read-only file system',
        'touch: /reference/inner/x: Read-only file system',
        'touch: /soft/x: Read-only file system',
        '1',
        '',
      ].join('\n'),
    );
    expect(readFileSync(join(site, 'scratch/of/host/f'), 'utf8')).toBe('made\n');
    const [made, found] = [statSync(join(site, 'scratch/of/host')), statSync(join(site, 'data'))];
    expect([made.gid, found.gid]).toEqual([statSync(site).gid, statSync(site).gid]);
  });

  test('a claim by a map, in a directory of the pod, with subPath and read-only', async () => {
    const pod = await untilPhase(stack, 'claim', 'Failed');
    expect(stateOf(pod, 'writer').terminated?.exitCode).toBe(0);
    expect(await logsOf('claim', 'reader')).toBe('result\ntouch: /claim/x: Read-only file system\n');
    expect(readFileSync(join(site, 'claims', stack.namespace, 'claim/deep/f'), 'utf8')).toBe('result\n');
  });

  test('an emptyDir in memory has its size, is shared and outlives a container; one may take the place of /dev/shm', async () => {
    await untilPhase(stack, 'memory', 'Succeeded');
    expect(await logsOf('memory', 'first')).toBe('once\n');
    expect(await logsOf('memory', 'second')).toBe('tmpfs\nNo space left on device\ntmpfs\n');
  });

  test('a link that leads out of an open path fails the pod', async () => {
    const pod = await untilPhase(stack, 'leads-out', 'Failed');
    expect(pod.status?.message).toMatch(/^MountVolume\.SetUp failed for volume "out" : .*leads out of/);
    expect(stateOf(pod, 'c').terminated?.reason).not.toBe('Completed');
  });

  test.each([
    ['closed', 'volume "etc" is the hostPath "/etc", which this site does not open to pods'],
    ['nfs', 'volume "share" is a nfs, which this site cannot give'],
    ['no-place', 'volume "claim" is the persistentVolumeClaim "other", which has no place at this site'],
    ['privileged', 'spec.containers[0].securityContext.privileged: containers are not privileged here'],
  ])('%s is refused when the pod is created, by name', async (name, words) => {
    const pod = await untilPhase(stack, name, 'Failed');
    expect(pod.status?.reason).toBe('UnexpectedAdmissionError');
    expect(pod.status?.message).toContain(words);
    expect((await podOf(stack.namespace, name))?.metadata?.annotations?.JobID).toBeUndefined();
  });
});
