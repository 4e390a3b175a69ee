import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { outcomeOf, outputOf } from './support/command.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment } from './support/environment.ts';
import { startIssuer } from './support/issuer.ts';
import { kubectl } from './support/kubectl.ts';
import { createStackFiles } from './support/stack-files.ts';
import { servingRequestsOf } from './support/stack-node.ts';
import { until } from './support/until.ts';

const readme = readFileSync(join(environment.root, 'README.md'), 'utf8');

/** The commands of the README, by the name in the comment above them. */
const blocks = new Map(
  [...readme.matchAll(/<!-- run: (\S+) -->\n```sh\n(.*?)```/gs)].map(([, name = '', text = '']) => [name, text]),
);

function block(name: string): string {
  const text = blocks.get(name);
  if (text === undefined) throw new Error(`README.md has no commands named ${name}`);
  return text;
}

describe('the README', () => {
  test('has no command that is not run here', () => {
    expect([...blocks.keys()]).toEqual(['hello', 'tests', 'site', 'cluster', 'approve', 'pod']);
    expect(readme.match(/```sh/g)).toHaveLength(blocks.size);
  });

  test('names the command that continuous integration runs', () => {
    const ci = readFileSync(join(environment.root, '.ci/run'), 'utf8');
    for (const command of block('tests').trim().split(' && '))
      expect(ci).toContain(command.replace('npm run', 'npm run --silent'));
  });

  test('first line: in a fresh clone the logs appear in order, with the exit code of the pod', async () => {
    const clone = join(environment.root, 'build/readme-clone');
    rmSync(clone, { recursive: true, force: true });
    execFileSync('git', ['clone', '--quiet', environment.root, clone]);
    try {
      const { code, stdout, stderr } = await outcomeOf(['bash', '-c', block('hello')], {
        cwd: clone,
        env: {
          PATH: (process.env.PATH ?? '')
            .split(':')
            .filter((path) => !path.includes('node_modules'))
            .join(':'),
          HOME: process.env.HOME,
        },
        timeoutMs: 240_000,
      });
      expect(stderr + stdout).not.toMatch(/error/i);
      expect(code).toBe(0);
      expect(stdout.slice(stdout.indexOf('[prepare]'))).toBe(
        [
          '[prepare] the init container has run',
          '[first] Hello from a ConfigMap',
          '[first] the volume says: prepared',
          '[second] the second container got: a word from the first container',
          '[second] Goodbye',
          '',
        ].join('\n'),
      );
    } finally {
      rmSync(clone, { recursive: true, force: true });
    }
  });
});

describeOn(EVERYTHING, 'the quick start', () => {
  test('from the configuration of a site to a pod in Slurm', async () => {
    const files = await createStackFiles('readme');
    await using issuer = await startIssuer({ directory: files.directory, ...files.certificate });
    files.write(join(files.cluster, 'token'), await issuer.token());
    cpSync(join(environment.root, 'examples'), join(files.cluster, 'examples'), { recursive: true });
    for (const command of ['sbatch', 'squeue', 'scancel', 'sinfo', 'sacct', 'scontrol'])
      files.write(
        join(files.tools, command),
        `#!/bin/sh\nSLURM_CONF=${environment.slurmConf} exec /usr/bin/${command} "$@"\n`,
        0o755,
      );
    for (const [name, from] of [
      ['interlink', files.executable],
      ['kubectl', environment.kubectl],
    ] as const)
      copyFileSync(from, join(files.tools, name));
    const [port = '', kubeletPort = ''] = await freePorts(2);

    // Names of the README that are others here.
    const here = (text: string): string =>
      text
        .replaceAll('https://issuer.example', issuer.url)
        .replaceAll('https://site.example:8443', `https://127.0.0.1:${port}`)
        .replaceAll('https://0.0.0.0:8443', `https://127.0.0.1:${port}`)
        .replaceAll('/etc/interlink', files.site)
        .replaceAll('/home/hpc/interlink', join(files.site, 'interlink'))
        .replaceAll('/images/', `${join(environment.directory, 'images')}/`);
    const pids = join(files.site, 'pids');
    const kubeconfig = files.write(join(files.site, 'admin.kubeconfig'), readFileSync(environment.kubeconfig, 'utf8'));
    const become = ['setpriv', `--reuid=${environment.user}`, `--regid=${environment.user}`, '--init-groups'];
    const run = (name: string, cwd: string, script = here(block(name))): Promise<string> =>
      outputOf([...become, 'bash', '--norc', '-euo', 'pipefail', '-c', `${script}\njobs -p >>${pids}`], {
        cwd,
        env: {
          PATH: `${files.tools}:/usr/bin:/bin`,
          HOME: files.site,
          KUBECONFIG: kubeconfig,
          // Both certificates are of this test's own authority, not of a public one.
          NODE_EXTRA_CA_CERTS: files.certificate.certFile,
          ...(cwd === files.cluster && { INTERLINK_NODE_KUBELET_PORT: kubeletPort }),
        },
        timeoutMs: 120_000,
      });
    try {
      await run('site', files.site);
      await run('cluster', files.cluster);
      const name = await until('the node asks for a certificate', async () => (await servingRequestsOf('vk-1'))[0], {
        withinMs: 30_000,
        evidence: () => readFileSync(join(files.cluster, 'vk.log'), 'utf8').slice(-3000),
      });
      expect(readFileSync(join(files.cluster, 'vk.log'), 'utf8')).toContain(`kubectl certificate approve ${name}`);
      await run('approve', files.cluster, block('approve').replace('NAME', name));
      const told = await run('pod', files.cluster);
      expect(told).toMatch(/^hello-slurm says hello$/m);
      expect(await kubectl(['get', 'pod', 'hello-slurm', '--ignore-not-found'])).toBe('');
    } finally {
      for (const pid of existsSync(pids) ? readFileSync(pids, 'utf8').split('\n').map(Number) : [])
        if (pid > 0) process.kill(pid, 'SIGTERM');
      await kubectl(['delete', 'node', 'vk-1', '--ignore-not-found']);
    }
  });
});

/** Ports on which nobody listens now. */
async function freePorts(count: number): Promise<string[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  return servers.map((server) => {
    const address = server.address();
    server.close();
    return String(typeof address === 'object' ? address?.port : '');
  });
}
