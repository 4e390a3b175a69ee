import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAllSchemas } from '../../../src/cli/config-sections.ts';
import { main } from '../../../src/cli/main.ts';
import { listConfigKeys } from '../../../src/config/config-key.ts';
import { memoryIo } from './memory-io.ts';

const directory = mkdtempSync(join(tmpdir(), 'interlink-cli-'));
afterAll(() => rmSync(directory, { recursive: true }));

const file = join(directory, 'config.yaml');
writeFileSync(file, 'node:\n  name: hpc\n  site:\n    url: unix:/run/site.sock\n');

describe('config view', () => {
  it('prints the values in force with their origins', async () => {
    const io = memoryIo({ env: { INTERLINK_NODE_KUBELET_PORT: '10260' } });
    expect(await main(['config', 'view', '--show-origin', '-c', file], io)).toBe(0);
    expect(io.out()).toContain(`  name: hpc # ${file}:2:3\n`);
    expect(io.out()).toContain('    port: 10260 # INTERLINK_NODE_KUBELET_PORT\n');
    expect(io.out()).toMatch(/ {2}leaseDurationSeconds: \d+ # default\n/);
    expect(io.err()).toBe('');
  });

  it('prints JSON for programs', async () => {
    const io = memoryIo();
    expect(await main(['config', 'view', '-o', 'json', '-c', file], io)).toBe(0);
    expect(JSON.parse(io.out())).toMatchObject({ node: { name: 'hpc' } });
    const origins = memoryIo();
    await main(['config', 'view', '-o', 'json', '--show-origin', '-c', file], origins);
    expect(JSON.parse(origins.out())).toContainEqual({ path: 'node.name', value: 'hpc', origin: `${file}:2:3` });
  });
});

describe('config check', () => {
  it('names the sections that are set', async () => {
    const io = memoryIo();
    expect(await main(['config', 'check', '-c', file], io)).toBe(0);
    expect(io.out()).toBe('valid: node\n');
  });

  it('ends with 3 and every problem', async () => {
    const wrong = join(directory, 'wrong.yaml');
    writeFileSync(wrong, 'node:\n  nmae: hpc\nprxy: {}\n');
    const io = memoryIo();
    expect(await main(['config', 'check', '-c', wrong], io)).toBe(3);
    expect(io.out()).toBe('');
    expect(io.err()).toContain(`${wrong}:2:3: node.nmae: unknown key; did you mean name?`);
    expect(io.err()).toContain(`${wrong}:3:1: prxy: unknown section; did you mean proxy?`);
  });
});

describe('the sections', () => {
  it('give each key a variable and a flag of its own and say what it is', async () => {
    const keys = Object.entries(await loadAllSchemas()).flatMap(([section, schema]) => listConfigKeys(section, schema));
    const variables = keys.map(({ variable }) => variable);
    expect(variables.filter((name, index) => variables.indexOf(name) !== index)).toEqual([]);
    expect(keys.filter(({ description }) => !description).map(({ variable }) => variable)).toEqual([]);
  });
});
