import type { z } from 'zod';

/** Every section that the configuration file may hold. */
export const SECTIONS = ['node', 'proxy', 'sidecar', 'token'] as const;

/** One of {@link SECTIONS}. */
export type Section = (typeof SECTIONS)[number];

/** Loads the schema of each section from the room that owns it. */
export const SECTION_SCHEMAS: Readonly<Partial<Record<Section, () => Promise<z.ZodType>>>> = {
  node: async () => (await import('../node/config.ts')).nodeConfig,
  proxy: async () => (await import('../proxy/config.ts')).proxyConfig,
  sidecar: async () => (await import('../sidecar/config.ts')).sidecarConfig,
};

/** The schemas of all sections, for commands that look at the whole configuration. */
export async function loadAllSchemas(): Promise<Readonly<Record<string, z.ZodType>>> {
  const schemas: Record<string, z.ZodType> = {};
  for (const section of SECTIONS) {
    const schema = await SECTION_SCHEMAS[section]?.();
    if (schema) schemas[section] = schema;
  }
  return schemas;
}
