import { z } from 'zod';

/** What users may set by `slurm-job.vk.io/flags` unless the site says otherwise: choices of where and how large, nothing that touches files or identity. */
const ALLOWED_FLAGS = [
  'account',
  'begin',
  'constraint',
  'contiguous',
  'cores-per-socket',
  'cpus-per-gpu',
  'cpus-per-task',
  'deadline',
  'distribution',
  'exclude',
  'exclusive',
  'gpu-bind',
  'gpus',
  'gpus-per-node',
  'gpus-per-task',
  'gres',
  'gres-flags',
  'hint',
  'hold',
  'licenses',
  'mail-type',
  'mail-user',
  'mem',
  'mem-per-cpu',
  'mem-per-gpu',
  'mincpus',
  'nice',
  'nodelist',
  'nodes',
  'ntasks',
  'ntasks-per-node',
  'partition',
  'prefer',
  'qos',
  'reservation',
  'sockets-per-node',
  'switches',
  'threads-per-core',
  'time',
  'time-min',
  'tmp',
  'wckey', // biome-ignore format: a list
];

/** Configuration of the Slurm back end. */
export const slurmConfig = z.strictObject({
  sbatch: z.string().min(1).default('sbatch').describe('program that submits; looked up in PATH unless it has a slash'),
  squeue: z.string().min(1).default('squeue').describe('program that lists the queue'),
  scancel: z.string().min(1).default('scancel').describe('program that signals and cancels'),
  sacct: z.string().min(1).default('sacct').describe('program that asks accounting'),
  sinfo: z.string().min(1).default('sinfo').describe('program that lists nodes'),
  accounting: z
    .boolean()
    .default(true)
    .describe('ask accounting for jobs that have left the queue, where Slurm keeps accounts'),
  partition: z
    .string()
    .min(1)
    .optional()
    .describe('partition of jobs whose pod names none; also the one whose nodes are counted'),
  account: z.string().min(1).optional().describe('account of jobs whose pod names none'),
  qos: z.string().min(1).optional().describe('quality of service of jobs whose pod names none'),
  timeLimitMinutes: z
    .int()
    .min(1)
    .optional()
    .describe("time limit of jobs whose pod names none; unset takes the partition's"),
  options: z.string().default('').describe('further sbatch options of every job, as on a command line'),
  runnerMemoryMiB: z.int().min(0).default(64).describe("memory added to the pod's own for the runner"),
  requestTmp: z
    .boolean()
    .default(false)
    .describe('ask by --tmp for the ephemeral-storage of a pod; needs TmpDisk of the nodes in slurm.conf'),
  gpus: z
    .record(z.string(), z.string().regex(/^[A-Za-z]\w*(:[A-Za-z][\w.-]*)?$/))
    .default({ 'nvidia.com/gpu': 'gpu', 'amd.com/gpu': 'gpu' })
    .describe('resource of Kubernetes → generic resource of Slurm, e.g. nvidia.com/gpu: gpu:a100'),
  environment: z
    .record(z.string(), z.string())
    .default({})
    .describe('variables for the Slurm commands, e.g. SLURM_CONF; nothing else is inherited but PATH'),
  policy: z
    .strictObject({
      allowFlags: z
        .array(z.string())
        .default(ALLOWED_FLAGS)
        .describe('sbatch options that a pod may set by annotation, by long name'),
      denyFlags: z.array(z.string()).default([]).describe('sbatch options taken out of allowFlags'),
      preExec: z.boolean().default(false).describe('let a pod run shell text in its job before the runner'),
      imageRoot: z.boolean().default(true).describe('let a pod choose the prefix of its image names'),
      runtimeOptions: z.boolean().default(false).describe('let a pod add options for the container runtime'),
    })
    .prefault({})
    .describe('what pods may decide'),
});

/** The parsed subsection. */
export type SlurmConfig = z.output<typeof slurmConfig>;
