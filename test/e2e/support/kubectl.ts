import { type ChildProcess, spawn } from 'node:child_process';
import type { Pod } from '../../../src/kube/types.ts';
import { type CommandOutcome, outcomeOf, outputOf } from './command.ts';
import { environment } from './environment.ts';

const env = { ...process.env, KUBECONFIG: environment.kubeconfig };

/** kubectl as the cluster's administrator. */
export function kubectlOutcome(args: readonly string[], stdin?: string): Promise<CommandOutcome> {
  return outcomeOf([environment.kubectl, ...args], {
    env,
    timeoutMs: 120_000,
    ...(stdin === undefined ? {} : { stdin }),
  });
}

export function kubectl(args: readonly string[], stdin?: string): Promise<string> {
  return outputOf([environment.kubectl, ...args], {
    env,
    timeoutMs: 120_000,
    ...(stdin === undefined ? {} : { stdin }),
  });
}

export async function kubectlJson<T>(args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl([...args, '-o', 'json'])) as T;
}

export function apply(namespace: string, ...objects: readonly object[]): Promise<string> {
  return kubectl(
    ['-n', namespace, 'apply', '-f', '-'],
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  );
}

/** The pods of a namespace, the ones with the label when one is given. */
export async function podsOf(namespace: string, selector?: string): Promise<readonly Pod[]> {
  const list = await kubectlJson<{ items: Pod[] }>([
    '-n',
    namespace,
    'get',
    'pods',
    ...(selector === undefined ? [] : ['-l', selector]),
  ]);
  return list.items;
}

/** The pod, or undefined when there is none of that name. */
export async function podOf(namespace: string, name: string): Promise<Pod | undefined> {
  const text = await kubectl(['-n', namespace, 'get', 'pod', name, '--ignore-not-found', '-o', 'json']);
  return text.trim() === '' ? undefined : (JSON.parse(text) as Pod);
}

/** One change that a watch of the pods showed. */
export interface SeenPod {
  /** `performance.now()` when the line came. */
  readonly atMs: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly pod: Pod;
}

/** Every state that the API server shows of the pods of a namespace, from before the first change to `stop`. */
export interface PodWatch extends Disposable {
  readonly seen: readonly SeenPod[];
}

/** Starts watching the pods of a namespace; resolves at once, so give it a moment before the first change. */
export function watchPods(namespace: string): PodWatch {
  const seen: SeenPod[] = [];
  const path = `/api/v1/namespaces/${namespace}/pods?watch=true&allowWatchBookmarks=true`;
  let version: string | undefined;
  let child: ChildProcess;
  const start = (): void => {
    let rest = '';
    // A client that a busy machine has cut off goes on where it was; a fresh `kubectl get -w` would skip what happened meanwhile.
    const from = version === undefined ? '' : `&resourceVersion=${version}`;
    child = spawn(environment.kubectl, ['get', '--raw', `${path}${from}`], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const atMs = performance.now();
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') continue;
        const event = JSON.parse(line) as { type: SeenPod['type'] | 'BOOKMARK' | 'ERROR'; object: Pod };
        version = event.type === 'ERROR' ? undefined : event.object.metadata?.resourceVersion;
        if (event.type !== 'ERROR' && event.type !== 'BOOKMARK')
          seen.push({ atMs, type: event.type, pod: event.object });
      }
    });
    child.once('exit', (_, signal) => {
      if (signal === null) start();
    });
  };
  start();
  return { seen, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}
