import { z } from 'zod';

/** Configuration of the local back end. */
export const localConfig = z.strictObject({
  maxPods: z.int().min(1).default(16).describe('pods that run at a time; more wait in the order they came'),
  cpus: z.int().min(1).optional().describe('processors offered; unset offers those of the machine'),
  memoryMiB: z.int().min(1).optional().describe('memory offered; unset offers that of the machine'),
  cgroup: z
    .string()
    .startsWith('/')
    .optional()
    .describe('cgroup of this user below which pods get their memory limits; unset sets none'),
  runnerMemoryMiB: z.int().min(0).default(64).describe("memory added to a pod's limit for the runner"),
});

/** The parsed subsection. */
export type LocalConfig = z.output<typeof localConfig>;
