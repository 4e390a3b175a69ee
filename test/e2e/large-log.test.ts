import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LOG_FILES, LOG_ROTATE_BYTES } from '../../src/contract/job-directory.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment } from './support/environment.ts';
import { apply, kubectl } from './support/kubectl.ts';
import { podFor, shell, untilPhase } from './support/pod.ts';
import { type Stack, startStack } from './support/stack.ts';
import { SITES } from './support/stack-config.ts';
import { until } from './support/until.ts';

const MEBIBYTE = 2 ** 20;
/** A whole gibibyte takes minutes on two cores, and what goes wrong with it goes wrong with a part of it that is several times what is kept. */
const SIZE_MIB = Number(process.env.INTERLINK_E2E_LOG_MIB ?? 256);
const LINE_BYTES = 128;
const LINES = (SIZE_MIB * MEBIBYTE) / LINE_BYTES;
/** For the whole of a pod, on a busy machine. */
const LIMIT_MS = 60_000 + SIZE_MIB * 700;
/** What the runner may take; it needs about 60 MiB to live. */
const RUNNER_MIB = 160;

interface Received {
  readonly lines: number;
  readonly hash: string;
}

describeOn(EVERYTHING, 'a container that writes far more than its log keeps', () => {
  for (const site of SITES)
    describe(site, () => {
      let stack: Stack;
      beforeAll(async () => {
        stack = await startStack({ name: site === 'slurm' ? 'log' : `log-${site}`, site });
      });
      afterAll(() => stack?.[Symbol.asyncDispose]());

      test(`${SIZE_MIB} MiB: kubectl logs -f loses nothing, files are rotated, the runner stays small`, {
        timeout: LIMIT_MS + 60_000,
      }, async () => {
        const filler = 'x'.repeat(LINE_BYTES - 10);
        const script = `sleep 3; awk 'BEGIN { for (i = 0; i < ${LINES}; i++) printf "%08d %s\\n", i, "${filler}" }'; touch /done; sleep 5`;
        const pod = podFor(stack, 'talks', '', {
          containers: [shell('c', script, { resources: { requests: { memory: '512Mi' } } })],
        });
        await apply(stack.namespace, pod);
        const running = await untilPhase(stack, 'talks', 'Running');
        const job = join(stack.directory, 'site/sidecar/jobs', running.metadata?.uid ?? '');
        const received = follow(stack.namespace);
        const peak = await untilOver(stack, job);
        expect(await received).toEqual(expectedOf(filler));
        const logs = join(job, 'containers/c');
        const files = readdirSync(logs).filter((name) => name.startsWith('0.log'));
        expect(files).toHaveLength(LOG_FILES);
        for (const file of files) expect(statSync(join(logs, file)).size).toBeLessThan(LOG_ROTATE_BYTES + MEBIBYTE);
        expect(peak / MEBIBYTE).toBeLessThan(RUNNER_MIB);
        const kept = await kubectl(['-n', stack.namespace, 'logs', 'talks', '--tail=2']);
        expect(kept).toBe([LINES - 2, LINES - 1].map((i) => `${lineOf(i, filler)}\n`).join(''));
      });
    });
});

function lineOf(i: number, filler: string): string {
  return `${String(i).padStart(8, '0')} ${filler}`;
}

function expectedOf(filler: string): Received {
  const hash = createHash('sha256');
  for (let i = 0; i < LINES; i += 1024)
    hash.update(Array.from({ length: Math.min(1024, LINES - i) }, (_, n) => `${lineOf(i + n, filler)}\n`).join(''));
  return { lines: LINES, hash: hash.digest('hex') };
}

/** What `kubectl logs -f` has brought when it ends by itself. */
async function follow(namespace: string): Promise<Received> {
  const child = spawn(environment.kubectl, ['-n', namespace, 'logs', '-f', 'talks'], {
    env: { ...process.env, KUBECONFIG: environment.kubeconfig },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const hash = createHash('sha256');
  let lines = 0;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    hash.update(chunk);
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines += 1;
  }
  return { lines, hash: hash.digest('hex') };
}

/** Waits for the end of the pod; the most bytes of memory that its runner has had. */
async function untilOver(stack: Stack, job: string): Promise<number> {
  let peak = 0;
  const done = untilPhase(stack, 'talks', 'Succeeded', LIMIT_MS);
  let isOver = false;
  const mark = (): void => {
    isOver = true;
  };
  done.then(mark, mark);
  await until(
    'the pod ends',
    () => {
      for (const pid of runnersOf(job)) peak = Math.max(peak, peakOf(pid));
      return isOver;
    },
    { withinMs: LIMIT_MS + 10_000, everyMs: 500 },
  );
  await done;
  expect(peak).toBeGreaterThan(0);
  return peak;
}

/** Processes of our executable in the directory of the job. */
function runnersOf(job: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === job && basename(readlinkSync(`/proc/${pid}/exe`)) === 'interlink';
    } catch {
      // It has just ended.
      return false;
    }
  });
}

/** Highest resident memory of a process so far; 0 when it has ended. @see proc(5), VmHWM */
function peakOf(pid: string): number {
  const status = `/proc/${pid}/status`;
  const text = existsSync(status) ? readFileSync(status, 'utf8') : '';
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
