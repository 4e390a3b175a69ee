import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Pod } from '../../src/kube/types.ts';
import { temporaryDirectory } from '../fakes/running.ts';
import { INTERLINK, interlink } from './interlink.ts';

const HELLO = new URL('../../examples/hello.yaml', import.meta.url).pathname;

const pod = (container: object, spec: object = {}): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'localhost/any', ...container }],
      ...spec,
    },
  });
const shell = (line: string, spec: object = {}): string => pod({ command: ['sh', '-c', line] }, spec);

/** Command lines of processes that hold `mark`. */
async function processesWith(mark: string): Promise<readonly string[]> {
  const lines = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.filter((line) => line.includes(mark));
}

/** Runs a pod from standard input on this machine. */
const run = (manifest: string, ...args: string[]) =>
  interlink(['run', '-', '--runtime', 'process', ...args], {}, manifest);

describe('interlink run', () => {
  it('shows the logs of the example in order, each with the name of its container', async () => {
    const { out, code } = await interlink(['run', HELLO, '--runtime', 'process']);
    expect(out.split('\n')).toEqual([
      '[prepare] the init container has run',
      '[first] Hello from a ConfigMap',
      '[first] the volume says: prepared',
      '[second] the second container got: a word from the first container',
      '[second] Goodbye',
      '',
    ]);
    expect(code).toBe(0);
  });

  it('ends with the exit code of the container that failed first', async () => {
    const two = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: {
        restartPolicy: 'Never',
        containers: [
          { name: 'late', image: 'x', command: ['sh', '-c', 'sleep 0.7; exit 3'] },
          { name: 'early', image: 'x', command: ['sh', '-c', 'exit 42'] },
        ],
      },
    });
    expect((await run(two)).code).toBe(42);
  });

  it('prints one container as it writes and says on standard error that nothing is isolated', async () => {
    const { out, err, code } = await run(shell('printf "a\\0b\\nno newline"; exit 7'));
    expect([out, code]).toEqual(['a\0b\nno newline', 7]);
    expect(err).toContain('runtime process: the commands run on the file system of this machine');
  });

  it('puts and leaves out the prefix as told', async () => {
    expect((await run(shell('echo x'), '--prefix')).out).toBe('[c] x\n');
    expect((await interlink(['run', HELLO, '--runtime', 'process', '--no-prefix'])).out).toContain('\nGoodbye\n');
  });

  it('prints the final pod instead of the output', async () => {
    const json = await run(shell('echo hidden; exit 5'), '-o', 'json');
    const object = JSON.parse(json.out) as Pod & { kind: string };
    expect([json.code, object.kind, object.status?.phase]).toEqual([5, 'Pod', 'Failed']);
    expect(object.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 5, reason: 'Error' });
    expect(object.spec?.terminationGracePeriodSeconds).toBe(30);
    const yaml = parse((await run(shell('true'), '-o', 'yaml')).out) as Pod;
    expect(yaml.status?.phase).toBe('Succeeded');
  });

  it('writes the final pod beside the output', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'status.json');
    const { out } = await run(shell('echo shown'), '--status-file', file);
    expect(out).toBe('shown\n');
    expect((JSON.parse(await readFile(file, 'utf8')) as Pod).status?.phase).toBe('Succeeded');
  });

  it('stops the pod with its grace period on Ctrl-C and leaves nothing behind', async () => {
    await using directory = await temporaryDirectory();
    const mark = `mark-${process.pid}-${Date.now()}`;
    const file = join(directory.path, 'pod.json');
    await writeFile(
      file,
      shell(`trap 'echo got TERM; exit 0' TERM; echo up; : ${mark}; while :; do sleep 0.1; done`, {
        terminationGracePeriodSeconds: 20,
      }),
    );
    const child = spawn(INTERLINK, ['run', file, '--runtime', 'process'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH ?? '', TMPDIR: directory.path },
    });
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.includes('up\n')) child.kill('SIGINT');
    }
    if (child.exitCode === null) await once(child, 'exit');
    expect([output, child.exitCode]).toEqual(['up\ngot TERM\n', 130]);
    expect(await processesWith(mark)).toEqual([]);
    expect(await readdir(directory.path)).toEqual(['pod.json']);
  });

  it('says why a pod cannot start', async () => {
    const missing = await run(pod({ command: ['/no/such/program'] }));
    expect(missing.code).toBe(128);
    expect(missing.err).toMatch(/container c: ended with exit code 128 \(StartError\).*\/no\/such\/program/);
  });

  it('refuses a token volume, which only a cluster could fill', async () => {
    const spec = { volumes: [{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }] };
    const { code, err } = await run(pod({}, spec));
    expect(code).toBe(1);
    expect(err).toMatch(/volume "t".*no cluster issues a token/);
  });
});

describe('bad input to interlink run', () => {
  const configMap = (data: object): string =>
    JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data });

  it.each([
    ['an empty file', '', /standard input: holds no object; a pod was expected/],
    ['YAML that is no object', 'hello', /expected a Kubernetes object, got the string "hello"/],
    ['broken YAML', 'a: [1', /standard input:1: not valid YAML/],
    ['a Deployment', 'apiVersion: apps/v1\nkind: Deployment\n', /apps\/v1 Deployment cannot be run/],
    ['two pods', `${shell('true')}\n---\n${shell('true')}`, /a second pod; run takes one/],
    ['an unknown field', pod({ imagee: 'x' }), /spec\.containers\[0\]\.imagee: unknown field; did you mean image\?/],
    ['a volume without a source', pod({}, { volumes: [{ name: 'v' }] }), /volume "v" has no source/],
    ['a mount without a volume', pod({ volumeMounts: [{ name: 'v', mountPath: '/x' }] }), /no volume named "v"/],
    [
      'duplicate container names',
      pod({}, { initContainers: [{ name: 'c', image: 'x' }] }),
      /duplicate container name "c"/,
    ],
    ['a negative quantity', pod({ resources: { limits: { cpu: '-1' } } }), /limits\.cpu: must not be negative/],
    ['an absurd quantity', pod({ resources: { limits: { memory: '1e50' } } }), /limits\.memory: is out of any range/],
    ['a name with ../', pod({ name: '../c' }), /"\.\.\/c" is no container name/],
    [
      'a ConfigMap of 2 MiB',
      `${shell('true')}\n---\n${configMap({ a: 'x'.repeat(2 << 20) })}`,
      /holds 2097152 bytes; a ConfigMap may hold 1048576/,
    ],
  ])('%s: a message and exit code 2', async (_name, manifest, message) => {
    const { code, err, out } = await run(manifest);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([2, '']);
  });

  it('a missing file: a message and exit code 2', async () => {
    const { code, err } = await interlink(['run', '/no/such/pod.yaml']);
    expect([code, err]).toEqual([2, 'error: /no/such/pod.yaml: no such file\n']);
  });

  it('a missing ConfigMap: its name and the volume', async () => {
    const { code, err } = await run(pod({}, { volumes: [{ name: 'v', configMap: { name: 'gone' } }] }));
    expect(code).toBe(1);
    expect(err).toMatch(/volume "v" : configmap "gone" not found/);
  });

  it('no operand, two operands, a misspelled flag: usage', async () => {
    expect((await interlink(['run'])).code).toBe(2);
    expect((await interlink(['run', 'a', 'b'])).code).toBe(2);
    const { code, err } = await interlink(['run', 'a', '--runtme', 'process']);
    expect(code).toBe(2);
    expect(err).toMatch(/did you mean --runtime/i);
  });
});

describe('a site that answers nonsense', () => {
  /** A server that gives the same answer to every call. */
  async function withServer(
    answer: { readonly status: number; readonly type: string; readonly body: string; readonly cut?: boolean },
    use: (url: string) => Promise<void>,
  ): Promise<void> {
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(answer.status, {
        'content-type': answer.type,
        ...(answer.cut ? { 'content-length': String(answer.body.length + 10) } : {}),
      });
      if (answer.cut) response.write(answer.body, () => response.destroy());
      else response.end(answer.body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  it.each([
    ['HTML', { status: 200, type: 'text/html', body: '<html><body>Welcome</body></html>' }, /Welcome/],
    ['nothing', { status: 200, type: 'application/json', body: '' }, /empty/i],
    [
      'half a JSON document',
      { status: 200, type: 'application/json', body: '{"PodUID":"x', cut: true },
      /cut|closed|ended|reset|JSON/i,
    ],
    [
      'an error text with status 200',
      { status: 200, type: 'text/plain', body: 'sbatch: error: no partition' },
      /no partition/,
    ],
  ])('%s: a message that quotes it, exit code 5', async (_name, answer, message) => {
    await withServer(answer, async (url) => {
      const { code, err } = await interlink(['run', '-', '--url', url], {}, shell('true'));
      expect(err).toMatch(message);
      expect(code).toBe(5);
    });
  });

  it('nobody there: exit code 5', async () => {
    const { code, err } = await interlink(['run', '-', '--url', 'http://127.0.0.1:1'], {}, shell('true'));
    expect(code).toBe(5);
    expect(err).toMatch(/127\.0\.0\.1:1/);
  });
});
