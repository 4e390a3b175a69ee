import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container, PodSpec } from '../../src/kube/types.ts';
import { checkRegistryContract } from '../fakes/registry-contract.ts';
import { outcomeOf } from './support/command.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, podOf, podsOf } from './support/kubectl.ts';
import { podFor, shell, stateOf, untilPhase } from './support/pod.ts';
import { openRegistry, type Registry } from './support/registry.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

/** One image is a little over 1 MiB, so there is room for three. */
const CACHE_BYTES = '3500Ki';

describeOn([...EVERYTHING, 'registry'], 'images of a real registry', () => {
  let stack: Stack;
  let registry: Registry;
  /** Repositories of this run: what an earlier one has left in the log does not count. */
  const run = `private/r${Date.now().toString(36)}`;
  beforeAll(async () => {
    registry = openRegistry();
    const runtime = { name: 'apptainer', imageCacheBytes: CACHE_BYTES, imageAllow: ['localhost:*/**'] };
    stack = await startStack({ name: 'images', sidecar: { runtime } });
    await apply(stack.namespace, registry.secret('login'), registry.secret('wrong', 'no-such-password'));
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  /** A pod that prints the mark of its image. */
  const podOfImage = (name: string, image: string, spec: Partial<PodSpec> = {}, more: Partial<Container> = {}) =>
    podFor(stack, name, '', {
      imagePullSecrets: [{ name: 'login' }],
      containers: [shell('c', 'echo "$MARK"', { image, ...more })],
      ...spec,
    });
  const logOf = async (name: string): Promise<string> => (await kubectl(['-n', stack.namespace, 'logs', name])).trim();
  const eventsOf = (name: string): Promise<string> =>
    kubectl([
      ...['-n', stack.namespace, 'get', 'events', '--field-selector', `involvedObject.name=${name}`],
      ...['-o', 'jsonpath={range .items[*]}{.reason} {.message}{"\\n"}{end}'],
    ]);
  const imageIdOf = async (name: string): Promise<string | undefined> =>
    (await podOf(stack.namespace, name))?.status?.containerStatuses?.[0]?.imageID;
  const untilWaiting = (name: string, reason: RegExp) =>
    until(
      `${name} waits`,
      async () => {
        const pod = await podOf(stack.namespace, name);
        const waiting = (pod ? stateOf(pod, 'c').waiting : undefined) as { reason?: string; message?: string };
        return reason.test(waiting?.reason ?? '') && waiting;
      },
      { evidence: () => podOf(stack.namespace, name) },
    );
  const remove = (name: string) =>
    kubectl(['-n', stack.namespace, 'delete', 'pod', name, '--grace-period=0', '--wait', '--timeout=60s']);

  test('have digests of which the registry tells as the one of the unit tests does', async () => {
    const { host, user, password } = registry;
    const repository = `${run}/told`;
    const digest = await registry.push(repository, '1', 'told');
    await checkRegistryContract({ host, repository, tag: '1', digest, user, password });
  });

  test('are pulled with the login of the pod, shown by their digest, and the login is nowhere afterwards', async () => {
    const digest = await registry.push(`${run}/a`, '1', 'first');
    const image = `${registry.host}/${run}/a:1`;
    await apply(stack.namespace, podOfImage('private', image));
    await untilPhase(stack, 'private', 'Succeeded');
    expect(await logOf('private')).toBe('first');
    expect(await imageIdOf('private')).toBe(`${registry.host}/${run}/a@${digest}`);
    const events = await until('both events', async () => {
      const text = await eventsOf('private');
      return text.includes('Pulled') && text;
    });
    expect(events).toContain(`Pulling Pulling image "${image}"`);
    expect(events).toMatch(
      /Pulled Successfully pulled image ".*" in [\d.]+m?s \([\d.]+m?s including waiting\)\. Image size: \d{7} bytes\./,
    );
    const login = Buffer.from(`${registry.user}:${registry.password}`).toString('base64');
    const secret = Buffer.from(registry.secret('login').stringData?.['.dockerconfigjson'] ?? '').toString('base64');
    for (const text of [registry.password, login, secret]) {
      expect(stack.log()).not.toContain(text);
      // The journal and the job directory keep it for as long as the job may have to be submitted again.
      await until('it is in no file', async () => {
        const found = await outcomeOf(['grep', '-rlF', '--', text, stack.directory, '/dev/shm']);
        return found.stdout === '';
      });
    }
  });

  test('are refused without a good login, also when they are here', async () => {
    const image = `${registry.host}/${run}/a:1`;
    await apply(
      stack.namespace,
      podOfImage('no-login', image, { imagePullSecrets: [{ name: 'missing' }] }),
      podOfImage('wrong-login', image, { imagePullSecrets: [{ name: 'wrong' }] }),
    );
    for (const name of ['no-login', 'wrong-login']) {
      const { message } = await untilWaiting(name, /^(ErrImagePull|ImagePullBackOff)$/);
      expect(message).toContain('pull access denied');
    }
    expect(await eventsOf('no-login')).toContain(
      'FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed.',
    );
    await untilWaiting('no-login', /^ImagePullBackOff$/);
    expect(await eventsOf('no-login')).toContain(`BackOff Back-off pulling image "${image}"`);
    await remove('wrong-login');
    // The Secret that the pod waits for, in a way.
    await apply(stack.namespace, registry.secret('missing'));
    await untilPhase(stack, 'no-login', 'Succeeded', 90_000);
    expect(await logOf('no-login')).toBe('first');
  });

  test('of another content under the same tag are used by Always, and the old one by its digest', async () => {
    const name = `${registry.host}/${run}/b`;
    const old = await registry.push(`${run}/b`, '1', 'old');
    const always = { imagePullPolicy: 'Always' };
    await apply(stack.namespace, podOfImage('before', `${name}:1`, {}, always));
    await untilPhase(stack, 'before', 'Succeeded');
    await registry.push(`${run}/b`, '1', 'new');
    await apply(
      stack.namespace,
      podOfImage('pinned', `${name}@${old}`, {}, always),
      podOfImage('not-asked', `${name}:1`),
    );
    await Promise.all(['pinned', 'not-asked'].map((pod) => untilPhase(stack, pod, 'Succeeded')));
    await apply(stack.namespace, podOfImage('after', `${name}:1`, {}, always));
    await untilPhase(stack, 'after', 'Succeeded');
    const marks = await Promise.all(['before', 'pinned', 'not-asked', 'after'].map(logOf));
    expect(marks).toEqual(['old', 'old', 'old', 'new']);
  });

  test('that the site does not allow are refused with the rule', async () => {
    await apply(stack.namespace, podOfImage('forbidden', 'quay.io/a/b:1'));
    const pod = await untilPhase(stack, 'forbidden', 'Failed');
    expect(pod.status?.message).toContain(
      'spec.containers[0].image: image "quay.io/a/b:1" (quay.io/a/b) is not allowed at this site; allowed are localhost:*/** (sidecar.runtime.imageAllow)',
    );
  });

  test('are downloaded once by twenty pods at the same time', async () => {
    await registry.push(`${run}/many`, '1', 'many');
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    const image = `${registry.host}/${run}/many:1`;
    await apply(stack.namespace, ...names.map((name) => podOfImage(name, image, {}, { imagePullPolicy: 'Always' })));
    await until(
      'all have run',
      async () => {
        const pods = (await podsOf(stack.namespace)).filter(({ metadata }) => metadata?.name?.startsWith('many-'));
        return pods.filter(({ status }) => status?.phase === 'Succeeded').length === 20;
      },
      { withinMs: 120_000, everyMs: 1_000 },
    );
    const downloads = [...registry.downloads(`${run}/many`).values()];
    // The configuration and the layer.
    expect(downloads).toEqual([1, 1]);
  });

  test('stay within the size of the cache, and none is removed that a pod uses', async () => {
    await registry.push(`${run}/kept`, '1', 'kept');
    const kept = `${registry.host}/${run}/kept:1`;
    const wait = 'until [ -e /tmp/go ]; do sleep 0.2; done; cat /bin/busybox >/dev/null && echo "$MARK"';
    await apply(
      stack.namespace,
      podOfImage('kept', kept, { containers: [shell('c', `trap 'touch /tmp/go' TERM; ${wait}`, { image: kept })] }),
    );
    await untilPhase(stack, 'kept', 'Running');
    for (const tag of ['1', '2', '3', '4']) {
      await registry.push(`${run}/c`, tag, `c${tag}`);
      await apply(stack.namespace, podOfImage(`c-${tag}`, `${registry.host}/${run}/c:${tag}`));
      await untilPhase(stack, `c-${tag}`, 'Succeeded');
    }
    const cache = join(stack.directory, 'site/sidecar/images');
    const images = readdirSync(cache).filter((name) => name.endsWith('.sif'));
    expect(images.length).toBeLessThanOrEqual(3);
    const digest = (await imageIdOf('kept'))?.split('@sha256:')[1];
    expect(images.some((name) => name.includes(digest ?? 'none'))).toBe(true);
    expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
    await kubectl(['-n', stack.namespace, 'delete', 'pod', 'kept', '--wait', '--timeout=60s']);
  });
});
