import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { localCommandRunner } from '../../src/base/command.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { Pod } from '../../src/kube/types.ts';
import { sidecarConfig } from '../../src/sidecar/config.ts';
import { openSidecar } from '../../src/sidecar/open-sidecar.ts';

const JOBS = 100;
const ROUNDS = 3;
/** Of the rate of a bare loop. */
const LEAST_RATIO = 0.8;

/**
 * `npm run bench -- submit`: jobs per second through the sidecar, journal and job directories included, against a loop of bare `sbatch` on the same Slurm, in turns. All jobs
 * are held, so that none runs, and are cancelled afterwards.
 * @returns whether the sidecar reaches its part of the bare rate
 */
export async function bench(root: string): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'interlink-bench-'));
  const environment = Object.fromEntries(
    ['PATH', 'HOME', 'USER', 'SLURM_CONF'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const run = async (argv: readonly [string, ...string[]]): Promise<string> => {
    const { exitCode, stdout, stderr } = await localCommandRunner.run(argv, { env: environment, timeoutMs: 120_000 });
    if (exitCode !== 0) throw new Error(`${argv[0]}: ${stderr}`);
    return stdout;
  };
  const script = join(directory, 'bare.sh');
  writeFileSync(script, '#!/bin/sh\ntrue\n');
  const ids: string[] = [];
  const ratios: number[] = [];
  try {
    await using sidecar = await openSidecar({
      kind: 'slurm',
      config: sidecarConfig.parse({ stateDirectory: join(directory, 'state'), slurm: { options: '--hold' } }),
      clock: systemClock,
      logger: silentLogger,
      commands: localCommandRunner,
      environment,
      version: 'bench',
      command: [join(root, 'dist', 'interlink')],
    });
    const bare = async (): Promise<void> => {
      const loop = `i=0; while [ $i -lt ${JOBS} ]; do sbatch --parsable --hold --output=/dev/null "$0"; i=$((i+1)); done`;
      ids.push(...(await run(['sh', '-c', loop, script])).split('\n').filter((id) => id !== ''));
    };
    const ours = async (): Promise<void> => {
      const signal = AbortSignal.timeout(300_000);
      const bundles = Array.from({ length: JOBS }, () => ({
        pod: heldPod(),
        configMaps: [],
        secrets: [],
        projectedVolumes: [],
      }));
      const results = await Promise.all(bundles.map((bundle) => sidecar.engine.create(bundle, { signal })));
      ids.push(...results.map(({ jobId }) => jobId));
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      const [bareMs, oursMs] = [await timed(bare), await timed(ours)];
      ratios.push(bareMs / oursMs);
      console.log(
        `submit         bare sbatch ${rate(bareMs)}   sidecar ${rate(oursMs)}   ratio ${(bareMs / oursMs).toFixed(2)}`,
      );
    }
  } finally {
    if (ids.length > 0) await run(['scancel', ...ids]);
    rmSync(directory, { recursive: true, force: true });
  }
  const ratio = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 0;
  const isGood = ratio >= LEAST_RATIO;
  console.log(
    `submit         median ratio ${ratio.toFixed(2)} (at least ${LEAST_RATIO}) ${isGood ? 'good' : 'TOO SLOW'}`,
  );
  return isGood;
}

function heldPod(): Pod {
  const uid = randomUUID();
  return {
    metadata: { name: `bench-${uid.slice(0, 8)}`, namespace: 'default', uid },
    spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i', command: ['true'] }] },
  };
}

async function timed(action: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

function rate(ms: number): string {
  return `${((JOBS * 1000) / ms).toFixed(0)}/s`;
}
