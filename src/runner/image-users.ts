/** A line of the image's `/etc/passwd`. */
export interface ImageUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** The user database of an image. */
export interface ImageUsers {
  byId(uid: number): ImageUser | undefined;
  byName(name: string): ImageUser | undefined;
  groupId(name: string): number | undefined;
  /** The groups that list the user as a member. */
  groupsOf(name: string): readonly number[];
}

/** Reads `/etc/passwd` and `/etc/group` as text; lines that make no sense are left out. */
export function parseImageUsers(passwd: string, group: string): ImageUsers {
  const users = passwd.split('\n').flatMap((line): ImageUser[] => {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':');
    return isId(uid) && isId(gid) && name !== ''
      ? [{ name, uid: Number(uid), gid: Number(gid), home: home || '/' }]
      : [];
  });
  const groups = group.split('\n').flatMap((line) => {
    const [name = '', , gid = '', members = ''] = line.trim().split(':');
    return isId(gid) && name !== '' ? [{ name, gid: Number(gid), members: members.split(',') }] : [];
  });
  return {
    byId: (uid) => users.find((user) => user.uid === uid),
    byName: (name) => users.find((user) => user.name === name),
    groupId: (name) => groups.find((entry) => entry.name === name)?.gid,
    groupsOf: (name) => groups.filter(({ members }) => members.includes(name)).map(({ gid }) => gid),
  };
}

function isId(text: string): boolean {
  return /^\d+$/.test(text);
}
