import { describe, expect, it } from 'vitest';
import { findConfigFiles } from '../../../src/config/find-files.ts';

const SYSTEM = { path: '/etc/interlink/config.yaml', required: false };

describe('findConfigFiles', () => {
  it.each([
    ['a flag', '/x', { INTERLINK_CONFIG: '/y' }, [{ path: '/x', required: true }]],
    ['a variable', undefined, { INTERLINK_CONFIG: '/y', HOME: '/h' }, [{ path: '/y', required: true }]],
    ['an empty variable', undefined, { INTERLINK_CONFIG: '' }, [SYSTEM]],
    ['a home', undefined, { HOME: '/h' }, [SYSTEM, { path: '/h/.config/interlink/config.yaml', required: false }]],
    [
      'XDG',
      undefined,
      { HOME: '/h', XDG_CONFIG_HOME: '/c' },
      [SYSTEM, { path: '/c/interlink/config.yaml', required: false }],
    ],
    ['a relative XDG', undefined, { XDG_CONFIG_HOME: 'c' }, [SYSTEM]],
  ])('with %s names the files in order', (_name, named, environment, expected) => {
    expect(findConfigFiles(named, environment)).toEqual(expected);
  });
});
