import { InterlinkError } from '../base/errors.ts';
import type { Probe } from '../kube/types.ts';
import { withDeadline } from '../kube/with-deadline.ts';
import { containerPort } from './container-port.ts';
import { probeExec } from './probe-exec.ts';
import type { ProbeResult, ProbeTarget } from './probe-result.ts';
import { probeTcp } from './probe-tcp.ts';

/**
 * Probes a container once, as a kubelet does.
 *
 * @param signal Aborts when the result is of no interest any more.
 * @throws InterlinkError when nothing could be found out: a port without name, a program that does not exist. That is neither success nor failure.
 */
export async function runProbe(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const { container, running, podIP, clock } = target;
  const timeoutSeconds = probe.timeoutSeconds || 1;
  const { exec, httpGet, tcpSocket, grpc } = probe;
  if (exec) return probeExec(running, exec.command ?? [], { timeoutSeconds, clock, signal });
  // Loaded here, and before the time runs: Node's HTTP modules cost the start and the memory of every job.
  const http = httpGet && (await import('./probe-http.ts'));
  const health = grpc && (await import('./probe-grpc.ts'));
  return withDeadline({ clock, ms: timeoutSeconds * 1000, what: 'probe', signal }, async (limit) => {
    if (http) return http.probeHttp(http.probeRequest(httpGet, target, 'probe'), limit);
    if (tcpSocket) return probeTcp(tcpSocket.host || podIP, containerPort(tcpSocket.port, container), limit);
    if (health)
      return health.probeGrpc({ host: podIP, port: grpc.port, service: grpc.service ?? '', timeoutSeconds }, limit);
    throw new InterlinkError('Invalid', `missing probe handler for container ${container.name}`, {
      code: 'probe.handler',
    });
  });
}
