import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseManifest } from '../../../src/kube/manifest.ts';
import type { Pod } from '../../../src/kube/types.ts';
import type { Api } from './api.ts';
import { environment } from './environment.ts';
import type { PodWatch } from './kubectl.ts';
import { outlineOf } from './outline-of.ts';
import type { Stack } from './stack.ts';
import type { Site } from './stack-config.ts';
import { until } from './until.ts';

/** One pod of a manifest, and what a kubelet makes of it. */
export interface PodCase {
  /** Its name in the manifest. */
  readonly pod: string;
  /** What it shows, as the end of a test's title. */
  readonly shows: string;
  /** Where it can be shown; everywhere unless given. */
  readonly sites?: readonly Site[];
  /** What happens to the pod while it lives; what it returns is compared with `heard`. */
  readonly act?: (pod: LivePod) => Promise<unknown>;
  /** When to look; once the pod has succeeded, failed or gone unless given. */
  readonly until?: (pod: Pod) => boolean;
  /** The last status, as `outlineOf` writes it. */
  readonly expected: readonly (string | RegExp)[];
  /** Logs at that moment, by `CONTAINER` or `CONTAINER --previous`. */
  readonly logs?: Readonly<Record<string, string | RegExp>>;
  /** What `act` has returned. */
  readonly heard?: string | RegExp;
  /** Events that are there: `REASON[ CONTAINER]: MESSAGE`. */
  readonly events?: readonly (string | RegExp)[];
}

/** A pod of the table as its case acts on it. */
export interface LivePod {
  readonly stack: Stack;
  readonly name: string;
  /** Every status that the API server has shown. */
  seen(): readonly Pod[];
  /** Waits until the newest status fits. */
  until(what: string, fits: (pod: Pod) => boolean, withinMs?: number): Promise<Pod>;
  /** Waits until the text is in the log of the container. */
  untilLog(container: string, text: string): Promise<void>;
  /** The log until its end. */
  follow(container: string): Promise<string>;
  log(container: string, previous?: boolean): Promise<string>;
  /** Deletes the pod and waits until its object is gone. */
  delete(graceSeconds?: number): Promise<void>;
  patch(body: object, subresource?: string): Promise<void>;
}

/**
 * Pods of one machine share its ports. The manifests use 18000 to 18099, and what runs on the second site at the same time has others in their place.
 */
export function portsOf(site: Site, text: string): string {
  return site === 'local' ? text.replace(/\b180(\d\d)\b/g, '190$1') : text;
}

/** Time for a pod to get where its case wants it, on a busy machine. */
export const CASE_MS = 120_000;

/** The objects of `test/e2e/tables/NAME.yaml`, as they are. */
export function readManifest(name: string): readonly Pod[] {
  const file = join(environment.root, 'test/e2e/tables', `${name}.yaml`);
  return parseManifest(readFileSync(file, 'utf8'), file).map(({ object }) => object as Pod);
}

/** One stack's pods of the tables, over one watch. */
export function createPodTable(stack: Stack, api: Api, watch: PodWatch) {
  const base = `/api/v1/namespaces/${stack.namespace}`;
  const call = async (method: string, path: string, body?: object, type?: string): Promise<string> => {
    const { status, text } = await api.call(method, `${base}/${path}`, body, type);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text;
  };
  const live = (name: string): LivePod => {
    const seen = (): Pod[] => watch.seen.map(({ pod }) => pod).filter((pod) => pod.metadata?.name === name);
    const isGone = (): boolean => watch.seen.some(({ type, pod }) => type === 'DELETED' && pod.metadata?.name === name);
    const log = (container: string, previous = false): Promise<string> =>
      call('GET', `pods/${name}/log?container=${container}${previous ? '&previous=true' : ''}`);
    const untilSeen = (what: string, fits: (pod: Pod) => boolean, withinMs = CASE_MS): Promise<Pod> =>
      until(
        `pod ${name}: ${what}`,
        () => {
          const last = seen().at(-1);
          return last !== undefined && fits(last) && last;
        },
        { withinMs, everyMs: 50, evidence: () => seen().at(-1)?.status },
      );
    return {
      stack,
      name,
      seen,
      until: untilSeen,
      log,
      async untilLog(container, text) {
        await until(
          `pod ${name}: ${JSON.stringify(text)} in the log of ${container}`,
          async () => {
            const answer = await api.call('GET', `${base}/pods/${name}/log?container=${container}`);
            return answer.status === 200 && answer.text.includes(text);
          },
          { withinMs: CASE_MS, everyMs: 300, evidence: () => seen().at(-1)?.status },
        );
      },
      follow: (container) => call('GET', `pods/${name}/log?container=${container}&follow=true`),
      async delete(graceSeconds) {
        const options = graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds };
        await call('DELETE', `pods/${name}`, { kind: 'DeleteOptions', apiVersion: 'v1', ...options });
        await untilSeen('gone', isGone);
      },
      async patch(body, subresource) {
        const path = `pods/${name}${subresource === undefined ? '' : `/${subresource}`}`;
        await call('PATCH', path, body, 'application/strategic-merge-patch+json');
      },
    };
  };
  return {
    /** Creates the objects in the stack's namespace; pods go to its node. */
    async create(objects: readonly object[]): Promise<void> {
      const own = JSON.parse(portsOf(stack.site, JSON.stringify(objects)));
      for (const object of own as readonly { kind: string; metadata: object; spec?: object }[]) {
        const plural = `${object.kind.toLowerCase()}s`;
        const place = {
          nodeSelector: { 'kubernetes.io/hostname': stack.nodeName },
          tolerations: [{ operator: 'Exists' }],
        };
        const spec = object.kind === 'Pod' ? { spec: { ...object.spec, ...place } } : {};
        await call('POST', plural, { ...object, ...spec });
      }
    },
    /** Takes away what is left of a pod, so that it is in nobody's way. */
    async remove(name: string): Promise<void> {
      await api.call('DELETE', `${base}/pods/${name}?gracePeriodSeconds=1`);
    },
    /** Lets the pod of a case, which has been created, come to its end and tells what was seen, in the form of the case. */
    async result(row: PodCase) {
      const pod = live(row.pod);
      const heard = await row.act?.(pod);
      const isOver = ({ metadata, status }: Pod): boolean =>
        status?.phase === 'Succeeded' || status?.phase === 'Failed' || metadata?.deletionTimestamp !== undefined;
      const last = await pod.until('as the case wants it', row.until ?? isOver);
      const logs: Record<string, string> = {};
      for (const key of Object.keys(row.logs ?? {})) {
        const [container = '', previous] = key.split(' ');
        logs[key] = (await pod.log(container, previous !== undefined)).replace(/\b190(\d\d)\b/g, '180$1');
      }
      return {
        expected: outlineOf(last),
        ...(row.heard !== undefined && { heard: String(heard) }),
        ...(row.logs && { logs }),
        ...(row.events && { events: await eventsOf(last, row.events) }),
      };
    },
  };

  /** What has been told of the pod, as soon as all that is wanted is there; events come after the status that they explain. */
  async function eventsOf({ metadata }: Pod, wanted: readonly (string | RegExp)[]): Promise<readonly string[]> {
    const path = `events?fieldSelector=involvedObject.uid=${metadata?.uid}`;
    let told: readonly string[] = [];
    const isThere = (text: string | RegExp): boolean =>
      told.some((event) => (typeof text === 'string' ? event === text : text.test(event)));
    const ask = async (): Promise<boolean> => {
      const { items } = JSON.parse(await call('GET', path)) as { items: TableEvent[] };
      told = items.map(({ reason, message, involvedObject }) => {
        const container = /\{(.*)\}/.exec(involvedObject.fieldPath ?? '')?.[1];
        const text = message.replaceAll(stack.namespace, 'NAMESPACE').replaceAll(metadata?.uid ?? '-', 'UID');
        return `${reason}${container === undefined ? '' : ` ${container}`}: ${text}`;
      });
      return wanted.every(isThere);
    };
    await until('the events', ask, { withinMs: 15_000, evidence: () => ({ wanted: wanted.map(String), told }) });
    return told;
  }
}

interface TableEvent {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly fieldPath?: string };
}
