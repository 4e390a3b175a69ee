import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { localCommandRunner } from '../../../src/base/command.ts';
import { DEFAULT_PATH } from '../../../src/runner/image-tool.ts';
import { runInSandbox } from '../../../src/runner/namespace-exec.ts';
import { ownIdMap } from '../../../src/runner/namespace-ids.ts';
import { createSandbox, type Sandbox } from '../../../src/runner/namespace-sandbox.ts';
import { currentUser } from '../../../src/runner/namespace-user.ts';
import { type PodmanCommandDeps, runPodman } from '../../../src/runner/podman-command.ts';

let root: string;
let sandbox: Sandbox | undefined;
let unsupported = 'no Linux';

/** Tells what Podman gets to see: its arguments, its surroundings, what it may show, what lies in memory. */
const FAKE = `#!/bin/sh
echo "args $*"
env | sort
[ -z "$REGISTRY_AUTH_FILE" ] || cat "$REGISTRY_AUTH_FILE"
echo "memory [$(ls /dev/shm)]"
echo lock >/dev/shm/libpod_lock
echo "Error: as asked" >&2
exit 7
`;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-podman-command-'));
  for (const name of ['bin', 'sandbox', 'work']) await mkdir(join(root, name));
  await writeFile(join(root, 'bin/podman'), FAKE);
  await chmod(join(root, 'bin/podman'), 0o755);
  const user = currentUser();
  const ids = user.uid === 0 ? {} : { ids: ownIdMap(user) };
  try {
    sandbox = await createSandbox({ directory: join(root, 'sandbox'), commands: localCommandRunner, ...ids });
  } catch (error) {
    unsupported = (error as Error).message;
  }
});
afterAll(async () => {
  await sandbox?.close();
  await rm(root, { recursive: true });
});

function deps(made: Sandbox, more: Partial<PodmanCommandDeps> = {}): PodmanCommandDeps {
  const PATH = `${join(root, 'bin')}:${DEFAULT_PATH}`;
  const places = { storage: join(root, 'storage'), temporary: join(root, 'work') };
  return { program: 'podman', environment: { PATH, HTTPS_PROXY: 'http://proxy:1' }, sandbox: made, ...places, ...more };
}

describe.runIf(process.platform === 'linux')('podman in the sandbox of a pod', () => {
  it('has a storage of ours, the environment of the job, and memory of its own', async (context) => {
    if (!sandbox) return context.skip(unsupported);
    const { exitCode, stdout, stderr } = await runPodman(['pull', 'docker://a b'], deps(sandbox));
    expect([exitCode, stderr]).toEqual([7, 'Error: as asked\n']);
    const [args, ...lines] = stdout.trimEnd().split('\n');
    expect(args).toMatch(
      new RegExp(`^args --root ${join(root, 'storage')} .*--storage-driver overlay .*pull docker://a b$`),
    );
    expect(lines).toEqual(
      expect.arrayContaining(['HTTPS_PROXY=http://proxy:1', `TMPDIR=${join(root, 'work')}`, 'memory []']),
    );
    expect(lines.some((line) => line.startsWith('_CONTAINERS_USERNS_CONFIGURED='))).toBe(sandbox.ids !== undefined);
    expect(await readdir('/dev/shm')).not.toContain('libpod_lock');
  });

  it('may show the login, wherever that lies', async (context) => {
    if (!sandbox) return context.skip(unsupported);
    const login = await mkdtemp('/dev/shm/interlink-test-');
    try {
      await writeFile(join(login, 'config.json'), '{"auths":{}}\n');
      const { stdout } = await runPodman(['pull'], deps(sandbox, { login: join(login, 'config.json') }));
      expect(stdout).toContain('\n{"auths":{}}\n');
      expect(await readFile(join(login, 'config.json'), 'utf8')).toBe('{"auths":{}}\n');
    } finally {
      await rm(login, { recursive: true });
    }
  });

  it.each([
    [{ environment: { PATH: '/nowhere' } }, 'podman: no such program; install podman'],
    [{ storage: '/dev/shm/images' }, 'set runtime.imageCache'],
  ])('is not started with %j', async (more, message) => {
    const made = sandbox ?? ({} as Sandbox);
    await expect(runPodman(['pull'], deps(made, more))).rejects.toThrow(message);
  });

  it('is killed when the pod is taken back', async (context) => {
    if (!sandbox) return context.skip(unsupported);
    const stop = new AbortController();
    const begun = join(root, 'begun');
    const script = `echo >${begun}; exec sleep 60`;
    const running = runInSandbox(sandbox, ['/bin/sh', '-c', script], {}, { signal: stop.signal });
    await expect.poll(() => readdir(root)).toContain('begun');
    stop.abort(new Error('taken back'));
    await expect(running).rejects.toThrow('taken back');
    await expect(runInSandbox(sandbox, ['/bin/true'], {}, { signal: stop.signal })).rejects.toThrow('taken back');
  });
});
