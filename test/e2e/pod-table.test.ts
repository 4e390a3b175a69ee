import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, createApi } from './support/api.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { type PodWatch, watchPods } from './support/kubectl.ts';
import { createPodTable, type PodCase, readManifest } from './support/pod-table.ts';
import { type Stack, startStack } from './support/stack.ts';
import { SITES, type Site } from './support/stack-config.ts';
import { until } from './support/until.ts';
import { large, manyOfAll } from './tables/large.ts';
import { lifecycle } from './tables/lifecycle.ts';
import { probes } from './tables/probes.ts';
import { results } from './tables/results.ts';
import { shapes } from './tables/shapes.ts';
import { surroundings } from './tables/surroundings.ts';

const TABLES: Readonly<Record<string, readonly PodCase[]>> = {
  lifecycle,
  probes,
  results,
  surroundings,
  shapes,
  large,
};
/** Pods of one site that live at once; the machine has to run them all. */
const AT_ONCE = 8;

type Result = Awaited<ReturnType<ReturnType<typeof createPodTable>['result']>>;
const only = process.env.INTERLINK_E2E_PODS?.split(',');

/** The pods of the tables, each compared with what a kubelet makes of it, on both sites side by side. */
describeOn(EVERYTHING, 'pods behave as on a kubelet', () => {
  const stacks: Stack[] = [];
  const kept: (Api | PodWatch)[] = [];
  const outcomes = new Map<string, Promise<Result>>();

  beforeAll(async () => {
    for (const site of SITES)
      stacks.push(await startStack({ name: site === 'slurm' ? 'table' : `table-${site}`, site, identity: 'node' }));
    for (const stack of stacks) {
      const [api, watch] = [createApi(), watchPods(stack.namespace)];
      kept.push(api, watch);
      const path = `/api/v1/namespaces/${stack.namespace}/serviceaccounts/default`;
      await until('the service account', async () => (await api.call('GET', path)).status === 200);
      const table = createPodTable(stack, api, watch);
      const objects = [...Object.keys(TABLES).flatMap(readManifest), manyOfAll];
      await table.create(objects.filter(({ kind }) => kind !== 'Pod'));
      const rows = rowsOf(stack.site);
      // Long ones first, so that the whole does not wait for one that began last.
      const order = [...rows].sort((a, b) => Number(b.pod === 'time-limit') - Number(a.pod === 'time-limit'));
      const next = order[Symbol.iterator]();
      const settle = new Map(rows.map((row) => [row.pod, Promise.withResolvers<Result>()]));
      for (const [pod, { promise }] of settle) {
        promise.catch(() => {});
        outcomes.set(`${stack.site} ${pod}`, promise);
      }
      for (let i = 0; i < AT_ONCE; i++)
        void (async () => {
          for (const row of next) {
            const { resolve, reject } = settle.get(row.pod) ?? Promise.withResolvers<Result>();
            await table
              .create(objects.filter(({ kind, metadata }) => kind === 'Pod' && metadata?.name === row.pod))
              .then(() => table.result(row))
              .then(resolve, reject);
            await table.remove(row.pod).catch(reject);
          }
        })();
    }
  });
  afterAll(async () => {
    for (const each of kept) each[Symbol.dispose]();
    await Promise.all(stacks.map((stack) => stack[Symbol.asyncDispose]()));
  });

  for (const site of SITES)
    describe(site, () => {
      for (const [name, rows] of Object.entries(TABLES))
        for (const row of rows.filter((each) => rowsOf(site).includes(each)))
          test(`${name}, ${row.pod}: ${row.shows}`, async () => {
            const seen = await outcomes.get(`${site} ${row.pod}`);
            const told = JSON.stringify(seen, null, 1);
            const matcher = (text: string | RegExp) => (typeof text === 'string' ? text : expect.stringMatching(text));
            expect(seen?.expected, told).toEqual(row.expected.map(matcher));
            if (row.heard !== undefined) expect(seen?.heard, told).toEqual(matcher(row.heard));
            for (const [container, text] of Object.entries(row.logs ?? {}))
              expect({ container, text: seen?.logs?.[container] }, told).toEqual({ container, text: matcher(text) });
          });
    });
});

function rowsOf(site: Site): readonly PodCase[] {
  return Object.values(TABLES)
    .flat()
    .filter(({ pod, sites = SITES }) => sites.includes(site) && (only === undefined || only.includes(pod)));
}
