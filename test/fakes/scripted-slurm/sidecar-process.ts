/**
 * A sidecar on a scripted Slurm as a process of its own, to be killed: `node sidecar-process.ts DIRECTORY PODS [FAILPOINT NTH]`. It creates every pod of the
 * JSON file PODS as a node would, waits for their ends and prints `done`. At the NTH passing of FAILPOINT it kills itself.
 */
import { readFileSync } from 'node:fs';
import type { Pod } from '../../../src/kube/types.ts';
import { createPatiently, isGone, ScriptedSlurm, untilStatus } from './scripted-slurm.ts';

const [directory = '', file = '', failpoint = '', nth = '1'] = process.argv.slice(2);
const pods = JSON.parse(readFileSync(file, 'utf8')) as Pod[];
let passed = 0;
const slurm = ScriptedSlurm.at(directory);
const sidecar = await slurm.open({
  failpoint(name) {
    if (name !== failpoint) return;
    passed += 1;
    if (passed === Number(nth)) process.kill(process.pid, 'SIGKILL');
  },
});
await Promise.all(
  pods.map(async (pod) => {
    await createPatiently(sidecar.engine, pod, 60_000);
    await untilStatus(sidecar.engine, pod, isGone, 60_000);
  }),
);
await sidecar[Symbol.asyncDispose]();
console.log('done');
