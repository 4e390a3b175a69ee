/**
 * Numbers of the Linux kernel's interface, the same on x86-64 and arm64.
 *
 * @see https://github.com/torvalds/linux/tree/master/include/uapi/linux (sched.h, mount.h, prctl.h, fcntl.h, seccomp.h)
 */
export const LINUX = {
  CLONE_NEWNS: 0x0002_0000,
  CLONE_NEWUTS: 0x0400_0000,
  CLONE_NEWIPC: 0x0800_0000,
  CLONE_NEWUSER: 0x1000_0000,
  CLONE_NEWPID: 0x2000_0000,

  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_REMOUNT: 32,
  MS_BIND: 0x1000,
  MS_REC: 0x4000,
  MS_PRIVATE: 0x4_0000,
  MS_SLAVE: 0x8_0000,
  MNT_DETACH: 2,
  MOUNT_ATTR_RDONLY: 1,

  PR_SET_PDEATHSIG: 1,
  PR_SET_DUMPABLE: 4,
  PR_CAPBSET_DROP: 24,
  PR_SET_NO_NEW_PRIVS: 38,

  AT_FDCWD: -100,
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_REMOVEDIR: 0x200,
  AT_RECURSIVE: 0x8000,
  O_WRONLY: 1,
  O_CLOEXEC: 0x8_0000,
  F_SETFD: 2,
  FD_CLOEXEC: 1,
  S_IFREG: 0x8000,
  S_IFIFO: 0x1000,

  SIGKILL: 9,
  SIGCHLD: 17,
  TIOCSCTTY: 0x540e,
  TIOCSPTLCK: 0x4004_5431,
  SECCOMP_SET_MODE_FILTER: 1,

  EPERM: 1,
  ENOENT: 2,
  EACCES: 13,
  EEXIST: 17,
  ENOTDIR: 20,
  EINVAL: 22,
} as const;
