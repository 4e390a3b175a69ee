import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { readContainerLog } from '../contract/container-log.ts';
import type { Container } from '../kube/types.ts';

const MAX_FILE_BYTES = 4096;
/** Shared by all containers of a pod. */
const MAX_POD_BYTES = 12 * 1024;
const MAX_LOG_LINES = 80;
const MAX_LOG_BYTES = 2048;

/** A container that has ended. */
export interface TerminationMessageRequest {
  readonly container: Container;
  /** The file that was mounted at `terminationMessagePath`. */
  readonly file: string;
  readonly logPath: string;
  readonly exitCode: number;
  /** Number of containers and init containers of the pod. */
  readonly containers: number;
  readonly clock: Clock;
}

/**
 * `message` of a terminated state: the first 4096 bytes of the file, or with `FallbackToLogsOnError`, a failure and an empty file, the last 80 lines of
 * the log but at most 2048 bytes; in all at most 12 KiB shared equally by the pod's containers. Undefined when there is nothing to say.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_container.go getTerminationMessage
 */
export async function terminationMessage(request: TerminationMessageRequest): Promise<string | undefined> {
  const { container, exitCode, containers } = request;
  let bytes = await readHead(request.file);
  if (bytes.length === 0 && exitCode !== 0 && container.terminationMessagePolicy === 'FallbackToLogsOnError')
    bytes = await readTail(request);
  const text = bytes.subarray(0, Math.floor(MAX_POD_BYTES / containers)).toString('utf8');
  return text === '' ? undefined : text;
}

async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function readTail({ logPath, clock }: TerminationMessageRequest): Promise<Buffer> {
  let tail = Buffer.alloc(0);
  const chunks = readContainerLog({
    path: logPath,
    options: { tailLines: MAX_LOG_LINES },
    clock,
    signal: new AbortController().signal,
    isEnded: () => true,
  });
  for await (const chunk of chunks) tail = Buffer.concat([tail, chunk]).subarray(-MAX_LOG_BYTES);
  return tail;
}
