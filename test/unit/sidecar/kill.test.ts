import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ScriptedSlurm, shellPod } from '../../fakes/scripted-slurm/scripted-slurm.ts';

const PROGRAM = fileURLToPath(new URL('../../fakes/scripted-slurm/sidecar-process.ts', import.meta.url));
const PODS = 12;
/** More by INTERLINK_KILLS, for a long run by hand. */
const KILLS = Number(process.env.INTERLINK_KILLS ?? 5);

/** Runs the sidecar once; kills it after `killAfterMs` unless it ends before. Tells whether it came to its end. */
function run(args: readonly string[], killAfterMs?: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (chunk) => {
      output += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      errors += String(chunk);
    });
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    child.once('close', (code) => {
      clearTimeout(timer);
      if (code !== null && code !== 0) reject(new Error(errors));
      else resolve(output.includes('done'));
    });
  });
}

async function expectOnce(slurm: ScriptedSlurm, uids: readonly string[]): Promise<void> {
  for (const uid of uids) {
    expect(await slurm.jobsOf(uid), `jobs of ${uid}`).toHaveLength(1);
    expect(await slurm.runsOf(uid), `runs of ${uid}`).toBe(1);
  }
}

test('a sidecar that is killed at any moment loses no pod and submits none twice', async () => {
  await using slurm = await ScriptedSlurm.create();
  const pods = Array.from({ length: PODS }, () => shellPod('sleep 0.2'));
  const file = join(slurm.directory, 'pods.json');
  await writeFile(file, JSON.stringify(pods));
  for (let kill = 0; kill < KILLS; kill += 1) {
    // From before the journal is open to after the last submission.
    const isDone = await run([slurm.directory, file], 150 + Math.random() * 500);
    if (isDone) break;
  }
  expect(await run([slurm.directory, file])).toBe(true);
  await expectOnce(
    slurm,
    pods.map(({ metadata }) => metadata?.uid ?? ''),
  );
}, 120_000);

test('a sidecar that kills itself at each step in turn loses no pod and submits none twice', async () => {
  await using slurm = await ScriptedSlurm.create();
  const pods = Array.from({ length: PODS }, () => shellPod('true'));
  const file = join(slurm.directory, 'pods.json');
  await writeFile(file, JSON.stringify(pods));
  for (const point of ['directory-written', 'accepted', 'intent-written', 'command-done', 'id-written'])
    await run([slurm.directory, file, point, '2']);
  expect(await run([slurm.directory, file])).toBe(true);
  await expectOnce(
    slurm,
    pods.map(({ metadata }) => metadata?.uid ?? ''),
  );
}, 120_000);
