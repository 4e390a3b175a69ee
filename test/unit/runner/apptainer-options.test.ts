import { describe, expect, it } from 'vitest';
import { parseApptainerOptions } from '../../../src/runner/apptainer-options.ts';

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
      noHttps: true,
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
