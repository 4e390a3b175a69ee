import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandResult, CommandRunner } from '../../../src/base/command.ts';
import { apptainerPuller } from '../../../src/runner/apptainer-puller.ts';
import type { ImagePull } from '../../../src/runner/image-puller.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-puller-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** The smallest SIF file: a header, and one descriptor of a squashfs of no bytes behind it. */
function smallestSif(): Buffer {
  const file = Buffer.alloc(128 + 585);
  file.write('SIF_MAGIC\0', 32);
  file.writeBigInt64LE(1n, 88);
  file.writeBigInt64LE(128n, 96);
  file.writeInt32LE(0x4004, 128);
  file.writeUInt8(1, 132);
  file.writeBigInt64LE(BigInt(file.length), 145);
  file.writeInt32LE(1, 128 + 201);
  file.writeInt32LE(2, 128 + 205);
  return file;
}

/** Plays `apptainer pull`. */
function tool(content: Buffer, result: Partial<CommandResult> = {}) {
  const calls: { argv: readonly string[]; env: Readonly<Record<string, string>> }[] = [];
  const commands: CommandRunner = {
    async run(argv, { env }) {
      calls.push({ argv, env });
      await writeFile(argv.at(-2) ?? '', content, { mode: 0o755 });
      const base = { argv, exitSignal: null, stdout: '', stderr: '', timedOut: false, truncated: false };
      return { ...base, exitCode: 0, ...result };
    },
  };
  const environment = { PATH: '/bin', HTTPS_PROXY: 'http://proxy:3128' };
  const pull = async (url: string, more: Partial<ImagePull> & { noHttps?: boolean } = {}): Promise<string> => {
    const { noHttps = false, ...request } = more;
    const target = join(directory, 'image.sif');
    const signal = new AbortController().signal;
    await apptainerPuller({ program: 'apptainer', noHttps, environment, commands }).pull({
      ...{ url, target, work: directory, directory, signal },
      ...request,
    });
    return target;
  };
  return { pull, calls };
}

describe('apptainer pull', () => {
  it("makes a file for its owner alone, works in the pull's own directory and keeps no cache", async () => {
    const { pull, calls } = tool(smallestSif());
    const target = await pull('docker://ghcr.io/a@sha256:0', { loginFile: '/dev/shm/login/config.json' });
    expect((await stat(target)).mode & 0o777).toBe(0o600);
    expect(calls).toEqual([
      {
        argv: [
          ...['apptainer', '--silent', 'pull', '--force', '--disable-cache'],
          ...['--authfile', '/dev/shm/login/config.json', target, 'docker://ghcr.io/a@sha256:0'],
        ],
        env: {
          PATH: '/bin',
          HTTPS_PROXY: 'http://proxy:3128',
          APPTAINER_CACHEDIR: join(directory, 'cache'),
          APPTAINER_TMPDIR: directory,
        },
      },
    ]);
  });

  it.each([
    ['docker://localhost:5000/a', false, true],
    ['oras://127.0.0.1:1/a', false, true],
    ['docker://[::1]/a', false, true],
    ['docker://localhost.evil/a', false, false],
    ['docker://site/a', true, true],
  ])('asks %s by plain HTTP if it is on this machine or the site says so', async (url, noHttps, plain) => {
    const { pull, calls } = tool(smallestSif());
    await pull(url, { noHttps });
    expect(calls[0]?.argv.includes('--no-https')).toBe(plain);
  });

  it('fails with the words of the tool', async () => {
    const red = '\u001b[31m';
    const stderr = `INFO:    Starting\n${red}FATAL:  ${red} While making image: no space left\n`;
    await expect(tool(smallestSif(), { exitCode: 255, stderr }).pull('docker://x/y')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'While making image: no space left',
    });
    await expect(tool(smallestSif(), { exitCode: 3 }).pull('docker://x/y')).rejects.toThrow('ended with exit code 3');
    await expect(tool(smallestSif(), { exitCode: null, timedOut: true }).pull('docker://x/y')).rejects.toThrow(
      'no end after 2 hours',
    );
  });

  it('does not pass for done with a file that is torn or none at all', async () => {
    await expect(tool(smallestSif().subarray(0, 300)).pull('docker://x/y')).rejects.toThrow('cut off');
    await expect(tool(Buffer.from('<html>')).pull('https://x/y.sif')).rejects.toThrow('not a SIF image');
  });
});
