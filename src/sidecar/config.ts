import { z } from 'zod';
import { messageOf } from '../base/errors.ts';
import { RUNTIME_NAMES } from '../contract/job-directory.ts';
import { parseQuantity, wholeUnits } from '../kube/quantity.ts';
import { localConfig } from './local/local-config.ts';
import { policyConfig, volumesConfig } from './site-config.ts';
import { slurmConfig } from './slurm/slurm-config.ts';

const seconds = (least: number) => z.number().min(least);

/** A quantity of bytes, as `200Gi`. */
const bytes = z.union([z.string(), z.int()]).transform((value, context) => {
  try {
    const size = wholeUnits(parseQuantity(value));
    if (size >= 1) return size;
    context.addIssue('must be at least one byte');
  } catch (error) {
    context.addIssue(messageOf(error));
  }
  return z.NEVER;
});

/** `host[:port][/path]`. */
const imageRepository = z
  .string()
  .refine((text) => IMAGE_REPOSITORY.test(text), 'must be a registry with or without a path, e.g. harbor.site/hub');
const IMAGE_REPOSITORY = /^[\w.-]+(:\d+)?(\/[a-z0-9._-]+)*$/i;

/** Section `sidecar` of the configuration file. Which back end is used is told by the command (`interlink sidecar slurm`). */
export const sidecarConfig = z.strictObject({
  stateDirectory: z
    .string()
    .startsWith('/')
    .optional()
    .describe(
      'journal and job directories, on a file system that the workers see too; ~/.local/state/interlink/KIND unless set',
    ),
  listen: z
    .string()
    .optional()
    .describe(
      'where the sidecar is served: unix:/path or http://127.0.0.1:port; sidecar.sock in the state directory unless set',
    ),
  insecureListen: z
    .boolean()
    .default(false)
    .describe('serve other addresses than unix sockets although nothing here asks who calls; put a proxy in front'),
  pollIntervalSeconds: seconds(0.1)
    .default(10)
    .describe('time between two questions about all jobs to the batch system'),
  pollSoonSeconds: seconds(0.1).default(2).describe('least time between two such questions when something cannot wait'),
  submitConcurrency: z.int().min(1).default(4).describe('submit commands at a time'),
  submitTimeoutSeconds: seconds(1).default(60).describe('time limit of a submit command; after it the queue is asked'),
  commandTimeoutSeconds: seconds(1).default(60).describe('time limit of every other command'),
  createWaitSeconds: seconds(1)
    .default(60)
    .describe('time a create waits for its job id; the submission goes on after it'),
  settleSeconds: seconds(0)
    .default(30)
    .describe('time after which a job that the queue does not show was not submitted'),
  lostGraceSeconds: seconds(0).default(300).describe('time after which a job that nobody knows is lost'),
  recordGraceSeconds: seconds(0)
    .default(3)
    .describe("time a runner's last words may need to be seen over the shared file system"),
  lingerSeconds: seconds(1).default(60).describe('time after which a job whose pod has ended is cancelled'),
  stopMarginSeconds: seconds(1).default(10).describe("time after a pod's grace period until its job is cancelled"),
  retentionSeconds: seconds(0).default(600).describe('time that logs of a deleted pod are kept'),
  tombstoneSeconds: seconds(60).default(604_800).describe('time that the UID of a deleted pod is refused'),
  heartbeatSeconds: seconds(1).max(15).default(10).describe('time between heartbeats of a silent watch'),
  orphans: z
    .strictObject({
      action: z
        .enum(['report', 'cancel'])
        .default('report')
        .describe('what happens to jobs with our tag and no record'),
      graceSeconds: seconds(0).default(600).describe('time before such a job is cancelled'),
    })
    .prefault({}),
  channel: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .describe('let runners connect for live news; without it the job directories are read'),
      listen: z
        .string()
        .optional()
        .describe(
          'host:port on which runners connect by TLS; 0.0.0.0 and a port that is kept unless set; local uses a unix socket',
        ),
      advertise: z
        .array(z.string())
        .optional()
        .describe('host names or addresses by which workers reach this machine; its own name and addresses unless set'),
    })
    .prefault({}),
  runtime: z
    .strictObject({
      name: z.enum(RUNTIME_NAMES).default('apptainer').describe('how containers are made on the workers'),
      program: z
        .string()
        .optional()
        .describe('program on the workers that pulls images; apptainer, podman or ch-image unless set'),
      options: z.array(z.string()).optional().describe("options of the site in the runtime's own words, e.g. --nv"),
      imageMap: z.record(z.string(), z.string()).optional().describe('image name or prefix → SIF file or directory'),
      imagePrefix: z.string().optional().describe('put before image names without a scheme; docker:// unless set'),
      imageMirrors: z
        .record(z.string(), imageRepository)
        .optional()
        .describe('registry or beginning of a repository → where it is mirrored, e.g. docker.io: harbor.site/hub'),
      imageAllow: z
        .array(z.string().min(1))
        .optional()
        .describe('globs of full image names that pods may use, e.g. docker.io/library/*, ghcr.io/**; all unless set'),
      imagePaths: z
        .array(z.string().startsWith('/'))
        .default(['/cvmfs'])
        .describe('directories below which pods may name images by path'),
      imageCache: z
        .string()
        .startsWith('/')
        .optional()
        .describe(
          'directory of pulled images, on a file system that the workers see; images in the state directory unless set, ' +
            'with podman /var/tmp/interlink-UID/images on each worker (to be kept from systemd-tmpfiles)',
        ),
      imageCacheBytes: bytes
        .prefault('200Gi')
        .describe('size of that directory; images are removed from it that have not been used for the longest time'),
    })
    .prefault({}),
  scratch: z
    .array(z.string().regex(/^[/$]/, 'must be an absolute path or begin with a variable'))
    .default(['$SLURM_TMPDIR', '$TMPDIR', '/tmp'])
    .describe(
      'directories on the workers for emptyDir volumes, the first that can be used; $NAME is a variable of the job. Else the job directory',
    ),
  volumes: volumesConfig.prefault({}).describe("places on the site's file systems that pods may have as volumes"),
  policy: policyConfig.prefault({}).describe('what pods may ask for by their security contexts'),
  pods: z.int().min(1).default(1_000).describe('pods that the node may hold'),
  taints: z
    .array(
      z.strictObject({
        key: z.string().min(1),
        value: z.string().optional(),
        effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
      }),
    )
    .optional()
    .describe('taints that the node shall have; unset leaves them alone'),
  slurm: slurmConfig.prefault({}).describe('Slurm back end'),
  local: localConfig.prefault({}).describe('local back end'),
});

/** Parsed section `sidecar`. */
export type SidecarConfig = z.output<typeof sidecarConfig>;
