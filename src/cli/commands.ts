import type { CliCommand } from './cli-command.ts';

/** One line of the command table. */
export interface CommandEntry {
  readonly path: readonly [string] | readonly [string, string];
  /** Shown in the help of the level above. */
  readonly summary: string;
  load(): Promise<CliCommand>;
}

/** What the first words of two-word commands are about. */
export const GROUPS: Readonly<Record<string, string>> = {
  vk: 'the virtual node: pods of a Kubernetes cluster run at a site',
  proxy: 'the one port that a site opens',
  sidecar: 'turns pods into jobs of one batch system',
  config: 'look at the configuration',
};

/** Every command but `runner`, which only our own jobs call. Nothing is loaded before its command is named. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    path: ['config', 'check'],
    summary: 'check the configuration and report every problem',
    load: async () => (await import('./config-check.ts')).configCheck,
  },
  {
    path: ['config', 'view'],
    summary: 'print the values in force and where each comes from',
    load: async () => (await import('./config-view.ts')).configView,
  },
  {
    path: ['version'],
    summary: 'print version, commit and platform',
    load: async () => (await import('./version.ts')).version,
  },
];
