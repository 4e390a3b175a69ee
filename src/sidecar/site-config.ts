import { z } from 'zod';

const absolutePath = z
  .string()
  .regex(/^\/(?!(.*\/)?\.\.(\/|$))/, 'must be an absolute path without ".."')
  .transform((path) => path.replace(/\/+/g, '/').replace(/(.)\/$/, '$1'));

/** Places on the site's file systems that pods may have as volumes. */
export const volumesConfig = z.strictObject({
  hostPaths: z
    .array(
      z.strictObject({
        path: absolutePath.describe('what a hostPath volume may name, with all that lies below'),
        rewrite: absolutePath.optional().describe('where that is on the workers; the same path unless set'),
        readOnly: z.boolean().default(false).describe('mount it read-only whatever the pod says'),
        create: z.boolean().default(false).describe('let DirectoryOrCreate and FileOrCreate make what is missing'),
      }),
    )
    .default([])
    .describe('places for hostPath volumes: [{path, rewrite, readOnly, create}]; none unless set'),
  claims: z
    .record(
      z.string().regex(/^([a-z0-9-]+\/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'must be CLAIM or NAMESPACE/CLAIM'),
      z.strictObject({
        path: absolutePath.describe('directory on the workers'),
        readOnly: z.boolean().default(false).describe('mount it read-only whatever the pod says'),
        subPathPerPod: z
          .boolean()
          .default(false)
          .describe('give each pod the directory NAMESPACE/POD in it, which is made and stays'),
      }),
    )
    .default({})
    .describe(
      'directories for PersistentVolumeClaims: {"NAMESPACE/CLAIM" or "CLAIM": {path, readOnly, subPathPerPod}}',
    ),
  cvmfs: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .describe('give CernVM-FS to hostPath volumes below /cvmfs and csi volumes of cvmfs.csi.cern.ch, read-only'),
      root: absolutePath.default('/cvmfs').describe('where CernVM-FS is on the workers'),
      repositories: z.array(z.string().min(1)).optional().describe('repositories that pods may have; all unless set'),
    })
    .prefault({}),
});

/** The parsed subsection. */
export type VolumesConfig = z.output<typeof volumesConfig>;

/**
 * What the baseline of the Pod Security Standards lets a container add, with what containers have anyway and the debugger's.
 * @see https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
 */
const CAPABILITIES = [
  ...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'NET_RAW'],
  ...['SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT', 'SYS_PTRACE'],
];

/** What pods may ask for by their security contexts. */
export const policyConfig = z.strictObject({
  privileged: z
    .boolean()
    .default(false)
    .describe(
      "let containers be privileged: every power inside the pod's user namespace, or over the worker where jobs run as root",
    ),
  capabilities: z
    .array(z.string().min(1))
    .default(CAPABILITIES)
    .describe('capabilities that containers may add; ALL stands for every one'),
  runtimeClasses: z
    .array(z.string().min(1))
    .default(['nvidia'])
    .describe('values of runtimeClassName that pods may have; they change nothing'),
});

/** The parsed subsection. */
export type PolicyConfig = z.output<typeof policyConfig>;
