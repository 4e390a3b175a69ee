import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { serveSidecar } from '../../../src/contract/serve-sidecar.ts';
import { createHttpClient, type HttpClient } from '../../../src/http/http-client.ts';
import { createHttpServer } from '../../../src/http/http-server.ts';
import { createPod } from '../../fakes/bundle.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';
import { running, temporaryDirectory } from '../../fakes/running.ts';

let resources: AsyncDisposableStack;
let memory: MemorySidecar;
let logger: RecordingLogger;
let client: HttpClient;
const signal = new AbortController().signal;

async function start(hop: 'api' | 'plugin' = 'plugin'): Promise<void> {
  const { path } = resources.use(await temporaryDirectory());
  const options = {
    name: 'sidecar',
    address: { kind: 'unix', path: join(path, 's') } as const,
    handler: serveSidecar(memory, { logger }, { hop }),
    drainMs: 200,
  };
  const server = resources.use(await running(createHttpServer(options, { logger, clock: systemClock })));
  client = resources.use(createHttpClient({ address: server.address }));
}

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  memory = new MemorySidecar();
  logger = new RecordingLogger();
  await start();
});
afterEach(() => resources.disposeAsync());

/** As an existing caller would: no `Accept`. */
async function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const answer = await client.request({ method, path, headers, ...(body === undefined ? {} : { body }), signal });
  return { status: answer.status, type: answer.headers['content-type'], text: String(await answer.bytes(1e6)) };
}

const pod = createPod();
const uid = pod.metadata?.uid ?? '';
const create = JSON.stringify({ pod, container: [] });

describe('a served sidecar', () => {
  it('takes every method that callers use', async () => {
    for (const method of ['POST', 'PUT']) expect((await ask(method, '/create', create)).status).toBe(200);
    for (const method of ['GET', 'POST'])
      expect((await ask(method, '/status', JSON.stringify([pod]))).status).toBe(200);
    for (const method of ['POST', 'DELETE'])
      expect((await ask(method, '/delete', JSON.stringify(pod))).status).toBe(200);
    for (const method of ['GET', 'POST']) expect((await ask(method, '/pinglink')).status).toBe(200);
  });

  it('answers a create with the object of the contract, and everything with 200', async () => {
    const answer = await ask('POST', '/create', create);
    expect(answer).toEqual({ status: 200, type: 'application/json', text: `{"PodUID":"${uid}","PodJID":"1"}` });
    expect(await ask('POST', '/delete', JSON.stringify(pod))).toMatchObject({ status: 200, type: 'application/json' });
  });

  it.each([['[]'], ['null'], [undefined]])('takes a status request of %s for a ping', async (body) => {
    expect(JSON.parse((await ask('GET', '/status', body)).text)).toEqual(memory.pingResult);
  });

  it('tells nobody of all pods when a node asks for none', async () => {
    await start('api');
    await ask('POST', '/create', create);
    expect((await ask('GET', '/status', '[]')).text).toBe('[]');
  });

  it('leaves unknown pods out of a status', async () => {
    expect((await ask('GET', '/status', JSON.stringify([createPod()]))).text).toBe('[]');
  });

  it.each([
    ['/create', '{', 400, /^create request: not valid JSON/],
    ['/create', '', 400, /^create request: empty/],
    ['/create', '<html>', 400, /not valid JSON/],
    ['/create', '{"pod":{}}', 400, /^create request\.pod\.metadata/],
    ['/delete', 'null', 400, /^delete request/],
    ['/delete', '{"metadata":{"name":"p","uid":"../x"}}', 400, /uid/],
    ['/status', '{}', 400, /expected a list of pods/],
    ['/status', '[{}]', 400, /^status request\[0\]\.metadata/],
    ['/getLogs', 'nonsense', 400, /^invalid request body$/],
    ['/getLogs', '[]', 400, /^invalid request body$/],
    ['/nothing', '', 404, /there is no/],
    ['/Create', '', 404, /there is no/],
  ])('answers %s with the body %j by one sentence', async (path, body, status, text) => {
    const answer = await ask('POST', path, body);
    expect(answer).toMatchObject({ status, type: 'text/plain; charset=utf-8' });
    expect(answer.text).toMatch(text);
    expect(answer.text).not.toContain('\n');
  });

  it('gives errors as JSON to callers that accept it', async () => {
    memory.fail('ping', new InterlinkError('Unavailable', 'slurmctld is away', { code: 'slurm.away' }));
    const answer = await ask('POST', '/pinglink', undefined, { accept: 'application/json' });
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toEqual({
      error: { kind: 'Unavailable', code: 'slurm.away', message: 'slurmctld is away' },
    });
  });

  it.each(['/exec', '/attach', '/portForward', '/volumes', '/stats'])(
    'answers %s with 501 and a sentence',
    async (path) => {
      memory = new MemorySidecar({ capabilities: [] });
      await start();
      const answer = await ask('POST', path);
      expect(answer.status).toBe(501);
      expect(answer.text).toBe(`memory does not offer ${path.slice(1)}; see GET /capabilities`);
    },
  );

  it('answers a watch that is not declared with 501', async () => {
    memory = new MemorySidecar({ capabilities: [] });
    await start();
    expect(await ask('GET', '/watch')).toMatchObject({ status: 501 });
  });

  it('answers a watch that cannot begin by its error', async () => {
    memory.fail('watch', new InterlinkError('Unavailable', 'not yet'));
    expect(await ask('GET', '/watch')).toMatchObject({ status: 503, text: 'not yet' });
  });

  it('stops the source of a watch when the reader goes', async () => {
    const stopped = Promise.withResolvers<void>();
    const real = memory.watch.bind(memory);
    memory.watch = async function* (options) {
      try {
        yield* real(options);
      } finally {
        stopped.resolve();
      }
    };
    const answer = await client.request({ method: 'GET', path: '/watch', signal, stream: true });
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    for await (const chunk of answer.body) {
      expect(String(chunk)).toBe('{"type":"SNAPSHOT","items":[]}\n');
      break;
    }
    await stopped.promise;
  });

  it('cuts the connection when a stream fails, so that nobody takes half a log for a whole one', async () => {
    memory.logs = async () =>
      (async function* () {
        yield Buffer.from('half');
        throw new InterlinkError('Unavailable', 'the disk is gone');
      })();
    const body = JSON.stringify({ Namespace: 'default', PodUID: uid, PodName: 'p', ContainerName: 'main' });
    const answer = await client.request({ method: 'GET', path: '/getLogs', body, signal, stream: true });
    expect(answer.status).toBe(200);
    await expect(answer.bytes(100)).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  it('logs the session of the caller, or one of its own when there is none that may stand in a log', async () => {
    await ask('POST', '/create', create, { 'interlink-http-session': 'CreatePod#4711' });
    await ask('POST', '/create', create, { 'interlink-http-session': 'x y' });
    const sessions = logger.lines.filter(({ message }) => message === 'call').map(({ fields }) => fields.session);
    expect(sessions[0]).toBe('CreatePod#4711');
    expect(sessions[1]).toMatch(/^create#[0-9a-f-]{36}$/);
    expect(memory.calls.map(({ session }) => session)).toEqual(sessions);
  });

  it('logs nothing of what a pod holds', async () => {
    const secret = createPod(({ spec }) => {
      spec.containers = [{ name: 'main', env: [{ name: 'PASSWORD', value: 'hunter2' }] }];
    });
    memory.fail('create', new Error('boom with hunter2'));
    const answer = await ask('POST', '/create', JSON.stringify({ pod: secret }));
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('hunter2');
    expect(
      logger.lines
        .filter(({ level }) => level === 'debug')
        .map(String)
        .join(),
    ).not.toContain('hunter2');
  });
});
