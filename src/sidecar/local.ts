import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod } from '../kube/types.ts';
import type { BatchEnd, BatchJob, BatchSystem, KnownJob, SubmitRequest } from './batch/batch-system.ts';
import { createJobCgroups } from './local/job-cgroups.ts';
import { findJobProcess, PID_FILE } from './local/job-process.ts';
import type { LocalConfig } from './local/local-config.ts';
import { podMemoryLimit } from './local/pod-memory-limit.ts';
import { podResources } from './pod-resources.ts';

export interface LocalDeps {
  readonly logger: Logger;
  /** Environment of the runners. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path of the batch script. */
  readonly script: string;
}

/**
 * Goes into its cgroup when it has one, leaves the pid, by which the job is found again after a restart of the sidecar, then becomes the batch script
 * and with it the runner. A second start of one job finds the file taken and ends.
 */
const LAUNCHER = `umask 077; [ -z "$2" ] || echo $$ >"$2" || exit 127; echo $$ >${PID_FILE}.$$; ln ${PID_FILE}.$$ ${PID_FILE} 2>/dev/null || again=1; rm -f ${PID_FILE}.$$; [ -n "\${again-}" ] || exec /bin/sh "$1"`;
const MEBIBYTE = 1024 * 1024;

/**
 * This machine as a batch system: each job is a detached process of its own session that outlives the sidecar. What waits and what runs is read from the job
 * directories, so nothing is lost with this process; the runner's claim keeps a job that was started twice from running twice.
 */
export function createLocalSystem(deps: LocalDeps, config: LocalConfig): BatchSystem {
  const cgroups = config.cgroup === undefined ? undefined : createJobCgroups(config.cgroup);
  const listeners = new Set<() => void>();
  const exits = new Map<string, JobExit>();
  /** Started by this process and not yet seen to end. */
  const children = new Set<string>();
  const waiting = new Map<string, SubmitRequest['directory']>();

  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const ended = (uid: string, exit: JobExit | undefined): void => {
    children.delete(uid);
    if (exit) exits.set(uid, exit);
    running = Math.max(0, running - 1);
    startWaiting();
    tell();
  };
  const start = (uid: string, directory: SubmitRequest['directory']): void => {
    let output: number | undefined;
    try {
      const cgroup = cgroups?.make(uid, directory.root) ?? '';
      output = openSync(join(directory.root, 'batch.out'), 'a', 0o600);
      const child = spawn('/bin/sh', ['-c', LAUNCHER, 'sh', deps.script, cgroup], {
        cwd: directory.root,
        env: { ...deps.env },
        stdio: ['ignore', output, output],
        detached: true,
      });
      children.add(uid);
      child.once('exit', (code, signal) =>
        ended(uid, child.pid === undefined || isOwner(directory.root, child.pid) ? { code, signal } : undefined),
      );
      child.once('error', (error) => fail(uid, error));
      child.unref();
    } catch (error) {
      fail(uid, error);
    } finally {
      if (output !== undefined) closeSync(output);
    }
  };
  const fail = (uid: string, error: unknown): void => {
    deps.logger.error('a job could not be started', { podUid: uid, err: messageOf(error) });
    // Not at once: whoever starts jobs is not done with his list.
    queueMicrotask(() => ended(uid, { code: 127, signal: null, cause: messageOf(error) }));
  };
  let running = 0;
  let closed = false;
  const startWaiting = (): void => {
    if (closed) return;
    for (const [uid, directory] of waiting) {
      if (Math.max(running, children.size) >= config.maxPods) return;
      waiting.delete(uid);
      running += 1;
      start(uid, directory);
      tell();
    }
  };

  const kill = async (job: KnownJob, signal: NodeJS.Signals, group: boolean): Promise<void> => {
    const found = await findJobProcess(job.directory.root);
    if (found.kind !== 'running') return;
    try {
      process.kill(group ? -found.pid : found.pid, signal);
    } catch (error) {
      if (systemCodeOf(error) !== 'ESRCH') throw error;
    }
  };

  const look = async (job: KnownJob): Promise<BatchJob> => {
    const { uid, jobId, directory } = job;
    const base = { jobId, uid };
    const exit = exits.get(uid);
    const found = await findJobProcess(directory.root);
    if (found.kind === 'running' || (children.has(uid) && !exit))
      return { ...base, phase: 'running', state: 'running' };
    if (found.kind === 'never-started' && !exit) {
      if (job.stopping) {
        waiting.delete(uid);
        return { ...base, phase: 'ended', state: 'removed', neverRan: true, end: endOf(jobId, undefined) };
      }
      // After a restart of the sidecar nothing but the directory tells of a job that still waits.
      if (!waiting.has(uid)) waiting.set(uid, directory);
      const message = `${config.maxPods} pods run on this machine, which is its limit`;
      return { ...base, phase: 'pending', state: 'waiting', waiting: { reason: 'Resources', message } };
    }
    cgroups?.remove(uid);
    return { ...base, phase: 'ended', state: 'ended', end: endOf(jobId, exit) };
  };

  return {
    name: 'local',
    plan({ pod }) {
      refuseUnknownResources(pod);
      const bytes = cgroups && podMemoryLimit(pod);
      return { options: bytes === undefined ? [] : [String(bytes + config.runnerMemoryMiB * MEBIBYTE)] };
    },
    async submit({ uid, directory, plan }) {
      const [memoryLimit] = plan.options;
      if (memoryLimit !== undefined) cgroups?.note(directory.root, Number(memoryLimit));
      waiting.set(uid, directory);
      startWaiting();
      return { kind: 'submitted', jobId: `local-${uid}` };
    },
    async list(known) {
      const jobs = await Promise.all(known.map(look));
      running = jobs.filter(({ phase }) => phase === 'running').length;
      startWaiting();
      return { jobs, complete: true };
    },
    async lookUp() {
      return undefined;
    },
    terminate: (job) => kill(job, 'SIGTERM', false),
    async cancel(job, onlyPending) {
      waiting.delete(job.uid);
      if (!onlyPending) await kill(job, 'SIGKILL', true);
      tell();
    },
    async capacity() {
      return {
        cpu: String(config.cpus ?? availableParallelism()),
        memory: `${config.memoryMiB ?? Math.floor(totalmem() / MEBIBYTE)}Mi`,
        pods: String(config.maxPods),
      };
    },
    close() {
      closed = true;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Nothing of the machine is portioned out to pods but these. */
const RESOURCES = ['cpu', 'memory', 'ephemeral-storage'];

/** @throws Invalid when the pod asks for what this machine does not count. */
function refuseUnknownResources(pod: Pod): void {
  for (const [name, quantity] of podResources(pod))
    if (quantity > 0n && !RESOURCES.includes(name))
      throw new InterlinkError(
        'Invalid',
        `the pod asks for ${name}, which this site cannot give; it has ${RESOURCES.join(', ')}`,
        { code: 'local.resource' },
      );
}

/** Whether the job of the directory is the process that ended, not one that came second. */
function isOwner(directory: string, pid: number): boolean {
  try {
    return Number.parseInt(readFileSync(join(directory, PID_FILE), 'utf8'), 10) === pid;
  } catch {
    // It ended before it could leave its pid.
    return true;
  }
}

interface JobExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why there was no process at all. */
  readonly cause?: string;
}

function endOf(jobId: string, exit: JobExit | undefined): BatchEnd {
  const how = exit === undefined ? 'is gone' : exit.signal ? `was ended by ${exit.signal}` : `ended with ${exit.code}`;
  return {
    exitCode: exit?.code === 0 ? 0 : exit?.signal === 'SIGTERM' ? 143 : exit?.code || 137,
    containerReason: exit?.code === 0 ? 'Completed' : 'Error',
    message: exit?.cause === undefined ? `job ${jobId}: its runner ${how}` : `job ${jobId}: ${exit.cause}`,
  };
}
