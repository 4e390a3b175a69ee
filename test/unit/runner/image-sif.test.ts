import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSif } from '../../../src/runner/image-sif.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-sif-'));
});
afterAll(() => rm(directory, { recursive: true }));

interface Part {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly name?: string;
  readonly fileSystem?: number;
  readonly partition?: number;
}

const HEADER = 128;
const DESCRIPTOR = 585;

/** A SIF as the format's description says, with `content` from byte 4096 on. */
function sif(parts: readonly Part[], content: Buffer, total = parts.length): Buffer {
  const file = Buffer.alloc(4096 + content.length);
  file.write('#!/usr/bin/env run-singularity\n', 0);
  file.write('SIF_MAGIC\0', 32);
  file.writeBigInt64LE(BigInt(total), 88);
  file.writeBigInt64LE(BigInt(HEADER), 96);
  parts.forEach((part, index) => {
    const at = HEADER + index * DESCRIPTOR;
    file.writeInt32LE(part.type, at);
    file.writeUInt8(1, at + 4);
    file.writeBigInt64LE(BigInt(part.offset), at + 17);
    file.writeBigInt64LE(BigInt(part.size), at + 25);
    file.write(part.name ?? '', at + 73);
    file.writeInt32LE(part.fileSystem ?? 0, at + 201);
    file.writeInt32LE(part.partition ?? 0, at + 205);
  });
  content.copy(file, 4096);
  return file;
}

const config = Buffer.from('{"Cmd":["/bin/sh"]}');
const root: Part = { type: 0x4004, offset: 4096 + config.length, size: 64, fileSystem: 1, partition: 2 };
const oci: Part = { type: 0x4006, offset: 4096, size: config.length, name: 'oci-config.json' };
const content = Buffer.concat([config, Buffer.alloc(64)]);

async function write(bytes: Buffer): Promise<string> {
  const path = join(directory, `${Math.random().toString(36).slice(2)}.sif`);
  await writeFile(path, bytes);
  return path;
}

describe('a SIF file', () => {
  it('tells where its root file system is and how the image wants to be run', async () => {
    const path = await write(sif([oci, root], content));
    await expect(readSif(path)).resolves.toEqual({ offset: root.offset, ociConfig: config.toString() });
  });

  it('may lack a configuration', async () => {
    await expect(readSif(await write(sif([root], content)))).resolves.toEqual({ offset: root.offset });
  });

  it.each([
    ['no SIF', Buffer.from('just a text'), 'not a SIF image'],
    ['an empty file', Buffer.alloc(0), 'not a SIF image'],
    ['a table that is cut off', sif([root], content, 100), 'cut off in its descriptors'],
    ['an absurd number of descriptors', sif([root], content, 1_000_000), 'with 1000000 descriptors'],
    ['no partition', sif([oci], content), 'no primary partition'],
    ['an ext3 partition', sif([{ ...root, fileSystem: 2 }], content), 'the root file system is ext3'],
    ['an encrypted one', sif([{ ...root, fileSystem: 4 }], content), 'encrypted squashfs'],
    ['a root file system that is cut off', sif([{ ...root, size: 1000 }], content), 'cut off: '],
    ['a configuration that is cut off', sif([root, { ...oci, offset: 1e6 }], content), 'configuration'],
  ])('%s is named as the fault', async (_, bytes, why) => {
    const reading = readSif(await write(bytes));
    await expect(reading).rejects.toMatchObject({ code: 'ImageInspectError' });
    await expect(reading).rejects.toThrow(why);
  });
});
