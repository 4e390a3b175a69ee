import { Writable } from 'node:stream';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { HTTPGetAction, LifecycleHandler } from '../kube/types.ts';
import type { RunningContainer } from './container-runtime.ts';
import type { ProbeTarget } from './probe-result.ts';

/** What a hook runs on and until when. */
export interface HookContext extends ProbeTarget {
  readonly logger: Logger;
  /** Cuts the hook off; a program is killed with all that it has started. */
  readonly signal: AbortSignal;
}

/**
 * Runs a postStart or preStop hook; resolves when it has done its work. What it prints goes nowhere, and any answer to a GET is good: a kubelet
 * does not look at its status.
 *
 * @throws InterlinkError with the reason when it fails: a program that is missing or does not exit with 0, no answer, a handler that hooks do
 * not have (`tcpSocket`). `signal.reason` when it is cut off.
 */
export async function runHook(handler: LifecycleHandler, context: HookContext): Promise<void> {
  const { clock, running, signal } = context;
  signal.throwIfAborted();
  const { exec, httpGet, sleep } = handler;
  if (exec) await execHook(running, exec.command ?? [], signal);
  else if (httpGet) await httpHook(httpGet, context);
  else if (sleep) await clock.sleep(sleep.seconds * 1000, { signal });
  else
    throw new InterlinkError(
      'Invalid',
      `invalid handler: ${Object.keys(handler).join(', ') || 'none'}; hooks have exec, httpGet and sleep`,
      {
        code: 'hook.handler',
      },
    );
}

async function execHook(running: RunningContainer, command: readonly string[], signal: AbortSignal): Promise<void> {
  const output = { stdout: nowhere(), stderr: nowhere() };
  const program = await running.exec({ argv: command, output, signal });
  const { exitCode } = await program.exited;
  signal.throwIfAborted();
  if (exitCode !== 0)
    throw new InterlinkError('Unavailable', `command '${command.join(' ')}' exited with ${exitCode}`, {
      code: 'hook.exec',
    });
}

async function httpHook(httpGet: HTTPGetAction, context: HookContext): Promise<void> {
  const { logger, signal } = context;
  // Loaded here: Node's HTTP modules cost the start and the memory of every job.
  const { NO_TLS, probeRequest, sendProbeRequest } = await import('./probe-http.ts');
  const request = probeRequest(httpGet, context, 'lifecycle');
  try {
    await sendProbeRequest(request, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof InterlinkError) || error.code !== NO_TLS) throw error;
    // For hooks that were written when the scheme was not looked at.
    logger.warn('https hook got an http answer; asking by http', { url: request.url.href });
    const { authorization: _, ...headers } = request.headers;
    const url = new URL(request.url);
    url.protocol = 'http:';
    await sendProbeRequest({ url, headers }, signal);
  }
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
