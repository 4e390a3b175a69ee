import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RuntimeName } from '../../src/contract/job-directory.ts';
import { createCertificate } from '../fakes/certificate.ts';
import { outputOf } from './support/command.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment, type Part } from './support/environment.ts';
import { apply, kubectl } from './support/kubectl.ts';
import { podFor, shell, stateOf, untilPhase } from './support/pod.ts';
import { serveRegistry } from './support/serve-registry.ts';
import { startStack } from './support/stack.ts';

const LOGIN = 'puller:e2e-secret';
const archive = environment.imageSif.replace(/\.sif$/, '.tar');

async function certificate(): Promise<{ key: string; cert: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'interlink-e2e-tls-'));
  const { keyFile, certFile } = await createCertificate(directory);
  const files = { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') };
  rmSync(directory, { recursive: true });
  return files;
}

const runtimes: readonly {
  readonly name: RuntimeName;
  readonly options?: readonly string[];
  readonly tls?: boolean;
}[] = [{ name: 'podman' }, { name: 'charliecloud', options: ['--tls-no-verify'], tls: true }];

for (const { name, tls, ...options } of runtimes)
  describeOn([...EVERYTHING, name as Part], `a site with the runtime ${name}`, () => {
    test('runs a pod of the cluster, from a private image, as any site does', async () => {
      const registry = await serveRegistry(archive, tls ? await certificate() : undefined, LOGIN);
      await using stack = await startStack({ name, sidecar: { runtime: { name, ...options } } });
      try {
        const host = `localhost:${registry.port}`;
        const auths = { [host]: { auth: Buffer.from(LOGIN).toString('base64') } };
        await apply(stack.namespace, {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'login' },
          type: 'kubernetes.io/dockerconfigjson',
          stringData: { '.dockerconfigjson': JSON.stringify({ auths }) },
        });
        const image = `${host}/site/busybox:1`;
        const volumeMounts = [{ name: 'work', mountPath: '/work' }];
        const script =
          'cat /work/from-init; id -u; while [ ! -e /work/probed ]; do sleep 0.1; done; echo probed; exit 3';
        const more = { image, volumeMounts };
        const probe = { exec: { command: ['touch', '/work/probed'] }, periodSeconds: 1 };
        const pod = podFor(stack, 'pod', '', {
          imagePullSecrets: [{ name: 'login' }],
          volumes: [{ name: 'work', emptyDir: {} }],
          initContainers: [shell('init', 'echo hello >/work/from-init; chmod 777 /work', more)],
          containers: [shell('c', script, { ...more, readinessProbe: probe, securityContext: { runAsUser: 1234 } })],
        });
        await apply(stack.namespace, pod);
        const ended = await untilPhase(stack, 'pod', 'Failed');
        expect(stateOf(ended, 'c').terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
        expect(ended.status?.containerStatuses?.[0]?.imageID).toBe(`${host}/site/busybox@${registry.digest}`);
        expect(await kubectl(['-n', stack.namespace, 'logs', 'pod'])).toBe('hello\n1234\nprobed\n');
        expect(registry.downloads.length).toBe(new Set(registry.downloads).size);
        expect(stack.log()).not.toContain('e2e-secret');
      } finally {
        registry.close();
        // Where Podman's images are unless the site says otherwise.
        const uid = (await outputOf(['id', '-u', environment.user])).trim();
        rmSync(`/var/tmp/interlink-${uid}`, { recursive: true, force: true });
      }
    });
  });
