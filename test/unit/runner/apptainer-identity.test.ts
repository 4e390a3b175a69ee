import { describe, expect, it } from 'vitest';
import { apptainerIdentity } from '../../../src/runner/apptainer-identity.ts';
import type { ContainerPlan, ContainerSecurity } from '../../../src/runner/container-runtime.ts';
import { parseImageUsers } from '../../../src/runner/image-users.ts';
import { droppedCapabilities } from '../../../src/runner/namespace-capabilities.ts';
import { ownIdMap, rootIdMap } from '../../../src/runner/namespace-ids.ts';

const users = parseImageUsers('root:x:0:0::/root:\napp:x:1000:100::/home/app:\n', 'users:x:100:\nextra:x:55:app\n');
const own = { uid: 5001, gid: 5002, userName: 'alice' };
const single = await rootIdMap(own, { ranges: false });
const ranges = {
  uids: [...single.uids, { inside: 1, outside: 100_000, count: 65_536 }],
  gids: [...single.gids, { inside: 1, outside: 100_000, count: 65_536 }],
  canSetGroups: true,
};

const plan = (security: ContainerSecurity = {}): ContainerPlan => ({
  name: 'c',
  attempt: 0,
  env: [],
  mounts: [],
  security,
  hostname: 'h',
  tty: false,
  podName: 'p_ns(uid)',
});

describe('the user of a container', () => {
  it.each([
    ['root when nobody says anything', {}, '', { uid: 0, gid: 0, groups: [0], home: '/root' }],
    [
      "the image's user with its group and home",
      {},
      'app',
      { uid: 1000, gid: 100, groups: [100, 55], home: '/home/app' },
    ],
    ["the image's user and group by number", {}, '1000:7', { uid: 1000, gid: 7, home: '/home/app' }],
    ["the image's group by name", {}, '0:users', { uid: 0, gid: 100 }],
    [
      "the image's groups do not count under the policy Strict",
      { onlyNamedGroups: true },
      'app',
      { uid: 1000, groups: [100] },
    ],
    ['the pod wins', { runAsUser: 0, runAsGroup: 9 }, 'app:users', { uid: 0, gid: 9, groups: [9] }],
    ['the image does not know it: group 0, home /', { runAsUser: 4242 }, '', { uid: 4242, gid: 0, home: '/' }],
    [
      "the pod's groups come along",
      { runAsUser: 1, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000, 2000] },
      '',
      { gid: 2000, groups: [2000, 3000, 4000] },
    ],
  ])('%s', (_, security, imageUser, expected) => {
    expect(apptainerIdentity(plan(security), imageUser, users, ranges)).toMatchObject(expected);
  });

  it('gets another name for the one user that the pod has, where the site gives no ranges', () => {
    expect(apptainerIdentity(plan(), '', users, single)).toMatchObject({ uid: 0, groups: undefined });
    expect(apptainerIdentity(plan(), '', users, single).renamed).toBeUndefined();
    expect(apptainerIdentity(plan({ runAsUser: 1000 }), '', users, single)).toMatchObject({ uid: 1000, renamed: true });
    expect(apptainerIdentity(plan(), '', users, undefined)).toMatchObject({ uid: 0, groups: [0] });
  });

  it.each([
    [
      'root although it must not be',
      { runAsNonRoot: true },
      '',
      'container has runAsNonRoot and image will run as root (pod: "p_ns(uid)", container: c)',
    ],
    [
      'root by the pod itself',
      { runAsNonRoot: true, runAsUser: 0 },
      '',
      `container's runAsUser breaks non-root policy (pod: "p_ns(uid)", container: c)`,
    ],
    [
      'a name that cannot be verified',
      { runAsNonRoot: true },
      'app',
      'container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: "p_ns(uid)", container: c)',
    ],
    ['a user that the image lacks', {}, 'ghost', `container c: the image's user "ghost" is not in its /etc/passwd`],
    [
      'a group that the image lacks',
      {},
      '1:ghosts',
      `container c: the image's group "ghosts" is not in its /etc/group`,
    ],
    ['an id outside of the ranges', { runAsUser: 99_999 }, '', 'container c: id 99999 is outside of the ranges'],
    ['a capability that does not exist', { addCapabilities: ['FLY'] }, '', 'unknown capability "FLY"'],
  ])('is refused: %s', (_, security, imageUser, message) => {
    expect(() => apptainerIdentity(plan(security), imageUser, users, ranges)).toThrow(
      expect.objectContaining({ code: 'CreateContainerConfigError', message: expect.stringContaining(message) }),
    );
  });

  it('names what the site must set up for groups', () => {
    expect(() => apptainerIdentity(plan({ supplementalGroups: [7] }), '', users, single)).toThrow('/etc/subuid');
  });

  it('may be any numeric user but root with runAsNonRoot', () => {
    expect(apptainerIdentity(plan({ runAsNonRoot: true }), '1000', users, ranges)).toMatchObject({ uid: 1000 });
  });
});

describe('capabilities', () => {
  const bits = (choice: Parameters<typeof droppedCapabilities>[0]): string =>
    droppedCapabilities(choice)
      .reduce((set, number) => set & ~(1n << BigInt(number)), (1n << 41n) - 1n)
      .toString(16);

  it.each([
    ['the default set of containerd', {}, 'a80425fb'],
    ['none', { drop: ['ALL'] }, '0'],
    ['one', { drop: ['all'], add: ['NET_BIND_SERVICE'] }, '400'],
    ['one less', { drop: ['CAP_CHOWN'] }, 'a80425fa'],
    ['one more', { add: ['SYS_PTRACE'] }, 'a80c25fb'],
    ['all', { add: ['ALL'] }, '1ffffffffff'],
    ['privileged', { privileged: true }, '1ffffffffff'],
  ])('%s', (_, choice, expected) => {
    expect(bits(choice)).toBe(expected);
  });
});

describe('id maps', () => {
  it('are the own id alone for a pod without images', () => {
    expect(ownIdMap(own)).toEqual({
      uids: [{ inside: 5001, outside: 5001, count: 1 }],
      gids: [{ inside: 5002, outside: 5002, count: 1 }],
      canSetGroups: false,
    });
  });
});
