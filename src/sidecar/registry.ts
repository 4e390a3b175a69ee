import { userInfo } from 'node:os';
import type { CommandRunner } from '../base/command.ts';
import type { Logger } from '../base/logger.ts';
import type { BatchSystem } from './batch/batch-system.ts';
import { createCommandBatchSystem } from './batch/command-batch-system.ts';
import type { EngineOptions } from './batch/engine-options.ts';
import type { SidecarConfig } from './config.ts';
import { createLocalSystem } from './local.ts';
import { slurmDialect } from './slurm.ts';

/** What a back end is made from. */
export interface BackEndContext {
  readonly config: SidecarConfig;
  readonly commands: CommandRunner;
  readonly logger: Logger;
  /** Environment for programs of the site, chosen variable by variable. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells the jobs of this sidecar from those of others; made once per state directory. */
  readonly site: string;
  /** Absolute path of the batch script. */
  readonly script: string;
}

/** A kind of back end: one line here makes it known to the command line, the configuration and the tests. */
export interface BackEnd {
  readonly description: string;
  /** How runners reach the sidecar: from other machines or from this one. */
  readonly channel: 'tcp' | 'unix';
  createSystem(context: BackEndContext): BatchSystem;
  /** Numbers that make no sense as configured for this kind. */
  adjust?(options: EngineOptions): EngineOptions;
}

const MS = 1_000;
/** Zone and language in which Slurm's output is read. */
const READABLE = { LC_ALL: 'C', TZ: 'UTC', SLURM_TIME_FORMAT: 'standard' };

/** Every kind of sidecar, by the word of the command line. */
export const SIDECARS = {
  slurm: {
    description: 'jobs of a Slurm cluster, submitted as the user that runs the sidecar',
    channel: 'tcp',
    createSystem: ({ config, commands, logger, env, site }) =>
      createCommandBatchSystem(
        { dialect: slurmDialect(config.slurm, { site, userId: userInfo().uid }), commands, logger },
        {
          env: { ...env, ...READABLE, ...config.slurm.environment },
          submitTimeoutMs: config.submitTimeoutSeconds * MS,
          commandTimeoutMs: config.commandTimeoutSeconds * MS,
          accounting: config.slurm.accounting,
        },
      ),
  },
  local: {
    description: 'processes on this machine',
    channel: 'unix',
    createSystem: ({ config, logger, env, script }) => createLocalSystem({ logger, env, script }, config.local),
    // Looking at processes costs nothing, their ends are told at once, and the disk is the runner's own.
    adjust: (options) => ({
      ...options,
      pollIntervalMs: Math.min(options.pollIntervalMs, MS),
      soonMs: Math.min(options.soonMs, MS / 20),
      recordGraceMs: 0,
    }),
  },
} as const satisfies Record<string, BackEnd>;

/** Word of a back end. */
export type SidecarKind = keyof typeof SIDECARS;
