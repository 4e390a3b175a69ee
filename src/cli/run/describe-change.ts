import type { PodStatus } from '../../contract/pod-status.ts';
import type { ContainerStatus } from '../../kube/types.ts';

/** One line for each thing in which `next` differs from `previous` and that a person would want to read. */
export function describeChange(previous: PodStatus | undefined, next: PodStatus): readonly string[] {
  const lines: string[] = [];
  if (next.jobId !== undefined && next.jobId !== previous?.jobId) lines.push(`pod ${next.name}: job ${next.jobId}`);
  if (next.nodeName !== undefined && next.nodeName !== previous?.nodeName)
    lines.push(`pod ${next.name}: runs on ${next.nodeName}`);
  const reason = [next.reason, next.message].filter(Boolean).join(': ');
  if (reason !== '' && reason !== [previous?.reason, previous?.message].filter(Boolean).join(': '))
    lines.push(`pod ${next.name}: ${reason}`);
  const before = new Map(
    [...(previous?.initContainers ?? []), ...(previous?.containers ?? [])].map((c) => [c.name, c]),
  );
  for (const container of [...next.initContainers, ...next.containers]) {
    // What holds up the whole pod has been said.
    if (container.state?.waiting?.reason !== undefined && container.state.waiting.reason === next.reason) continue;
    const line = describeContainer(container);
    const old = before.get(container.name);
    if (line !== undefined && line !== (old && describeContainer(old))) lines.push(line);
  }
  return lines;
}

/** Waiting for its turn is no news. */
const QUIET = new Set(['ContainerCreating', 'PodInitializing']);

function describeContainer({ name, state, restartCount }: ContainerStatus): string | undefined {
  const again = restartCount > 0 ? ` (restart ${restartCount})` : '';
  if (state?.running) return `container ${name}: running${again}`;
  if (state?.terminated) {
    const { exitCode, reason, message } = state.terminated;
    return `container ${name}: ended with exit code ${exitCode}${reason ? ` (${reason})` : ''}${message ? `: ${message.trimEnd()}` : ''}${again}`;
  }
  if (state?.waiting?.reason && !QUIET.has(state.waiting.reason))
    return `container ${name}: waits, ${state.waiting.reason}${state.waiting.message ? `: ${state.waiting.message}` : ''}`;
  return undefined;
}
