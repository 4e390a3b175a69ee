import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import type { Sidecar } from '../../src/contract/sidecar.ts';
import { createLocalSidecar } from '../../src/sidecar/create-local-sidecar.ts';

const WARM_UPS = 3;
const RUNS = 15;
const START_LIMIT_MS = 150;
const MEMORY_LIMIT_MIB = 60;
/** V8 tidies its heap up to ten seconds after the start. */
const SETTLE_MS = 12_000;
const QUIET_MS = 10_000;
/** Of one processor, over the quiet time. */
const CPU_LIMIT_PERCENT = 0.1;

/**
 * `npm run bench -- runner`: what the runner adds. From the call of `create` to the first command of the container, on a local sidecar with the runtime `process`, against
 * starting the command itself, measured in turns; then memory and processor time of a runner whose containers are quiet.
 * @returns whether all of it is within its limits
 */
export async function bench(root: string): Promise<boolean> {
  const interlink = join(root, 'dist', 'interlink');
  if (!existsSync(interlink)) throw new Error('dist/interlink does not exist; run npm run build first');
  const started = await measureStart(interlink);
  const quiet = await measureQuiet(interlink);
  return started && quiet;
}

async function measureStart(interlink: string): Promise<boolean> {
  const command = ['date', '+%s%N'] as const;
  const samples = { bare: [] as number[], sidecar: [] as number[] };
  await using sidecar = await createLocalSidecar({
    runtime: { name: 'process' },
    clock: systemClock,
    logger: silentLogger,
    environment: { PATH: process.env.PATH ?? '' },
    version: 'bench',
    command: [interlink],
  });
  for (let run = -WARM_UPS; run < RUNS; run += 1) {
    const bare = nowMs();
    const bareMs = Number(execFileSync(command[0], [command[1]], { encoding: 'utf8' })) / 1e6 - bare;
    const sidecarMs = await startPod(sidecar, command, `bench-${process.pid}-${run + WARM_UPS}`);
    if (run < 0) continue;
    samples.bare.push(bareMs);
    samples.sidecar.push(sidecarMs);
  }
  const [bare, ours] = [median(samples.bare), median(samples.sidecar)];
  const isGood = ours - bare <= START_LIMIT_MS;
  console.log(
    `start          bare ${bare.toFixed(0)} ms   sidecar local ${ours.toFixed(0)} ms (${Math.min(...samples.sidecar).toFixed(0)}–${Math.max(...samples.sidecar).toFixed(0)})   more by ${(ours - bare).toFixed(0)} ms (limit ${START_LIMIT_MS}) ${verdict(isGood)}`,
  );
  return isGood;
}

/** Milliseconds from the call of `create` until the container's command runs, by the command's own clock. */
async function startPod(sidecar: Sidecar, command: readonly string[], uid: string): Promise<number> {
  const bundle = podOf(uid, [{ name: 'c', image: 'any', command: [...command] }]);
  const signal = AbortSignal.timeout(20_000);
  const begun = nowMs();
  await sidecar.create(bundle, { signal });
  for (;;) {
    const [status] = await sidecar.status([bundle.pod], { signal });
    if (status?.sandbox === 'Gone') break;
    await new Promise((resolve) => setTimeout(resolve, 20));
    signal.throwIfAborted();
  }
  const request = { namespace: 'default', name: 'p', uid, container: 'c', options: {} };
  let text = '';
  for await (const chunk of await sidecar.logs(request, { signal })) text += Buffer.from(chunk).toString();
  if (!/^\d{19}$/.test(text.trim()))
    throw new Error(
      `the container did not tell the time: ${JSON.stringify({ text, status: (await sidecar.status([bundle.pod], { signal }))[0] })}`,
    );
  return Number(text) / 1e6 - begun;
}

async function measureQuiet(interlink: string): Promise<boolean> {
  const root = mkdtempSync(join(tmpdir(), 'interlink-bench-'));
  const uid = `quiet-${process.pid}`;
  const containers = ['a', 'b'].map((name) => ({ name, image: 'any', command: ['sleep', '600'] }));
  const spec = { version: 1, runtime: { name: 'process' }, bundle: podOf(uid, containers) };
  writeFileSync(join(root, 'pod.json'), JSON.stringify(spec), { mode: 0o600 });
  const runner = spawn(interlink, ['runner', root], { stdio: 'ignore' });
  try {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const before = processorMs(runner);
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const percent = ((processorMs(runner) - before) / QUIET_MS) * 100;
    const mebibytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${runner.pid}/status`, 'utf8'))?.[1]) / 1024;
    const [isSmall, isQuiet] = [mebibytes < MEMORY_LIMIT_MIB, percent <= CPU_LIMIT_PERCENT];
    console.log(`quiet memory   ${mebibytes.toFixed(1)} MiB (limit ${MEMORY_LIMIT_MIB}) ${verdict(isSmall)}`);
    console.log(
      `quiet CPU      ${percent.toFixed(2)} % over ${QUIET_MS / 1000} s (limit ${CPU_LIMIT_PERCENT}) ${verdict(isQuiet)}`,
    );
    return isSmall && isQuiet;
  } finally {
    runner.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
  }
}

/** User and system time so far; the kernel counts hundredths of a second. */
function processorMs({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function podOf(uid: string, containers: NonNullable<PodBundle['pod']['spec']>['containers']): PodBundle {
  return {
    pod: { metadata: { namespace: 'default', name: 'p', uid }, spec: { restartPolicy: 'Never', containers } },
    configMaps: [],
    secrets: [],
    projectedVolumes: [],
  };
}

function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function verdict(isGood: boolean): string {
  return isGood ? 'ok' : 'TOO MUCH';
}
