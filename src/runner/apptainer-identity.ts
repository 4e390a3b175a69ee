import { InterlinkError } from '../base/errors.ts';
import type { ContainerPlan } from './container-runtime.ts';
import type { ImageUsers } from './image-users.ts';
import { droppedCapabilities } from './namespace-capabilities.ts';
import type { Identity } from './namespace-identity.ts';
import { hasId, type IdMap } from './namespace-ids.ts';

/**
 * Who the container runs as: the security context, then the image's USER, then root; the group and the home directory as the image's user database has them.
 *
 * @param ids The ids that the pod has; undefined when it has those of the worker.
 * @throws InterlinkError with code `CreateContainerConfigError` when the user is root and must not be, is unknown to the image, or cannot be had on this worker.
 */
export function apptainerIdentity(
  plan: ContainerPlan,
  imageUser: string,
  users: ImageUsers,
  ids: IdMap | undefined,
): Identity & { readonly home: string } {
  const { security } = plan;
  const [userPart = '', groupPart = ''] = imageUser.split(':');
  const uid = security.runAsUser ?? imageUserId(plan, userPart, users);
  checkNonRoot(plan, uid, userPart);
  const known = users.byId(uid);
  const ownGroup =
    security.runAsUser === undefined && groupPart !== '' ? imageGroupId(plan, groupPart, users) : known?.gid;
  const gid = security.runAsGroup ?? ownGroup ?? 0;
  const asked = security.supplementalGroups ?? [];
  const extra = [...(security.fsGroup === undefined ? [] : [security.fsGroup]), ...asked];
  const fromImage = known === undefined || security.onlyNamedGroups ? [] : users.groupsOf(known.name);
  const groups = [...new Set([gid, ...extra, ...fromImage])];
  return {
    uid,
    gid,
    ...choose(plan, uid, gid, groups, ids),
    dropped: droppedCapabilities({
      privileged: security.privileged ?? false,
      add: security.addCapabilities ?? [],
      drop: security.dropCapabilities ?? [],
    }),
    noNewPrivileges: security.allowPrivilegeEscalation === false,
    seccomp: security.seccomp === 'RuntimeDefault' && security.privileged !== true,
    home: known?.home ?? '/',
  };
}

/** How the ids can be had: they exist in the pod; or the pod has just one, which then gets this name in a user namespace of the container's own. */
function choose(
  plan: ContainerPlan,
  uid: number,
  gid: number,
  groups: readonly number[],
  ids: IdMap | undefined,
): Pick<Identity, 'groups' | 'renamed'> {
  if (ids === undefined) return { groups };
  if (ids.canSetGroups) {
    const missing = hasId(ids.uids, uid) ? [gid, ...groups].find((group) => !hasId(ids.gids, group)) : uid;
    if (missing === undefined) return { groups };
    throw refuse(
      plan,
      `id ${missing} is outside of the ranges that this worker gives its user; ask the administrator for more in /etc/subuid and /etc/subgid`,
    );
  }
  if ((plan.security.supplementalGroups ?? []).some((group) => group !== gid))
    throw refuse(
      plan,
      'securityContext.supplementalGroups needs ranges of ids for the user of the job; ask the administrator for entries in /etc/subuid and /etc/subgid, and newuidmap',
    );
  return { groups: undefined, ...(uid === 0 && gid === 0 ? {} : { renamed: true }) };
}

function checkNonRoot(plan: ContainerPlan, uid: number, userPart: string): void {
  const { security, name, podName } = plan;
  if (!security.runAsNonRoot) return;
  const where = `(pod: ${JSON.stringify(podName ?? '')}, container: ${name})`;
  if (uid === 0)
    throw refuse(
      undefined,
      security.runAsUser === 0
        ? `container's runAsUser breaks non-root policy ${where}`
        : `container has runAsNonRoot and image will run as root ${where}`,
    );
  if (security.runAsUser === undefined && !isNumber(userPart))
    throw refuse(
      undefined,
      `container has runAsNonRoot and image has non-numeric user (${userPart}), cannot verify user is non-root ${where}`,
    );
}

function imageUserId(plan: ContainerPlan, user: string, users: ImageUsers): number {
  if (user === '') return 0;
  if (isNumber(user)) return Number(user);
  const found = users.byName(user);
  if (!found) throw refuse(plan, `the image's user ${JSON.stringify(user)} is not in its /etc/passwd`);
  return found.uid;
}

function imageGroupId(plan: ContainerPlan, group: string, users: ImageUsers): number {
  if (isNumber(group)) return Number(group);
  const found = users.groupId(group);
  if (found === undefined) throw refuse(plan, `the image's group ${JSON.stringify(group)} is not in its /etc/group`);
  return found;
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

function refuse(plan: ContainerPlan | undefined, why: string): InterlinkError {
  return new InterlinkError('Invalid', plan ? `container ${plan.name}: ${why}` : why, {
    code: 'CreateContainerConfigError',
  });
}
