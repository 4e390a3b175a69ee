import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { PodRef } from '../../contract/pod-ref.ts';
import type { PodStatus } from '../../contract/pod-status.ts';
import type { JobFiles } from './job-files.ts';
import type { JobRecord } from './job-record.ts';
import type { Journal } from './journal.ts';
import { PodJob } from './pod-job.ts';

export interface JobTableDeps {
  readonly journal: Journal;
  readonly files: JobFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly publish: (status: PodStatus) => void;
  readonly signal: AbortSignal;
}

/** The pods of a sidecar by UID: those it knows, and the tombstones of those that it has forgotten after a deletion. */
export class JobTable {
  readonly #deps: JobTableDeps;
  readonly #jobs = new Map<string, PodJob>();
  /** When each forgotten pod was buried, in wall-clock milliseconds. */
  readonly #tombstones = new Map<string, number>();

  constructor(deps: JobTableDeps) {
    this.#deps = deps;
  }

  /** Takes up what the journal holds and what runners wrote meanwhile; removes directories that no record explains. */
  async restore(): Promise<void> {
    const { journal, files, logger } = this.#deps;
    for (const record of journal.all())
      if (record.state === 'deleted') this.#tombstones.set(record.uid, record.endedMs ?? 0);
      else this.#jobs.set(record.uid, this.#make(record));
    for (const job of this.#jobs.values()) {
      if (job.over) continue;
      const spec = journal.specOf(job.uid);
      if (spec !== undefined) await files.repair(job.uid, spec, job.record.plan.preExec);
      await job.readRecords();
    }
    for (const uid of await files.list()) {
      if (this.#jobs.has(uid)) continue;
      // Intent is durable before anything is submitted, so what is not in the journal never ran: unless the journal is not the one of these directories.
      if (this.#tombstones.has(uid) || !(await files.isClaimed(uid))) await files.remove(uid);
      else logger.warn('directory of a job without a record is left alone', { podUid: uid });
    }
  }

  find(uid: string): PodJob | undefined {
    return this.#jobs.get(uid);
  }

  all(): IterableIterator<PodJob> {
    return this.#jobs.values();
  }

  isTombstone(uid: string): boolean {
    return this.#tombstones.has(uid);
  }

  /** Makes the pod known; resolves when that is durable, and leaves nothing behind when it cannot be. */
  async add(record: JobRecord, spec: string): Promise<PodJob> {
    await this.#deps.journal.put(record, spec);
    const job = this.#make(record);
    this.#jobs.set(record.uid, job);
    job.announce();
    return job;
  }

  /** Forgets a pod that was never submitted, as if it had not been asked for. */
  async forget(job: PodJob): Promise<void> {
    await this.#deps.journal.remove(job.uid);
    this.#jobs.delete(job.uid);
    await this.#deps.files.remove(job.uid);
  }

  /** Replaces the pod by its tombstone; the directory is removed after that is durable. */
  async bury(ref: PodRef): Promise<void> {
    const { journal, files, clock } = this.#deps;
    const nowMs = clock.nowMs();
    const { namespace, name, uid } = ref;
    await journal.put({
      uid,
      namespace,
      name,
      state: 'deleted',
      hash: '',
      outline: { containers: [], initContainers: [], gracePeriodSeconds: 0 },
      plan: { options: [] },
      attempt: 0,
      createdMs: nowMs,
      endedMs: nowMs,
      gone: true,
    });
    this.#tombstones.set(uid, nowMs);
    this.#jobs.delete(uid);
    await files.remove(uid);
  }

  /** Drops tombstones that were made before `beforeMs`. */
  async dropTombstones(beforeMs: number): Promise<void> {
    for (const [uid, buriedMs] of this.#tombstones) {
      if (buriedMs >= beforeMs) continue;
      await this.#deps.journal.remove(uid);
      this.#tombstones.delete(uid);
    }
  }

  #make(record: JobRecord): PodJob {
    const { journal, files, clock, logger, publish, signal } = this.#deps;
    return new PodJob(record, { journal, clock, logger, publish, signal, directory: files.directory(record.uid) });
  }
}
