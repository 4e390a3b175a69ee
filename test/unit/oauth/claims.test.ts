import { describe, expect, it } from 'vitest';
import { listClaim, lookUpClaim } from '../../../src/oauth/claims.ts';

describe('claims', () => {
  const claims = {
    groups: ['/a', '/a/b'],
    'wlcg.groups': ['/atlas'],
    wlcg: { groups: ['/wrong'] },
    realm_access: { roles: ['admin'] },
    resource_access: { 'my.client': { roles: ['user'] } },
    scope: 'openid  compute.read',
    role: 'single with spaces',
    mixed: ['a', 1, null, { b: 1 }, 'c'],
    nothing: null,
  };

  it.each([
    ['groups', ['/a', '/a/b']],
    ['wlcg.groups', ['/atlas']],
    ['realm_access.roles', ['admin']],
    ['resource_access["my.client"].roles', ['user']],
    ['resource_access.my.client.roles', []],
    ['scope', ['openid', 'compute.read']],
    ['role', ['single with spaces']],
    ['mixed', ['a', 'c']],
    ['nothing', []],
    ['absent', []],
    ['groups.length', []],
    ['__proto__', []],
    ['constructor.name', []],
    ['', []],
  ])('%s holds %j', (name, expected) => {
    expect(listClaim(claims, name)).toEqual(expected);
  });

  it('takes a literal key with dots before a path', () => {
    expect(lookUpClaim(claims, 'wlcg.groups')).toEqual(['/atlas']);
    expect(lookUpClaim({ wlcg: { groups: ['/x'] } }, 'wlcg.groups')).toEqual(['/x']);
  });
});
