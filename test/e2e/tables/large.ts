import { readdirSync, readFileSync } from 'node:fs';
import type { Pod } from '../../../src/kube/types.ts';
import { IMAGE } from '../support/environment.ts';
import { shell } from '../support/pod.ts';
import { type PodCase, portsOf } from '../support/pod-table.ts';
import { until } from '../support/until.ts';
import { COMPLETED, FAILED } from './endings.ts';

const CONTAINERS = 12;
const VOLUMES = 10;
const VARIABLES = 40;
const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** In the order of the statuses. */
const NAMES = count(CONTAINERS)
  .map((i) => `c${i}`)
  .sort();

/** A pod of twelve containers that share ten emptyDirs, with forty variables each. */
export const manyOfAll: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'many-of-all' },
  spec: {
    restartPolicy: 'Never',
    volumes: count(VOLUMES).map((i) => ({ name: `v${i}`, emptyDir: {} })),
    containers: count(CONTAINERS).map((i) =>
      shell(
        `c${i}`,
        `echo ${i} >/v${i % VOLUMES}/from-${i}; until [ $(cat /v*/from-* | wc -l) = ${CONTAINERS} ]; do sleep 0.2; done; ` +
          `env | grep -c ^V_; echo "$V_39"; cat /v*/from-* | sort -n | tr '\\n' ' '; exit $((${i} % 2))`,
        {
          image: IMAGE,
          env: count(VARIABLES).map((n) => ({ name: `V_${n}`, value: n === 0 ? 'zero' : `$(V_${n - 1}) ${n}` })),
          volumeMounts: count(VOLUMES).map((n) => ({ name: `v${n}`, mountPath: `/v${n}` })),
        },
      ),
    ),
  },
};

const said = `${VARIABLES}\nzero ${count(VARIABLES).slice(1).join(' ')}\n${count(CONTAINERS).join(' ')} `;

/** Pods that are large, unruly, or both. */
export const large: readonly PodCase[] = [
  {
    pod: 'many-of-all',
    shows: 'twelve containers, ten emptyDirs and forty variables in one pod',
    expected: [
      'Failed',
      FAILED,
      ...NAMES.map((name) => `${name}: ${Number(name.slice(1)) % 2 ? '1 Error' : '0 Completed'}`),
    ],
    logs: { c0: said, c11: said },
  },
  {
    pod: 'leaves-children',
    shows: 'processes that have left their parents are gone with the pod',
    async act(pod) {
      await pod.until('ended', ({ status }) => status?.phase === 'Succeeded');
      const sleeps = `sleep\0${portsOf(pod.stack.site, '18090')}\0`;
      await until('no child is left', () => commandLines().every((line) => !line.includes(sleeps)), {
        withinMs: 10_000,
        evidence: () => commandLines().filter((line) => line.includes(sleeps)),
      });
    },
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    logs: { c: 'left\n' },
  },
  {
    pod: 'zombies',
    shows: 'five hundred zombies harm nobody',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed', 'other: 0 Completed'],
    logs: { other: 'fine\n' },
  },
  {
    pod: 'fills-disk',
    shows: 'a container that fills its disk gets an error, and goes on',
    expected: [
      'Failed',
      FAILED,
      'c: 9 Error "cat: write error: No space left on device\nafter\ncat: write error: No space left on device\n"',
      'other: 0 Completed',
    ],
    logs: { other: 'fine\n' },
  },
];

function commandLines(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        // It has just ended.
        return '';
      }
    });
}
