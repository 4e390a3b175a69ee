import { spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RuntimeName } from '../../src/contract/job-directory.ts';
import { createCertificate } from '../fakes/certificate.ts';
import { outcomeOf, outputOf } from './support/command.ts';
import type { DriverContainer, DriverRequest, DriverResult } from './support/container-driver.ts';
import { describeOn } from './support/describe-on.ts';
import { environment, type Part } from './support/environment.ts';
import { LAYERED_OUTPUT, makeLayeredArchive } from './support/layered-archive.ts';
import { type ServedRegistry, serveRegistry } from './support/serve-registry.ts';
import { until } from './support/until.ts';

const IMAGE = 'localhost/busybox:latest';
const { user, imageSif, root } = environment;
const sandbox = imageSif.replace(/\.sif$/, '.sandbox');
const driver = join(root, 'test/e2e/support/container-driver.ts');
const archive = imageSif.replace(/\.sif$/, '.tar');
/** A PATH without newuidmap: what a site without subordinate ids looks like. */
const noRanges = join(tmpdir(), `interlink-e2e-no-ranges-${process.pid}`);
/** What the targets have pulled. */
const images = join(tmpdir(), `interlink-e2e-images-${process.pid}`);
/** The machine's own programs, whatever else the tests may find first. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

beforeAll(() => {
  for (const directory of [noRanges, images]) {
    mkdirSync(directory);
    chmodSync(directory, 0o777);
  }
  for (const tool of ['squashfuse_ll', 'cat', 'apptainer', 'podman', 'python3'])
    symlinkSync(`/usr/bin/${tool}`, join(noRanges, tool));
  // It looks for its library beside itself.
  writeFileSync(join(noRanges, 'ch-image'), '#!/bin/sh\nexec /usr/bin/ch-image "$@"\n', { mode: 0o755 });
});
afterAll(() => {
  for (const directory of [noRanges, images]) rmSync(directory, { recursive: true });
});

interface Target {
  readonly runtime: RuntimeName;
  readonly as: 'root' | 'user';
  readonly image: string | (() => string);
  readonly options?: readonly string[];
  readonly path?: string;
}

function commandOf(as: Target['as']): string[] {
  const clean = ['env', '-i', `PATH=${process.env.PATH}`, `TMPDIR=${images}`, process.execPath, driver];
  return as === 'root' ? clean : ['runuser', '-u', user, '--', ...clean];
}

function requestOf(
  { runtime, as, image, options, path = SYSTEM_PATH }: Target,
  rest: Pick<DriverRequest, 'containers'> & Partial<DriverRequest>,
): DriverRequest {
  const own = path === noRanges ? '-no-ranges' : '';
  return {
    settings: {
      name: runtime,
      imageMap: { 'localhost/busybox': typeof image === 'string' ? image : image() },
      // Pulled once for all tests of a target, which then need no longer than with an image that lies there.
      imageCache: join(images, `${runtime}-${as}${own}`),
      ...(options && { options }),
    },
    environment: { PATH: path },
    files: [],
    ...rest,
  };
}

/** A directory for the images of one test. */
function freshCache(): string {
  const directory = mkdtempSync(join(images, 'cache-'));
  chmodSync(directory, 0o777);
  return join(directory, 'images');
}

async function drive(target: Target, rest: Pick<DriverRequest, 'containers'> & Partial<DriverRequest>) {
  const request = requestOf(target, rest);
  const output = await outputOf(commandOf(target.as), { stdin: JSON.stringify(request), timeoutMs: 120_000 });
  const results = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as DriverResult);
  return results as [DriverResult, ...DriverResult[]];
}

const sh = (script: string, plan: DriverContainer['plan'] = {}): DriverContainer => ({
  image: IMAGE,
  plan: { command: ['sh', '-c', script], ...plan },
});

/** Of one image, over TLS as Charliecloud knows no other registries. */
let registry: ServedRegistry;
async function certificate(): Promise<{ key: string; cert: string }> {
  const { keyFile, certFile } = await createCertificate(images);
  return { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') };
}

beforeAll(async () => {
  registry = await serveRegistry(archive, await certificate());
});
afterAll(() => registry.close());

const apptainer = { runtime: 'apptainer', image: imageSif } as const;
const podman = { runtime: 'podman', image: `docker-archive:${archive}` } as const;
const charliecloud = {
  runtime: 'charliecloud',
  image: () => `docker://localhost:${registry.port}/site/busybox:1`,
  options: ['--tls-no-verify'],
} as const;

interface Row {
  readonly runtime: RuntimeName;
  readonly root: Target;
  readonly user: Target;
  readonly noRanges: Target;
  readonly others: readonly [string, Target][];
}

function row(target: Omit<Target, 'as'>, others: readonly [string, Target][] = []): Row {
  return {
    runtime: target.runtime,
    root: { ...target, as: 'root' },
    user: { ...target, as: 'user' },
    noRanges: { ...target, as: 'user', path: noRanges },
    others,
  };
}

const rows: readonly Row[] = [
  row(apptainer, [["as a plain user, somebody else's directory", { ...apptainer, as: 'user', image: sandbox }]]),
  row(podman),
  row(charliecloud),
];

for (const { runtime, root, user: plain, noRanges: single, others } of rows)
  describeOn(['user', 'image', runtime as Part], `the runtime ${runtime}`, () => {
    const needsTls = runtime === 'charliecloud';
    const targets: readonly [string, Target][] = [
      ['as root', root],
      ['as a plain user', plain],
      ['as a plain user without subordinate ids', single],
      ...others,
    ];
    describe.each(targets)('%s', (_, target) => {
      test('gives a process what it expects when the pod says nothing', async () => {
        const script =
          'umask; pwd; echo "$PATH"; echo "$HOME"; read x; echo "read $?"; [ -w /tmp ] && [ -w /dev/null ] && echo writable; ' +
          'ls /proc/1/exe >/dev/null && echo proc; env | grep -cv KUBERNETES; echo $$; hostname; id -u; touch /root/x /x && echo root';
        const [result] = await drive(target, { containers: [sh(script)] });
        expect(result).toMatchObject({
          exitCode: 0,
          stderr: '',
          stdout:
            '0022\n/\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/root\nread 1\nwritable\nproc\n5\n1\npod\n0\nroot\n',
        });
      });

      test('takes command and arguments from pod and image by the rules, and passes everything byte for byte', async () => {
        const odd = ['', ' a  b ', '"\'$(x)`\\', 'ü\n', '-n', 'a=b,c'];
        const env: [string, string][] = [['A.b', 'x\n"\'$(y),'], ['c-d', ''], ['HOME', '/h']]; // biome-ignore format: one row each
        const [neither, args, both, names] = await drive(target, {
          containers: [
            { image: IMAGE, plan: {} },
            { image: IMAGE, plan: { args: ['echo', 'args only'] } },
            { image: IMAGE, plan: { command: ['printf', '%s|'], args: odd } },
            { image: IMAGE, plan: { command: ['env', '-0'], env } },
          ],
        });
        expect(neither).toMatchObject({ exitCode: 0, stdout: '' });
        expect(args).toMatchObject({ stdout: 'args only\n' });
        expect(both).toMatchObject({ stdout: odd.map((word) => `${word}|`).join('') });
        const found = (names?.stdout ?? '').split('\0').filter(Boolean).sort();
        expect(found).toEqual(
          [...env.map(([name, value]) => `${name}=${value}`), 'HOSTNAME=pod', expect.stringMatching(/^PATH=/)].sort(),
        );
      });

      test('tells what cannot be executed before anything has run', async () => {
        const results = await drive(target, {
          containers: [
            { image: IMAGE, plan: { command: ['/no/such/program'] } },
            { image: IMAGE, plan: { command: ['nonesuch'] } },
            { image: IMAGE, plan: { command: ['/etc/passwd'] } },
            { image: IMAGE, plan: { command: ['pwd'], workingDir: '/etc/passwd' } },
            { image: IMAGE, plan: { command: ['pwd'], workingDir: '/made/for it' } },
          ],
        });
        expect(results.slice(0, 4).map(({ code, message }) => [code, message])).toEqual([
          ['StartError', 'exec: "/no/such/program": no such file or directory'],
          ['StartError', 'exec: "nonesuch": executable file not found in $PATH'],
          ['StartError', 'exec: "/etc/passwd": permission denied'],
          ['StartError', 'working directory "/etc/passwd": not a directory'],
        ]);
        expect(results[4]).toMatchObject({ stdout: '/made/for it\n' });
      });

      test('mounts directories and files where something is and where nothing is, and tmpfs with their size', async () => {
        const mounts = [
          { source: '@/v', target: '/data/deep/er', readOnly: true },
          { source: '@/v', target: '/usr/share/x y', readOnly: false },
          { source: '@/hosts', target: '/etc/hosts', readOnly: false },
          { source: '@/hosts', target: '/dev/termination-log', readOnly: false },
          { source: '@/m', target: '/m', readOnly: false, tmpfs: { sizeBytes: 1024 * 1024 } },
        ];
        const script =
          'cat /data/deep/er/f; touch /data/deep/er/g 2>&1; touch "/usr/share/x y/g" && ls /data/deep/er; cat /etc/hosts; echo m >/dev/termination-log; ' +
          `grep ' /m ' /proc/mounts | cut -d' ' -f3; df -k /m | tail -1 | awk '{ print $2 }'; dd if=/dev/zero of=/m/x bs=1k count=2000 2>&1 | grep -o 'No space left.*'`;
        const [first, second] = await drive(target, {
          files: [
            { path: 'v', mode: 0o777 },
            { path: 'v/f', content: 'f\n', mode: 0o644 },
            { path: 'hosts', content: 'hosts\n', mode: 0o644 },
            { path: 'm', mode: 0o777 },
          ],
          containers: [sh(script, { mounts }), sh('cat /etc/hosts; ls /m', { mounts })],
        });
        expect(first).toMatchObject({
          exitCode: 0,
          stdout:
            'f\ntouch: /data/deep/er/g: Read-only file system\nf\ng\nhosts\ntmpfs\n1024\nNo space left on device\n',
        });
        expect(second).toMatchObject({ stdout: 'm\nx\n' });
      });

      test('keeps a root file system read-only when asked, and throws away its changes otherwise', async () => {
        const readOnlyRootFilesystem = { security: { readOnlyRootFilesystem: true } };
        const script = 'touch /x 2>&1; echo $?; touch /dev/shm/z && echo shm ok';
        const [readOnly, writes, again] = await drive(target, {
          containers: [
            sh(script, readOnlyRootFilesystem),
            sh('touch /etc/new && rm /etc/group'),
            sh('ls /etc | grep -c -e new -e group'),
          ],
        });
        expect(readOnly).toMatchObject({ stdout: 'touch: /x: Read-only file system\n1\nshm ok\n' });
        expect(writes).toMatchObject({ exitCode: 0 });
        expect(again).toMatchObject({ stdout: '1\n' });
      });

      test('gives capabilities, no_new_privs and seccomp as a kubelet does', async () => {
        const show = 'grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status';
        const none = { dropCapabilities: ['ALL'], allowPrivilegeEscalation: false, seccomp: 'RuntimeDefault' as const };
        const one = { dropCapabilities: ['ALL'], addCapabilities: ['NET_BIND_SERVICE'] };
        const results = await drive(target, {
          containers: [
            sh(show),
            sh(`${show}; chown 1 /tmp 2>&1; unshare -r true 2>&1`, { security: none }),
            sh('grep CapEff /proc/self/status', { security: one }),
          ],
        });
        expect(results.map(({ stdout }) => stdout)).toEqual([
          'CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t0\n',
          expect.stringMatching(
            /^CapEff:\t0{16}\nNoNewPrivs:\t1\nSeccomp:\t2\nchown: \/tmp: (Operation not permitted|Invalid argument)\nunshare: .*Operation not permitted\n$/,
          ),
          'CapEff:\t0000000000000400\n',
        ]);
      });

      test('refuses root where the pod must not be root', async () => {
        const plan = { security: { runAsNonRoot: true }, podName: 'p_ns(uid)' };
        expect(await drive(target, { containers: [sh('id', plan)] })).toMatchObject([
          {
            code: 'CreateContainerConfigError',
            message: 'container has runAsNonRoot and image will run as root (pod: "p_ns(uid)", container: c)',
          },
        ]);
      });

      test('ends containers as their first process ends', async () => {
        const results = await drive(target, {
          containers: [
            sh('exit 42'),
            sh('kill -9 $$; echo survived'),
            { ...sh(''), plan: { command: ['sleep', '60'] }, signals: [{ afterMs: 100, signal: 'SIGKILL' }] },
            {
              ...sh('trap "exit 3" TERM; while :; do sleep 0.05; done'),
              signals: [{ afterMs: 200, signal: 'SIGTERM' }],
            },
            {
              ...sh(''),
              plan: { command: ['sleep', '1'] },
              signals: [{ afterMs: 100, signal: 'SIGTERM' }],
            },
            sh('(sleep 30; echo alive) & echo left'),
          ],
        });
        expect(results.map(({ exitCode, signal }) => [exitCode, signal])).toEqual([
          [42, undefined],
          [0, undefined],
          [137, 9],
          [3, undefined],
          [0, undefined], // process 1 without handler does not see TERM
          [0, undefined],
        ]);
        expect(results[5]).toMatchObject({ stdout: 'left\n' });
      });

      test('shares a process namespace, in which one container can kill another and the rest of it', async () => {
        const shared = { sharedProcesses: true };
        const [killed, other, term, sent] = await drive(target, {
          containers: [
            { ...sh('sleep 777 & exec sleep 4242', shared), together: true },
            sh(
              'sleep 0.5; ps | grep "[s]leep 4242" | wc -l; [ $$ != 1 ] && echo not 1; kill -9 $(ps | grep "[s]leep 4242" | awk "{print \\$1}"); sleep 0.3; ps | grep -c "[s]leep 777"; echo end',
              shared,
            ),
            { ...sh('exec sleep 4242', shared), together: true },
            sh('sleep 0.5; kill -TERM $(pidof sleep); echo sent', shared),
          ],
        });
        expect(killed).toMatchObject({ exitCode: 137, signal: 9 });
        expect(other).toMatchObject({ stdout: '1\nnot 1\n0\nend\n' });
        expect(term).toMatchObject({ exitCode: 143, signal: 15 });
        expect(sent).toMatchObject({ stdout: 'sent\n' });
      });

      test('executes other programs with all that its own program has', async () => {
        const facts =
          'for n in ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done; id; hostname; umask; pwd; env; ls /; ' +
          'grep -E "^(Cap|NoNew|Seccomp:|Groups)" /proc/self/status; cat /proc/self/oom_score_adj';
        const containers = [
          {},
          { workingDir: '/tmp', env: [['A', 'b']] as const, sharedProcesses: true },
          { security: { runAsUser: 1000, runAsGroup: 3000 } },
          {
            security: {
              allowPrivilegeEscalation: false,
              seccomp: 'RuntimeDefault',
              dropCapabilities: ['ALL'],
            } as const,
          },
        ].map((plan) => ({
          ...sh(`(${facts}) >/tmp/own; echo up; while ! [ -e /tmp/go ]; do sleep 0.05; done; exit 7`, plan),
          execs: [
            ['sh', '-c', `(${facts}) | diff /tmp/own -; kill -TERM $$`],
            ['nonesuch'],
            ['sh', '-c', 'echo out >/dev/stdout; echo err >&2; exit 41'],
            ['touch', '/tmp/go'], // and ends with the container, or before it
          ],
        }));
        for (const result of await drive(target, { containers }))
          expect(result).toMatchObject({
            exitCode: 7,
            execs: [
              { exitCode: 143, stdout: '', stderr: '' },
              { code: 'ExecError', message: expect.stringContaining('"nonesuch": executable file not found in $PATH') },
              { exitCode: 41, stdout: 'out\n', stderr: 'err\n' },
              { stderr: '' },
            ],
          });
      });

      test('has a terminal when the pod wants one', async () => {
        const script = '[ -t 0 ] && [ -t 1 ] && echo tty; echo err >&2; printf "a\\nb\\n"';
        const [result] = await drive(target, { containers: [sh(script, { tty: true })] });
        expect(result).toMatchObject({ exitCode: 0, stdout: 'tty\r\nerr\r\na\r\nb\r\n' });
      });

      test('leaves nothing behind when its process is killed, wherever the containers are', async () => {
        const request = requestOf(target, {
          hold: true,
          containers: [
            sh('(setsid sleep 31337 &); sleep 31337'),
            sh('(setsid sleep 31337 &); sleep 31337', { sharedProcesses: true }),
          ],
        });
        const [program = '', ...args] = commandOf(target.as);
        const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
        child.stdin.end(JSON.stringify(request));
        const holder = await new Promise<number>((resolve) =>
          child.stdout.once('data', (line) => resolve(Number(line))),
        );
        const left = () => processes().filter(({ args: words }) => words.includes('31337'));
        try {
          await until('both containers have left a process', () => left().length >= 4, {
            withinMs: 10_000,
            everyMs: 20,
          });
        } finally {
          process.kill(holder, 'SIGKILL');
        }
        await until('every process is gone', () => left().length === 0, { withinMs: 5_000 });
      });
    });

    test('gives users, groups and volumes of a group as a kubelet does, with subordinate ids', async () => {
      const pod = { fsGroup: 3000, supplementalGroups: [4000, 5000], runAsGroup: 2000 };
      const mounts = [{ source: '@/d', target: '/d', readOnly: false }];
      const script =
        'id; stat -c "%a %u:%g" /d; touch /d/f; stat -c "%u:%g" /d/f; grep -E "^(Uid|Gid|Groups)" /proc/self/status; ' +
        'stat -L -c "%a %u:%g" /d/k; touch /root/x 2>&1; echo x >/dev/stdout';
      const containers = [
        sh(script, { security: { ...pod, runAsUser: 1000 }, mounts }),
        sh('id -u; id -g', { security: { ...pod, runAsUser: 1234, runAsGroup: 0 } }),
        sh('id', { security: { ...pod, runAsUser: 0 } }),
      ];
      for (const target of [plain, root]) {
        const files = [
          { path: 'd', mode: 0o2777, gid: 3000 },
          { path: 'd/k', content: 'v', mode: 0o440, gid: 3000 },
        ];
        const results = await drive(target, { files, containers });
        expect(results.map(({ stdout }) => stdout)).toEqual([
          'uid=1000 gid=2000 groups=2000,3000,4000,5000\n2777 0:3000\n1000:3000\nUid:\t1000\t1000\t1000\t1000\n' +
            'Gid:\t2000\t2000\t2000\t2000\nGroups:\t2000 3000 4000 5000 \n440 0:3000\ntouch: /root/x: Permission denied\nx\n',
          '1234\n0\n',
          'uid=0(root) gid=2000 groups=2000,3000,4000,5000\n',
        ]);
      }
    });

    test('gives the one user that there is any id, and names what groups need, without subordinate ids', async () => {
      const [named, groups] = await drive(single, {
        containers: [
          sh('id; touch /tmp/x; echo x >/dev/stdout', { security: { runAsUser: 1000, runAsGroup: 7 } }),
          sh('id', { security: { supplementalGroups: [4000] } }),
        ],
      });
      expect(named).toMatchObject({ exitCode: 0, stdout: 'uid=1000 gid=7 groups=7\nx\n', stderr: '' });
      expect(groups).toMatchObject({
        code: 'CreateContainerConfigError',
        message: expect.stringContaining('/etc/subuid'),
      });
    });

    test('pulls an image from a registry once, and says what a registry says', async () => {
      const plainHttp = await serveRegistry(archive);
      const { port } = runtime === 'charliecloud' ? registry : plainHttp;
      try {
        const image = `localhost:${port}/site/busybox:1`;
        const [pulled, again, never, missing, refused] = await drive(plain, {
          containers: [
            { image, plan: { command: ['echo', 'pulled'] } },
            { image, plan: { command: ['echo', 'again'] }, pullPolicy: 'Never' },
            { image: `localhost:${port}/other:1`, plan: {}, pullPolicy: 'Never' },
            { image: `localhost:${port}/site/none:1`, plan: {} },
            { image: '127.0.0.1:1/no/image:1', plan: {} },
          ],
        });
        expect(pulled).toMatchObject({
          stdout: 'pulled\n',
          imageId: `localhost:${port}/site/busybox@${needsTls ? registry.digest : plainHttp.digest}`,
        });
        expect(again).toMatchObject({ stdout: 'again\n' });
        expect(never).toMatchObject({ code: 'ErrImageNeverPull' });
        expect(missing).toMatchObject({ code: 'ErrImagePull', message: expect.stringContaining('manifest unknown') });
        expect(refused).toMatchObject({ code: 'ErrImagePull', message: expect.stringContaining('connection refused') });
      } finally {
        plainHttp.close();
      }
    });

    test('makes one root of the layers of an image, and runs it as it wants to be run', async () => {
      const layered = join(images, 'layered.tar');
      await makeLayeredArchive(archive, layered);
      const served = await serveRegistry(layered, needsTls ? await certificate() : undefined);
      try {
        const image = `localhost:${served.port}/site/busybox:1`;
        for (const target of [plain, single]) {
          const [result] = await drive(target, { containers: [{ image, plan: {} }] });
          expect(result).toMatchObject({ exitCode: 0, stdout: LAYERED_OUTPUT, stderr: '' });
        }
      } finally {
        served.close();
      }
    });

    test('pulls once for jobs that start at the same time, with the login that the registry wants, and shows it to nobody else', async () => {
      const login = 'puller:se cret"$';
      const served = await serveRegistry(archive, needsTls ? await certificate() : undefined, login);
      try {
        const host = `localhost:${served.port}`;
        const containers = [{ image: `${host}/site/busybox:1`, plan: { command: ['echo', 'private'] } }];
        const imageCache = freshCache();
        const settings = { ...requestOf(plain, { containers }).settings, imageCache };
        const driveWith = (logins: Record<string, string>) => drive(plain, { containers, logins, settings });
        const results = await Promise.all(Array.from({ length: 3 }, () => driveWith({ [host]: login })));
        expect(results.flat().map(({ stdout }) => stdout)).toEqual(['private\n', 'private\n', 'private\n']);
        expect(served.downloads.length).toBe(new Set(served.downloads).size);
        const [refused] = await driveWith({ [host]: 'puller:wrong' });
        expect(refused).toMatchObject({ code: 'ErrImagePull' });
        const words = ['-e', 'se cret', '-e', Buffer.from(login).toString('base64')];
        const { stdout } = await outcomeOf(['grep', '-rlF', ...words, imageCache]);
        expect(stdout).toBe('');
      } finally {
        served.close();
      }
    });

    test('keeps its images within the bound, and nothing else of a pull', async () => {
      const layered = join(images, 'bounded.tar');
      await makeLayeredArchive(archive, layered);
      const tls = needsTls ? await certificate() : undefined;
      const served = [await serveRegistry(archive, tls), await serveRegistry(layered, tls)];
      try {
        const imageCache = freshCache();
        for (const { port } of served) {
          const containers = [{ image: `localhost:${port}/site/busybox:1`, plan: { command: ['true'] } }];
          const settings = { ...requestOf(plain, { containers }).settings, imageCache, imageCacheBytes: 1 };
          const [result] = await drive(plain, { containers, settings });
          expect(result).toMatchObject({ exitCode: 0 });
        }
        // The first image has made room for the second, which was in use.
        const files = readdirSync(imageCache, { withFileTypes: true }).filter((entry) => entry.isFile());
        expect(files).toHaveLength(1);
        for (const name of ['tmp', 'doomed', 'uses', 'locks']) expect(readdirSync(join(imageCache, name))).toEqual([]);
        if (runtime === 'charliecloud') expect(readdirSync(join(imageCache, 'charliecloud'))).toHaveLength(1);
        if (runtime === 'podman')
          expect(readdirSync(join(imageCache, 'podman/overlay')).filter((name) => name.length === 64)).toHaveLength(2);
      } finally {
        for (const { close } of served) close();
      }
    });

    test('says which setting forbids namespaces', async () => {
      // The fault: in a changed root the kernel gives nobody a user namespace.
      const script = `mount --rbind / /mnt && exec chroot --userspec=${user} /mnt "$@"`;
      const command = ['unshare', '--mount', 'sh', '-c', script, 'sh', ...commandOf('root')];
      const request = requestOf(plain, { containers: [] });
      const { code, stderr } = await outcomeOf(command, { stdin: JSON.stringify(request) });
      expect(code).toBe(1);
      expect(stderr).toContain(
        `runtime "${runtime}": this worker cannot isolate containers: the kernel forbids user namespaces`,
      );
    });

    test('names what is missing', async () => {
      const request = requestOf({ ...plain, path: '/nowhere' }, { containers: [] });
      const { code, stderr } = await outcomeOf(commandOf('user'), { stdin: JSON.stringify(request) });
      expect(code).toBe(1);
      expect(stderr).toContain(`is not on this worker; install the package ${runtime}`);
    });
  });

describeOn(['user', 'image', 'apptainer'], 'the runtime apptainer', () => {
  test('starts a container no later than apptainer itself does', async () => {
    const target: Target = { ...apptainer, as: 'user' };
    const results = await drive(target, { containers: Array.from({ length: 12 }, () => sh('true')) });
    const ours = median(results.slice(1).map(({ startMs }) => startMs));
    const bare: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const begun = performance.now();
      await outputOf(['runuser', '-u', user, '--', 'apptainer', '--silent', 'exec', '--containall', imageSif, 'true']);
      bare.push(performance.now() - begun);
    }
    console.log(`start: ${ours.toFixed(0)} ms, apptainer exec: ${median(bare).toFixed(0)} ms`);
    expect(ours).toBeLessThan(median(bare) + 100);
  });
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function processes(): { args: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [{ args: readFileSync(`/proc/${name}/cmdline`, 'utf8').split(/[\0 ;)]+/) }];
      } catch {
        return [];
      }
    });
}
