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
    path: ['run'],
    summary: 'run one pod, without any cluster, on this machine or at a site',
    load: async () => (await import('./run.ts')).run,
  },
  {
    path: ['vk', 'start'],
    summary: 'join a Kubernetes cluster as a node whose pods run at a site',
    load: async () => (await import('./vk-start.ts')).vkStart,
  },
  {
    path: ['proxy', 'start'],
    summary: 'authenticate nodes and pass their pods to the sidecars of this site',
    load: async () => (await import('./proxy-start.ts')).proxyStart,
  },
  {
    path: ['sidecar', 'slurm'],
    summary: 'run pods as jobs of a Slurm cluster',
    load: async () => (await import('./sidecar-start.ts')).sidecarStart('slurm'),
  },
  {
    path: ['sidecar', 'local'],
    summary: 'run pods on this machine',
    load: async () => (await import('./sidecar-start.ts')).sidecarStart('local'),
  },
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
    path: ['openapi'],
    summary: 'print the REST contract of proxies and sidecars',
    load: async () => (await import('./openapi.ts')).openapi,
  },
  {
    path: ['version'],
    summary: 'print version, commit and platform',
    load: async () => (await import('./version.ts')).version,
  },
];
