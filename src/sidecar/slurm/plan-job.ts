import { InterlinkError } from '../../base/errors.ts';
import type { RuntimeSettings } from '../../contract/job-directory.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import { wholeUnits } from '../../kube/quantity.ts';
import type { Pod } from '../../kube/types.ts';
import type { SubmitPlan } from '../batch/batch-system.ts';
import { podResources } from '../pod-resources.ts';
import { parseDuration } from './job-row.ts';
import { parseSbatchOptions, renderSbatchOptions, SBATCH_OPTIONS } from './sbatch-options.ts';
import type { SlurmConfig } from './slurm-config.ts';

/** Prefixes of our annotations; the second is what an ancestor of this interface used. */
const PREFIXES = ['slurm-job.vk.io/', 'slurm-job.knoc.io/'];

/** Options that a pod may never set: they are ours, change the identity of the job, or make sbatch do something else than submit. */
const RESERVED = new Set([
  'array',
  'bbf',
  'chdir',
  'clusters',
  'comment',
  'container',
  'container-id',
  'dependency',
  'error',
  'export',
  'export-file',
  'get-user-env',
  'gid',
  'help',
  'ignore-pbs',
  'input',
  'job-name',
  'kill-on-invalid-dep',
  'no-requeue',
  'nodefile',
  'open-mode',
  'output',
  'parsable',
  'propagate',
  'quiet',
  'requeue',
  'signal',
  'test-only',
  'uid',
  'usage',
  'verbose',
  'version',
  'wait',
  'wrap', // biome-ignore format: a list
]);

const MEBIBYTE = 1024 * 1024;
/** Time between Slurm's warning and the kill beyond the pod's grace period, for the runner to write the end. */
const WARNING_MARGIN_SECONDS = 15;
/** Slurm may send the warning up to a minute early, so it makes sense only for limits well above. @see sbatch(1) --signal */
const WARNING_SLACK_SECONDS = 120;

/**
 * Decides how a pod becomes a Slurm job: the site's defaults, over them the pod's `slurm-job.vk.io/flags` as far as the policy lets, over them what the pod asks for
 * in Kubernetes' own terms.
 *
 * @throws Invalid naming the annotation or resource that cannot be had
 */
export function planJob(bundle: PodBundle, config: SlurmConfig): SubmitPlan {
  const { pod } = bundle;
  const annotations = readAnnotations(pod);
  const settings = new Map<string, string | null>(parseSbatchOptions(config.options, 'sidecar.slurm.options'));
  for (const name of ['partition', 'account', 'qos'] as const)
    if (config[name] !== undefined) settings.set(name, config[name]);
  if (config.timeLimitMinutes !== undefined) settings.set('time', String(config.timeLimitMinutes));
  for (const [name, value] of userOptions(annotations, config)) settings.set(name, value);
  applyResources(pod, config, settings);
  applyDeadline(pod, settings);
  const timeLimitSeconds = limitOf(settings.get('time'));
  const warning = (pod.spec?.terminationGracePeriodSeconds ?? 30) + WARNING_MARGIN_SECONDS;
  const isWarned = timeLimitSeconds !== undefined && timeLimitSeconds >= warning + WARNING_SLACK_SECONDS;
  if (isWarned) settings.set('signal', `B:TERM@${warning}`);
  const preExec = annotations.get('pre-exec');
  if (preExec !== undefined && !config.policy.preExec) throw forbidden('pre-exec', 'sidecar.slurm.policy.preExec');
  const runtime = runtimeChanges(annotations, config);
  return {
    options: renderSbatchOptions(settings),
    ...(timeLimitSeconds === undefined ? {} : { timeLimitSeconds }),
    ...(isWarned ? { warningSeconds: warning } : {}),
    ...(preExec === undefined ? {} : { preExec }),
    ...(runtime ? { runtime } : {}),
  };
}

/** Annotations that have a meaning here. Others under our prefixes are refused: what they ask for would silently not happen. */
const ANNOTATIONS = ['flags', 'pre-exec', 'image-root', 'singularity-options', 'apptainer-options'];

function readAnnotations(pod: Pod): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(pod.metadata?.annotations ?? {})) {
    const prefix = PREFIXES.find((candidate) => key.startsWith(candidate));
    if (prefix === undefined) continue;
    const name = key.slice(prefix.length);
    if (!ANNOTATIONS.includes(name))
      throw new InterlinkError(
        'Invalid',
        `annotation ${key} is not supported here; this site knows ${ANNOTATIONS.join(', ')}`,
        {
          code: 'slurm.annotation',
        },
      );
    if (value.trim() !== '') found.set(name, value);
  }
  return found;
}

function userOptions(
  annotations: ReadonlyMap<string, string>,
  { policy }: SlurmConfig,
): ReadonlyMap<string, string | null> {
  const source = `annotation ${PREFIXES[0]}flags`;
  const options = parseSbatchOptions(annotations.get('flags') ?? '', source);
  for (const name of options.keys())
    if (RESERVED.has(name))
      throw new InterlinkError('Invalid', `${source}: --${name} is interlink's own and cannot be set`, {
        code: 'slurm.option',
      });
    else if (!policy.allowFlags.includes(name) || policy.denyFlags.includes(name))
      throw new InterlinkError(
        'Invalid',
        `${source}: --${name} is not allowed at this site; allowed are ${policy.allowFlags.filter((flag) => !policy.denyFlags.includes(flag)).join(', ')}`,
        { code: 'slurm.option' },
      );
  return options;
}

function applyResources(pod: Pod, config: SlurmConfig, settings: Map<string, string | null>): void {
  const gres = new Map<string, number>();
  for (const [name, quantity] of podResources(pod)) {
    const units = wholeUnits(quantity);
    if (units === 0) continue;
    if (name === 'cpu') settings.set('cpus-per-task', String(units));
    else if (name === 'memory') {
      for (const other of ['mem-per-cpu', 'mem-per-gpu']) settings.delete(other);
      settings.set('mem', `${Math.ceil(units / MEBIBYTE) + config.runnerMemoryMiB}M`);
    } else if (name === 'ephemeral-storage') {
      // Without that the runner keeps the limit, and the request is only counted by Kubernetes.
      if (config.requestTmp) settings.set('tmp', `${Math.ceil(units / MEBIBYTE)}M`);
    } else if (config.gpus[name] !== undefined) gres.set(config.gpus[name], (gres.get(config.gpus[name]) ?? 0) + units);
    else
      throw new InterlinkError(
        'Invalid',
        `the pod asks for ${name}, which this site cannot give; it has ${['cpu', 'memory', ...Object.keys(config.gpus)].join(', ')}`,
        { code: 'slurm.resource' },
      );
  }
  if (gres.size === 0) return;
  for (const other of ['gpus', 'gpus-per-node', 'gpus-per-task', 'gpus-per-socket']) settings.delete(other);
  settings.set('gres', [...gres].map(([type, count]) => `${type}:${count}`).join(','));
}

/** The runner ends the pod at its deadline; Slurm's limit, in whole minutes, is the net below it and leaves room for the grace period. */
function applyDeadline(pod: Pod, settings: Map<string, string | null>): void {
  const deadline = pod.spec?.activeDeadlineSeconds;
  if (deadline === undefined) return;
  const seconds = deadline + (pod.spec?.terminationGracePeriodSeconds ?? 30) + WARNING_MARGIN_SECONDS;
  const limit = limitOf(settings.get('time'));
  if (limit === undefined || limit > seconds) settings.set('time', String(Math.ceil(seconds / 60)));
}

/** Seconds of a `--time`: minutes, `min:sec`, `h:m:s`, `d-h`, `d-h:m`, `d-h:m:s`; 0 means no limit. @see sbatch(1) --time */
function limitOf(text: string | null | undefined): number | undefined {
  if (text === undefined || text === null) return undefined;
  const [, days, rest = ''] = /^(?:(\d+)-)?(.+)$/.exec(text) ?? [];
  const parts = rest.split(':').length;
  const padded =
    days !== undefined ? `${days}-${rest}${':00'.repeat(Math.max(0, 3 - parts))}` : parts === 1 ? `${rest}:00` : rest;
  return parseDuration(padded) || undefined;
}

function runtimeChanges(
  annotations: ReadonlyMap<string, string>,
  { policy }: SlurmConfig,
): Partial<RuntimeSettings> | undefined {
  const imagePrefix = annotations.get('image-root');
  const options = annotations.get('apptainer-options') ?? annotations.get('singularity-options');
  if (imagePrefix === undefined && options === undefined) return undefined;
  if (imagePrefix !== undefined && !policy.imageRoot) throw forbidden('image-root', 'sidecar.slurm.policy.imageRoot');
  if (options !== undefined && !policy.runtimeOptions)
    throw forbidden('singularity-options', 'sidecar.slurm.policy.runtimeOptions');
  return {
    ...(imagePrefix === undefined ? {} : { imagePrefix }),
    ...(options === undefined ? {} : { options: options.split(/\s+/).filter((word) => word !== '') }),
  };
}

function forbidden(name: string, key: string): InterlinkError {
  return new InterlinkError(
    'Invalid',
    `annotation ${PREFIXES[0]}${name} is not allowed at this site; its administrator can set ${key}`,
    {
      code: 'slurm.policy',
    },
  );
}

/** Options that a policy may name. */
export const POLICY_OPTIONS: readonly string[] = Object.keys(SBATCH_OPTIONS).filter((name) => !RESERVED.has(name));
