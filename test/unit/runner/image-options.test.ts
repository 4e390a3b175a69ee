import { describe, expect, it } from 'vitest';
import { parseApptainerOptions } from '../../../src/runner/apptainer-options.ts';
import { parseCharliecloudOptions } from '../../../src/runner/charliecloud-options.ts';
import { parsePodmanOptions } from '../../../src/runner/podman-options.ts';

describe("the site's options for Apptainer", () => {
  it('that have a meaning are taken', () => {
    expect(
      parseApptainerOptions([
        '--nv',
        '--bind',
        '/scratch,/data:/mnt/data:ro',
        '--bind=/a:/b',
        '-B',
        '/c',
        '--no-https',
      ]),
    ).toEqual({
      nvidia: true,
      rocm: false,
      pull: ['--no-https'],
      binds: [
        { source: '/scratch', target: '/scratch', readOnly: false },
        { source: '/data', target: '/mnt/data', readOnly: true },
        { source: '/a', target: '/b', readOnly: false },
        { source: '/c', target: '/c', readOnly: false },
      ],
    });
  });

  it('that every container has anyway do no harm', () => {
    expect(parseApptainerOptions(['--containall', '--no-home', '--writable-tmpfs', '--rocm'])).toMatchObject({
      rocm: true,
    });
  });

  it.each([
    [['--net'], '"--net" of Apptainer is not supported; known are'],
    [['--bind'], '--bind "" is not SOURCE'],
    [['--bind', 'relative:/x'], 'absolute paths'],
    [['-B', '/a:/b:rx'], 'SOURCE[:TARGET[:ro]]'],
  ])('%j are refused by name', (options, message) => {
    expect(() => parseApptainerOptions(options)).toThrow(message);
  });
});

describe("the site's options for the other tools", () => {
  it.each([
    [parsePodmanOptions, ['--gpus=all'], { nvidia: true, rocm: false }],
    [parsePodmanOptions, ['--device=nvidia.com/gpu=all'], { nvidia: true }],
    [parsePodmanOptions, ['--device=/dev/kfd', '--device=/dev/dri'], { nvidia: false, rocm: true }],
    [parsePodmanOptions, ['-v', '/a:/b:ro', '--volume=/c'], { binds: [bind('/a', '/b', true), bind('/c')] }],
    [parsePodmanOptions, ['--tls-verify=false', '--network=host'], { pull: ['--tls-verify=false'], binds: [] }],
    [parseCharliecloudOptions, ['--nvidia', '-b', '/a:/b'], { nvidia: true, binds: [bind('/a', '/b')] }],
    [parseCharliecloudOptions, ['--tls-no-verify', '-t'], { pull: ['--tls-no-verify'], nvidia: false }],
  ])('%o takes %j', (parse, options, parsed) => {
    expect(parse(options)).toMatchObject(parsed);
  });

  it.each([
    [parsePodmanOptions, ['--privileged'], '"--privileged" of Podman is not supported; known are --gpus=all'],
    [parseCharliecloudOptions, ['--nv'], '"--nv" of Charliecloud is not supported; known are --nvidia'],
  ])('%o refuses %j', (parse, options, message) => {
    expect(() => parse(options)).toThrow(message);
  });
});

function bind(source: string, target = source, readOnly = false): object {
  return { source, target, readOnly };
}
