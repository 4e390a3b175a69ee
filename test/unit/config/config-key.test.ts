import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { listConfigKeys } from '../../../src/config/config-key.ts';

const port = z.strictObject({ kind: z.literal('tcp'), port: z.number().int().describe('Port.') });
const socket = z.strictObject({ kind: z.literal('unix'), path: z.string() });

describe('listConfigKeys', () => {
  it('names each key in every source, with its default and what it takes', () => {
    const schema = z.strictObject({
      tokenFile: z.string().optional().describe('File.'),
      imageIDs: z.array(z.string()).default([]),
      http2: z.boolean().default(true),
      runnerMemoryMiB: z.number().default(64),
      inner: z.strictObject({ pollIntervalMs: z.number().default(5) }).prefault({}),
      upper: z.string().transform((text) => text.toUpperCase()),
    });
    expect(
      listConfigKeys('node', schema).map(({ variable, flag, shape, required }) => [
        variable,
        flag,
        shape.type,
        required,
      ]),
    ).toEqual([
      ['INTERLINK_NODE_TOKEN_FILE', '--token-file', 'string', false],
      ['INTERLINK_NODE_IMAGE_IDS', '--image-ids', 'list', false],
      ['INTERLINK_NODE_HTTP2', '--http2', 'boolean', false],
      ['INTERLINK_NODE_RUNNER_MEMORY_MIB', '--runner-memory-mib', 'number', false],
      ['INTERLINK_NODE_INNER_POLL_INTERVAL_MS', '--inner-poll-interval-ms', 'number', false],
      ['INTERLINK_NODE_UPPER', '--upper', 'string', true],
    ]);
  });

  it('merges the keys of alternatives', () => {
    const schema = z.strictObject({ listen: z.discriminatedUnion('kind', [port, socket]) });
    const keys = listConfigKeys('proxy', schema);
    expect(keys.map(({ flag }) => flag)).toEqual(['--listen-kind', '--listen-port', '--listen-path']);
    expect(keys[0]?.shape).toEqual({ type: 'choice', values: ['tcp', 'unix'] });
    expect(keys[1]?.description).toBe('Port.');
  });
});
