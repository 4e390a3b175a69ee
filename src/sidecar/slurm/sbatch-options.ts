import { InterlinkError } from '../../base/errors.ts';
import { nearest } from '../../base/nearest.ts';

/** `none`: a switch; `value`: takes one; `optional`: takes one only behind `=` (long) or glued to the letter (short). */
type Takes = 'none' | 'value' | 'optional';

interface SbatchOption {
  readonly short?: string;
  readonly takes: Takes;
}

/** Every option of sbatch, by its long name. @see sbatch(1) 22.05 and 24.11 */
export const SBATCH_OPTIONS: Readonly<Record<string, SbatchOption>> = {
  account: { short: 'A', takes: 'value' },
  'acctg-freq': { takes: 'value' },
  array: { short: 'a', takes: 'value' },
  batch: { takes: 'value' },
  bb: { takes: 'value' },
  bbf: { takes: 'value' },
  begin: { short: 'b', takes: 'value' },
  chdir: { short: 'D', takes: 'value' },
  'cluster-constraint': { takes: 'value' },
  clusters: { short: 'M', takes: 'value' },
  comment: { takes: 'value' },
  constraint: { short: 'C', takes: 'value' },
  container: { takes: 'value' },
  'container-id': { takes: 'value' },
  contiguous: { takes: 'none' },
  'core-spec': { short: 'S', takes: 'value' },
  'cores-per-socket': { takes: 'value' },
  'cpu-freq': { takes: 'value' },
  'cpus-per-gpu': { takes: 'value' },
  'cpus-per-task': { short: 'c', takes: 'value' },
  deadline: { takes: 'value' },
  'delay-boot': { takes: 'value' },
  dependency: { short: 'd', takes: 'value' },
  distribution: { short: 'm', takes: 'value' },
  error: { short: 'e', takes: 'value' },
  exclude: { short: 'x', takes: 'value' },
  exclusive: { takes: 'optional' },
  export: { takes: 'value' },
  'export-file': { takes: 'value' },
  extra: { takes: 'value' },
  'extra-node-info': { short: 'B', takes: 'value' },
  'get-user-env': { takes: 'optional' },
  gid: { takes: 'value' },
  'gpu-bind': { takes: 'value' },
  'gpu-freq': { takes: 'value' },
  gpus: { short: 'G', takes: 'value' },
  'gpus-per-node': { takes: 'value' },
  'gpus-per-socket': { takes: 'value' },
  'gpus-per-task': { takes: 'value' },
  gres: { takes: 'value' },
  'gres-flags': { takes: 'value' },
  help: { short: 'h', takes: 'none' },
  hint: { takes: 'value' },
  hold: { short: 'H', takes: 'none' },
  'ignore-pbs': { takes: 'none' },
  input: { short: 'i', takes: 'value' },
  'job-name': { short: 'J', takes: 'value' },
  'kill-on-invalid-dep': { takes: 'value' },
  licenses: { short: 'L', takes: 'value' },
  'mail-type': { takes: 'value' },
  'mail-user': { takes: 'value' },
  'mcs-label': { takes: 'value' },
  mem: { takes: 'value' },
  'mem-bind': { takes: 'value' },
  'mem-per-cpu': { takes: 'value' },
  'mem-per-gpu': { takes: 'value' },
  mincpus: { takes: 'value' },
  network: { takes: 'value' },
  nice: { takes: 'optional' },
  'no-kill': { short: 'k', takes: 'optional' },
  'no-requeue': { takes: 'none' },
  nodefile: { short: 'F', takes: 'value' },
  nodelist: { short: 'w', takes: 'value' },
  nodes: { short: 'N', takes: 'value' },
  ntasks: { short: 'n', takes: 'value' },
  'ntasks-per-core': { takes: 'value' },
  'ntasks-per-gpu': { takes: 'value' },
  'ntasks-per-node': { takes: 'value' },
  'ntasks-per-socket': { takes: 'value' },
  'open-mode': { takes: 'value' },
  output: { short: 'o', takes: 'value' },
  overcommit: { short: 'O', takes: 'none' },
  oversubscribe: { short: 's', takes: 'none' },
  parsable: { takes: 'none' },
  partition: { short: 'p', takes: 'value' },
  power: { takes: 'value' },
  prefer: { takes: 'value' },
  priority: { takes: 'value' },
  profile: { takes: 'value' },
  propagate: { takes: 'optional' },
  qos: { short: 'q', takes: 'value' },
  quiet: { short: 'Q', takes: 'none' },
  reboot: { takes: 'none' },
  requeue: { takes: 'none' },
  reservation: { takes: 'value' },
  resv_ports: { takes: 'optional' },
  segment: { takes: 'value' },
  signal: { takes: 'value' },
  'sockets-per-node': { takes: 'value' },
  'spread-job': { takes: 'none' },
  stepmgr: { takes: 'none' },
  switches: { takes: 'value' },
  'test-only': { takes: 'none' },
  'thread-spec': { takes: 'value' },
  'threads-per-core': { takes: 'value' },
  time: { short: 't', takes: 'value' },
  'time-min': { takes: 'value' },
  tmp: { takes: 'value' },
  'tres-bind': { takes: 'value' },
  'tres-per-task': { takes: 'value' },
  uid: { takes: 'value' },
  usage: { takes: 'none' },
  'use-min-nodes': { takes: 'none' },
  verbose: { short: 'v', takes: 'none' },
  version: { short: 'V', takes: 'none' },
  wait: { short: 'W', takes: 'none' },
  'wait-all-nodes': { takes: 'value' },
  wckey: { takes: 'value' },
  wrap: { takes: 'value' },
};

const BY_SHORT = new Map(
  Object.entries(SBATCH_OPTIONS).flatMap(([name, { short }]) => (short === undefined ? [] : [[short, name] as const])),
);

/** Options by long name; null for a switch without a value. A later one replaces an earlier one. */
export type SbatchSettings = ReadonlyMap<string, string | null>;

/**
 * Reads a command line of sbatch options as a shell and sbatch would (quotes, `--name=value`, `--name value`, `-n value`, `-nvalue`, grouped switches), without
 * any expansion.
 *
 * @param source names the text in errors
 * @throws Invalid for anything that is no option of sbatch
 */
export function parseSbatchOptions(text: string, source: string): SbatchSettings {
  const words = splitWords(text, source);
  const settings = new Map<string, string | null>();
  const refuse = (reason: string): never => {
    throw new InterlinkError('Invalid', `${source}: ${reason}`, { code: 'slurm.option' });
  };
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const current = word;
    const valueFor = (name: string, glued: string | undefined): string | null => {
      const takes = SBATCH_OPTIONS[name]?.takes ?? 'none';
      if (takes === 'none' && glued !== undefined) refuse(`${current}: --${name} takes no value`);
      if (takes !== 'value' || glued !== undefined) return glued ?? null;
      const next = words.shift();
      return next ?? refuse(`${current} needs a value`);
    };
    if (word.startsWith('--')) {
      const [, given = '', glued] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
      const name = longName(given) ?? refuse(`${word} is no option of sbatch${hint(given)}`);
      settings.set(name, valueFor(name, glued));
    } else if (/^-[A-Za-z]/.test(word)) {
      for (let rest = word.slice(1); rest !== ''; ) {
        const letter = rest.charAt(0);
        const name = BY_SHORT.get(letter) ?? refuse(`-${letter} is no option of sbatch`);
        const behind = rest.slice(1);
        if (SBATCH_OPTIONS[name]?.takes === 'none') {
          settings.set(name, null);
          rest = behind;
        } else {
          settings.set(name, valueFor(name, behind === '' ? undefined : behind));
          rest = '';
        }
      }
    } else refuse(`${JSON.stringify(word)} is no option; quote values that hold blanks`);
  }
  return settings;
}

/** The options as arguments, one each. */
export function renderSbatchOptions(settings: SbatchSettings): readonly string[] {
  return [...settings].map(([name, value]) => (value === null ? `--${name}` : `--${name}=${value}`));
}

/** The option that `given` names: in full, or abbreviated without ambiguity as getopt_long allows. */
function longName(given: string): string | undefined {
  if (given in SBATCH_OPTIONS) return given;
  const candidates = given === '' ? [] : Object.keys(SBATCH_OPTIONS).filter((name) => name.startsWith(given));
  return candidates.length === 1 ? candidates[0] : undefined;
}

function hint(given: string): string {
  const name = nearest(given, Object.keys(SBATCH_OPTIONS));
  return name === undefined ? '' : `; did you mean --${name}?`;
}

/** Words with a shell's quoting. Nothing is expanded: the text never reaches a shell. */
function splitWords(text: string, source: string): string[] {
  if (/[\0\r]/.test(text))
    throw new InterlinkError('Invalid', `${source}: holds a control character`, { code: 'slurm.option' });
  const words: string[] = [];
  const pattern = /\s*((?:[^\s"'\\]|\\[\s\S]|"(?:[^"\\]|\\[\s\S])*"|'[^']*')+)/gy;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    end = match.index + match[0].length;
    const word = (match[1] ?? '').replaceAll(
      /\\([\s\S])|"((?:[^"\\]|\\[\s\S])*)"|'([^']*)'/g,
      (_all, escaped, double, single) =>
        escaped ?? (double === undefined ? single : (double as string).replaceAll(/\\(["\\$`])/g, '$1')),
    );
    if (word.includes('\n'))
      throw new InterlinkError('Invalid', `${source}: a value holds a line break`, { code: 'slurm.option' });
    words.push(word);
  }
  if (text.slice(end).trim() !== '')
    throw new InterlinkError('Invalid', `${source}: unbalanced quotes in ${JSON.stringify(text.slice(end).trim())}`, {
      code: 'slurm.option',
    });
  return words;
}
