import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pod } from '../../src/kube/types.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, kubectlOutcome } from './support/kubectl.ts';
import { podFor, shell, untilPhase } from './support/pod.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

/** Says what it sees whenever that changes: one line `NAME VALUE` for each, with the time of the log. Nothing but what the shell can itself, so that it looks often. */
const WATCH = `
say() { eval "old=\\$seen_$1"; [ "$2" = "$old" ] || { eval "seen_$1=\\$2"; echo "$1 $2"; }; }
see() { IFS= read -r now <$2; say $1 "$now"; }
while :; do
  see map /map/k; see sub /sub; see secret /secret/k; see ready /down/ready; see stage /down/stage
  say keys "$(cd /map && echo *)"
  IFS=. read -r head claims rest </tok/token; say token "$claims"
  sleep .1
done`;

interface Seen {
  readonly atMs: number;
  readonly value: string;
}

function watcher(stack: Stack): Pod {
  const field = (path: string, fieldPath: string) => ({ path, fieldRef: { fieldPath } });
  const volumes = [
    { name: 'map', configMap: { name: 'live' } },
    { name: 'secret', secret: { secretName: 'live', defaultMode: 0o400 } },
    {
      name: 'down',
      downwardAPI: {
        items: [field('ready', "metadata.annotations['tekton.dev/ready']"), field('stage', "metadata.labels['stage']")],
      },
    },
    { name: 'tok', projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 600 } }] } },
  ];
  const volumeMounts = [
    ...volumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
    { name: 'map', mountPath: '/sub', subPath: 'k' },
  ];
  // The files are root's; only the group lets this user read them, so new ones have to belong to it too.
  const securityContext = { runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000 };
  const containers = [shell('c', WATCH, { volumeMounts })];
  return podFor(stack, 'watcher', '', { volumes, containers, securityContext }, { stage: 'one' });
}

/** How fast a change has to be seen: at once over the channel, else at the runner's next look at its directory, which it takes every 3 s. */
const MODES = [
  { mode: 'with the live channel', name: 'live-channel', channel: true, withinMs: 5_000 },
  { mode: 'without it', name: 'live-poll', channel: false, withinMs: 7_000 },
];

describe.each(MODES)('volumes of a running pod, $mode', ({ name, channel, withinMs }) => {
  describeOn(EVERYTHING, 'show what the cluster has', () => {
    let stack: Stack;
    beforeAll(async () => {
      // A node with a kubelet's rights may watch what its pods refer to.
      stack = await startStack({ name, channel, identity: 'node' });
      await apply(
        stack.namespace,
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'live' }, data: { k: 'old', gone: '' } },
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'live' }, stringData: { k: 'old' } },
        watcher(stack),
      );
      await untilPhase(stack, 'watcher', 'Running');
      await seen('token');
    });
    afterAll(() => stack?.[Symbol.asyncDispose]());

    /** Everything that the pod has said under a name. */
    async function said(what: string): Promise<readonly Seen[]> {
      const { code, stdout } = await kubectlOutcome(['-n', stack.namespace, 'logs', 'watcher', '--timestamps']);
      // While the node is being restarted there is nobody to ask.
      if (code !== 0) return [];
      return stdout.split('\n').flatMap((line) => {
        const [time = '', word, ...rest] = line.split(' ');
        return word === what ? [{ atMs: Date.parse(time), value: rest.join(' ').trim() }] : [];
      });
    }

    function seen(what: string, value?: string): Promise<Seen> {
      return until(
        `the pod sees ${what} ${value ?? ''}`,
        async () => (await said(what)).find((one) => value === undefined || one.value === value),
        { withinMs: 30_000, evidence: () => stack.log().slice(-3000) },
      );
    }

    /** Makes a change and tells after which time the pod saw it. */
    async function delay(change: readonly string[], what: string, value: string): Promise<number> {
      await kubectl(['-n', stack.namespace, ...change]);
      const changedMs = Date.now();
      const { atMs } = await seen(what, value);
      console.log(`${name}: ${what} seen after ${atMs - changedMs} ms`);
      return atMs - changedMs;
    }

    test('a ConfigMap: new content, new and removed keys; a subPath keeps what it had', async () => {
      const patch = JSON.stringify({ data: { k: 'new', more: 'key', gone: null } });
      expect(await delay(['patch', 'configmap', 'live', '-p', patch], 'map', 'new')).toBeLessThan(withinMs);
      await seen('keys', 'k more');
      expect((await said('sub')).map(({ value }) => value)).toEqual(['old']);
    });

    test('a Secret', async () => {
      const patch = JSON.stringify({ stringData: { k: 'new' } });
      expect(await delay(['patch', 'secret', 'live', '-p', patch], 'secret', 'new')).toBeLessThan(withinMs);
    });

    test('annotations, as Tekton starts its steps with, and labels', async () => {
      const annotate = ['annotate', 'pod', 'watcher', 'tekton.dev/ready=READY'];
      expect(await delay(annotate, 'ready', 'READY')).toBeLessThan(withinMs);
      const label = ['label', 'pod', 'watcher', 'stage=two', '--overwrite'];
      expect(await delay(label, 'stage', 'two')).toBeLessThan(withinMs);
    });

    test('renewed tokens: a node that was restarted, and knows none, gets one that is bound to the same pod', async () => {
      const claimsOf = ({ value }: Seen) => JSON.parse(Buffer.from(value, 'base64url').toString());
      const [first] = await said('token');
      await stack.vk.kill('SIGKILL');
      await stack.vk.start();
      // Without the change of an annotation the node would take up to a minute for it, so that not all of its pods ask for tokens together.
      let nudges = 0;
      const nudge = () =>
        kubectl(['-n', stack.namespace, 'annotate', 'pod', 'watcher', '--overwrite', `nudge=${nudges++}`]);
      const another = async () => {
        await nudge();
        return (await said('token'))[1];
      };
      const second = await until('another token', another, {
        everyMs: 1_000,
        evidence: () => stack.log().slice(-3000),
      });
      // How long the way itself takes is told by the node's word that it has sent it.
      const sent = stack.vk
        .log()
        .split('\n')
        .filter((line) => line.includes('new contents sent') && line.includes('"tok"'))
        .map((line) => Date.parse((JSON.parse(line) as { time: string }).time));
      console.log(`${name}: token seen ${second.atMs - (sent[0] ?? 0)} ms after it was sent`);
      expect(second.atMs - (sent[0] ?? 0)).toBeLessThan(withinMs);
      const [before, after] = [claimsOf(first as Seen), claimsOf(second)];
      expect(after.exp - after.iat).toBe(600);
      expect(after.iat).toBeGreaterThan(before.iat);
      expect(after['kubernetes.io'].pod).toEqual(before['kubernetes.io'].pod);
    });

    test('no content of a Secret or token is in any log', async () => {
      const [token] = await said('token');
      expect(stack.log()).not.toContain(token?.value);
      expect(stack.log()).not.toContain(Buffer.from('new').toString('base64'));
    });
  });
});
