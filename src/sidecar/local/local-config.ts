import { z } from 'zod';

/** Configuration of the local back end. */
export const localConfig = z.strictObject({
  maxPods: z.int().min(1).default(16).describe('pods that run at a time; more wait in the order they came'),
  cpus: z.int().min(1).optional().describe('processors offered; unset offers those of the machine'),
  memoryMiB: z.int().min(1).optional().describe('memory offered; unset offers that of the machine'),
});

/** The parsed subsection. */
export type LocalConfig = z.output<typeof localConfig>;
