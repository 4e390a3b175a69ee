import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { CommandResult } from '../../../src/base/command.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { parseDuration, parseExitCode, parseJobRow, type SlurmRow } from '../../../src/sidecar/slurm/job-row.ts';
import { planJob } from '../../../src/sidecar/slurm/plan-job.ts';
import { readCapacity } from '../../../src/sidecar/slurm/read-capacity.ts';
import { readAccounts, readQueue } from '../../../src/sidecar/slurm/read-listing.ts';
import { readSubmit } from '../../../src/sidecar/slurm/read-submit.ts';
import { parseSbatchOptions, renderSbatchOptions } from '../../../src/sidecar/slurm/sbatch-options.ts';
import { slurmConfig } from '../../../src/sidecar/slurm/slurm-config.ts';
import { SLURM_STATES } from '../../../src/sidecar/slurm/states.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/slurm/${name}`, import.meta.url), 'utf8');
const result = (change: Partial<CommandResult>): CommandResult => ({
  argv: ['x'],
  exitCode: 0,
  exitSignal: null,
  stdout: '',
  stderr: '',
  timedOut: false,
  truncated: false,
  ...change,
});
const row = (change: Partial<SlurmRow>): SlurmRow => ({
  jobId: '7',
  uid: 'u',
  state: 'RUNNING',
  exitCode: '0',
  reason: 'None',
  startTime: '2026-11-25T15:00:00',
  endTime: '2026-11-25T15:01:00',
  timeLimit: '1:00:00',
  nodeName: 'n1',
  ...change,
});

describe('a row of the queue', () => {
  test.each(Object.entries(SLURM_STATES))('in state %s counts as the table says', (state, { phase }) => {
    const job = parseJobRow(row({ state }));
    expect(job.phase).toBe(phase);
    if (phase !== 'ended') return expect(job.end).toBeUndefined();
    // An end that is not Slurm's own COMPLETED with 0 is never a success.
    expect(job.end?.exitCode === 0).toBe(state === 'COMPLETED');
    expect(job.end?.message).toContain(`Slurm ${state}`);
  });

  test('in a state that nobody knows decides nothing', () => {
    expect(parseJobRow(row({ state: 'TELEPORTING' }))).toMatchObject({ phase: 'unknown', state: 'TELEPORTING' });
  });

  test.each([
    ['42:0', { code: 42, signal: 0 }],
    ['0:15', { code: 0, signal: 15 }],
    ['10752', { code: 42, signal: 0 }],
    ['9', { code: 0, signal: 9 }],
    ['253', { code: 0, signal: 125 }],
    ['', { code: 0, signal: 0 }],
  ])('has in %j exit code and signal', (text, expected) => {
    expect(parseExitCode(text)).toEqual(expected);
  });

  test.each([
    ['FAILED', '42:0', 42],
    ['FAILED', '0:9', 137],
    ['FAILED', '0:0', 1],
    ['COMPLETED', '0:0', 0],
    ['COMPLETED', '3:0', 3],
    ['TIMEOUT', '0:0', 143],
    ['OUT_OF_MEMORY', '0:125', 137],
    ['NODE_FAIL', '1:0', 137],
  ])('%s with %s ends containers with %i', (state, exitCode, expected) => {
    expect(parseJobRow(row({ state, exitCode })).end?.exitCode).toBe(expected);
  });

  test('tells the time limit, who cancelled it, and where it ran', () => {
    expect(parseJobRow(row({ state: 'TIMEOUT', timeLimit: '1-02:00:00' })).end?.message).toBe(
      'job 7: Slurm TIMEOUT after 1-02:00:00 (on n1)',
    );
    expect(parseJobRow(row({ state: 'CANCELLED by 0' })).end?.message).toContain('Slurm CANCELLED by user 0');
  });

  test.each([
    ['Resources', 'Resources'],
    ['Priority', 'Priority'],
    ['None', 'Queued'],
    ['JobHeldUser', 'Held'],
    ['JobHeldAdmin', 'Held'],
    ['ReqNodeNotAvail, UnavailableNodes:n1', 'ReqNodeNotAvail'],
  ])('that is pending for %j waits for %s', (reason, expected) => {
    const { waiting } = parseJobRow(row({ state: 'PENDING', reason }));
    expect(waiting?.reason).toBe(expected);
    expect(waiting?.message).toContain('Slurm job 7 is pending');
  });

  test.each([
    ['1:00', 60],
    ['1:00:00', 3_600],
    ['2-00:00:01', 172_801],
    ['UNLIMITED', undefined],
    ['Partition_Limit', undefined],
  ])('has in the limit %s %s seconds', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });
});

describe('squeue', () => {
  test('as captured gives every job with its pod', () => {
    const { jobs, complete } = readQueue(result({ stdout: fixture('squeue-22.05.txt') }), 'site');
    expect(complete).toBe(true);
    const states = Object.fromEntries(
      jobs.map((job) => [job.uid?.[0], `${job.phase} ${job.state} ${job.end?.exitCode ?? job.waiting?.reason ?? ''}`]),
    );
    expect(states).toEqual({
      1: 'ended FAILED 129',
      2: 'ended FAILED 42',
      3: 'ended FAILED 137',
      4: 'ended OUT_OF_MEMORY 137',
      5: 'pending PENDING PartitionTimeLimit',
      6: 'pending PENDING Held',
      7: 'running RUNNING ',
      8: 'ended COMPLETED 0',
    });
    expect(jobs.filter(({ refused }) => refused).map(({ uid }) => uid?.[0])).toEqual(['1']);
  });

  test('shows jobs of other sidecars without a pod, and ours by name where the comment was replaced', () => {
    const line = (name: string, comment: string): string =>
      ['1', 'RUNNING', '0', 'None', 'a', 'b', '1:00', 'n1', name, comment, ''].join('\u001f');
    const stdout = [line('il-a', 'interlink/1:other:a'), line('il-b', 'by the site'), line('job', '(null)')].join('\n');
    expect(readQueue(result({ stdout }), 'site').jobs.map(({ uid }) => uid)).toEqual([undefined, 'b', undefined]);
  });

  test('with a stray line is true in what it shows but not complete', () => {
    const listing = readQueue(result({ stdout: `Welcome\n${fixture('squeue-22.05.txt')}` }), 'site');
    expect(listing.complete).toBe(false);
    expect(listing.jobs.length).toBeGreaterThan(0);
  });

  test.each([
    [
      'fails',
      { exitCode: 1, stderr: 'slurm_load_jobs error: Unable to contact slurm controller\n' },
      /Unable to contact/,
    ],
    ['prints only something else', { stdout: 'Welcome to the cluster\n' }, /Welcome to the cluster/],
    ['prints an error and succeeds', { stderr: 'slurm_load_jobs error: Zero Bytes' }, /Zero Bytes/],
    ['dies', { exitCode: null, exitSignal: 'SIGKILL' as const }, /SIGKILL/],
  ])('that %s is an error with its words', (_how, change, words) => {
    expect(() => readQueue(result(change), 'site')).toThrow(words);
  });

  test('with a banner on stderr is as good as without', () => {
    expect(readQueue(result({ stderr: 'maintenance on Friday' }), 'site')).toEqual({ jobs: [], complete: true });
  });

  test('that was cut off is not complete', () => {
    expect(readQueue(result({ stdout: fixture('squeue-22.05.txt'), truncated: true }), 'site').complete).toBe(false);
  });
});

describe('sacct', () => {
  test('gives states with who cancelled and exit codes as pairs', () => {
    const stdout = ['9', 'CANCELLED by 1000', '0:15', 'None', 'a', 'b', '01:00:00', 'n2', 'il-x'].join('\u001f');
    expect(readAccounts(result({ stdout: `${stdout}\n` }))).toMatchObject([
      { jobId: '9', uid: 'x', phase: 'ended', end: { exitCode: 143, podReason: 'Cancelled' } },
    ]);
  });

  test('without accounting is told from one that fails', () => {
    expect(readAccounts(result({ exitCode: 1, stderr: 'Slurm accounting storage is disabled' }))).toBeUndefined();
    expect(() => readAccounts(result({ exitCode: 1, stderr: 'sacct: error: Connection refused' }))).toThrow(/refused/);
  });
});

describe('sbatch', () => {
  test.each([
    ['an id', { stdout: '12\n' }],
    ['an id with a cluster', { stdout: '12;lab\n' }],
    ['a banner on stderr', { stdout: '12\n', stderr: 'sbatch: lua: error in your favourite partition\n' }],
    ['a banner on stdout', { stdout: 'Hello user\n12\n' }],
  ])('with %s has submitted', (_how, change) => {
    expect(readSubmit(result(change))).toEqual({ kind: 'submitted', jobId: '12' });
  });

  test.each([
    ['ran out of time', { timedOut: true, exitCode: null, exitSignal: 'SIGTERM' as const }],
    ['was killed', { exitCode: null, exitSignal: 'SIGKILL' as const }],
    ['printed an id and failed', { exitCode: 1, stdout: '12\n' }],
    [
      'lost the controller',
      { exitCode: 1, stderr: 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' },
    ],
    [
      'could not reach the controller',
      { exitCode: 1, stderr: 'sbatch: error: Unable to contact slurm controller (connect failure)' },
    ],
    ['succeeded without an id', { stdout: 'Welcome\n' }],
    ['succeeded with two ids', { stdout: '1\n2\n' }],
  ])('that %s leaves the outcome open', (_how, change) => {
    expect(readSubmit(result(change)).kind).toBe('unknown');
  });

  test.each([
    ['Batch job submission failed: Invalid partition name specified', 'Invalid'],
    ['Batch job submission failed: Invalid account or account/partition combination specified', 'Invalid'],
    ['Batch job submission failed: Requested node configuration is not available', 'Invalid'],
    ['Memory specification can not be satisfied', 'Invalid'],
    ['Batch job submission failed: Invalid qos specification', 'Invalid'],
    ['Batch job submission failed: Invalid generic resource (gres) specification', 'Invalid'],
    ['Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)', 'Invalid'],
    ['QOSMaxSubmitJobPerUserLimit', 'TooManyRequests'],
    [
      "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
      'TooManyRequests',
    ],
    ['Batch job submission failed: Slurm temporarily unable to accept job, sleeping and retrying', 'Unavailable'],
    ['Batch job submission failed: Something new', 'Unavailable'],
  ])('that says %j has refused: %s', (stderr, kind) => {
    expect(() => readSubmit(result({ exitCode: 1, stderr: `sbatch: error: ${stderr}\n` }))).toThrow(
      expect.objectContaining({ kind, message: expect.stringContaining(stderr) }),
    );
  });
});

describe('sbatch options of a pod', () => {
  test.each([
    ['-p gpu -A me', ['--partition=gpu', '--account=me']],
    ['-pgpu -c4', ['--partition=gpu', '--cpus-per-task=4']],
    ['--partition gpu --time=1:00:00', ['--partition=gpu', '--time=1:00:00']],
    ['--part=gpu', ['--partition=gpu']],
    ['-t 5 --time=6', ['--time=6']],
    ['--exclusive --nice=5 --nice', ['--exclusive', '--nice']],
    ['-HOs', ['--hold', '--overcommit', '--oversubscribe']],
    ['--constraint="a b" -C \'c&d\'', ['--constraint=c&d']],
    ['--constraint="a \\"b\\" $HOME"', ['--constraint=a "b" $HOME']],
    ['  ', []],
  ])('%j are read as sbatch reads them', (text, expected) => {
    expect(renderSbatchOptions(parseSbatchOptions(text, 'flags'))).toEqual(expected);
  });

  test.each([
    ['--partion=gpu', /did you mean --partition/],
    ['-Z', /-Z is no option/],
    ['gpu', /"gpu" is no option/],
    ['--partition', /needs a value/],
    ['--hold=yes', /takes no value/],
    ['--constraint="a', /unbalanced quotes/],
    ['--comment="a\nb"', /line break/],
    ['--n=1', /is no option/],
  ])('%j are refused with the reason', (text, words) => {
    expect(() => parseSbatchOptions(text, 'flags')).toThrow(words);
  });
});

describe('the plan of a job', () => {
  const config = (change: object = {}) => slurmConfig.parse(change);
  const pod = (annotations: Record<string, string> = {}, spec: object = {}): Pod =>
    ({
      metadata: { name: 'p', namespace: 'n', uid: 'u', annotations },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    }) as Pod;
  const plan = (value: Pod, change: object = {}) =>
    planJob({ pod: value, configMaps: [], secrets: [], projectedVolumes: [] }, config(change));
  const container = (name: string, limits: object, requests: object = {}) => ({
    name,
    image: 'i',
    resources: { limits, requests },
  });

  test('asks for nothing when the pod asks for nothing', () => {
    expect(plan(pod())).toEqual({ options: [] });
  });

  test('sums containers, takes the largest init container and rounds up', () => {
    const spec = {
      containers: [container('a', { cpu: '500m', memory: '100Mi' }), container('b', { cpu: '700m', memory: '1.5Gi' })],
      initContainers: [container('i', { cpu: '3', memory: '1' })],
    };
    expect(plan(pod({}, spec)).options).toEqual(['--cpus-per-task=3', `--mem=${100 + 1536 + 64}M`]);
  });

  test('takes a limit before a request, native sidecars into the sum and the overhead on top', () => {
    const spec = {
      overhead: { cpu: '1' },
      containers: [container('a', { cpu: '2' }, { cpu: '1', memory: '512Ki' })],
      initContainers: [{ ...container('s', {}, { cpu: '1' }), restartPolicy: 'Always' }, container('i', { cpu: '2' })],
    };
    expect(plan(pod({}, spec), { runnerMemoryMiB: 0 }).options).toEqual(['--cpus-per-task=4', '--mem=1M']);
  });

  test('takes what the pod asks for as a whole instead of the sum', () => {
    const spec = {
      resources: { limits: { cpu: '5' }, requests: { cpu: '1', memory: '1Gi' } },
      containers: [container('a', { cpu: '2', memory: '3Gi' }), container('b', {})],
    };
    expect(plan(pod({}, spec), { runnerMemoryMiB: 0 }).options).toEqual(['--cpus-per-task=5', '--mem=1024M']);
  });

  test('adds the GPUs of all containers and refuses what the site does not have', () => {
    const gpus = { containers: [container('a', { 'nvidia.com/gpu': '1' }), container('b', { 'nvidia.com/gpu': '2' })] };
    expect(plan(pod({}, gpus)).options).toEqual(['--gres=gpu:3']);
    expect(plan(pod({}, gpus), { gpus: { 'nvidia.com/gpu': 'gpu:a100' } }).options).toEqual(['--gres=gpu:a100:3']);
    expect(() => plan(pod({}, { containers: [container('a', { 'example.com/fpga': '1' })] }))).toThrow(
      /example.com\/fpga/,
    );
  });

  test('asks for temporary disk space where the site wants that, and leaves it to the runner otherwise', () => {
    const spec = {
      containers: [container('a', { 'ephemeral-storage': '1500Ki' }), container('b', { 'ephemeral-storage': '1Gi' })],
    };
    expect(plan(pod({}, spec)).options).toEqual([]);
    expect(plan(pod({}, spec), { requestTmp: true }).options).toEqual(['--tmp=1026M']);
  });

  test('puts the pod over its annotation over the site', () => {
    const site = {
      partition: 'main',
      account: 'site',
      qos: 'normal',
      timeLimitMinutes: 60,
      options: '--constraint=x -c 1',
    };
    const flags = { 'slurm-job.vk.io/flags': '-p gpu --cpus-per-task=2 --mem-per-cpu=1G' };
    const spec = { containers: [container('a', { cpu: '4', memory: '1Gi' })] };
    const { options } = plan(pod(flags, spec), site);
    expect(options).toEqual(
      expect.arrayContaining([
        '--partition=gpu',
        '--account=site',
        '--qos=normal',
        '--constraint=x',
        '--cpus-per-task=4',
        '--mem=1088M',
        '--time=60',
      ]),
    );
    expect(options.join()).not.toContain('mem-per-cpu');
  });

  test('turns a deadline into whole minutes with room for the grace period, and never above a shorter limit', () => {
    const spec = { activeDeadlineSeconds: 60, terminationGracePeriodSeconds: 5 };
    expect(plan(pod({}, spec))).toEqual({ options: ['--time=2'], timeLimitSeconds: 120 });
    expect(plan(pod({ 'slurm-job.vk.io/flags': '-t 1' }, spec)).timeLimitSeconds).toBe(60);
  });

  test('asks for a warning before the limit only where the limit is long enough for it', () => {
    const long = plan(pod({ 'slurm-job.vk.io/flags': '-t 1-0' }, { terminationGracePeriodSeconds: 20 }));
    expect(long).toEqual({
      options: ['--time=1-0', '--signal=B:TERM@35'],
      timeLimitSeconds: 86_400,
      warningSeconds: 35,
    });
    expect(plan(pod({ 'slurm-job.vk.io/flags': '-t 2' })).options).toEqual(['--time=2']);
  });

  test.each([
    ['flags', '--uid=0', /--uid is interlink's own/],
    ['flags', '-o /tmp/x', /--output is interlink's own/],
    ['flags', '--wrap=id', /--wrap/],
    ['flags', '--dependency=afterok:1', /--dependency/],
    ['flags', '--reboot', /--reboot is not allowed at this site/],
    ['pre-exec', 'module load x', /sidecar.slurm.policy.preExec/],
    ['singularity-options', '--nv', /sidecar.slurm.policy.runtimeOptions/],
    ['flavor', 'gpu', /flavor is not supported here/],
  ])('refuses the annotation %s %j', (name, value, words) => {
    expect(() => plan(pod({ [`slurm-job.vk.io/${name}`]: value }))).toThrow(words);
  });

  test('lets the administrator decide what annotations may do', () => {
    const policy = { allowFlags: ['reboot', 'time'], denyFlags: ['time'], preExec: true, runtimeOptions: true };
    const annotations = {
      'slurm-job.vk.io/flags': '--reboot',
      'slurm-job.vk.io/pre-exec': 'module load x',
      'slurm-job.vk.io/image-root': 'docker://registry.example/',
      'slurm-job.knoc.io/singularity-options': '--nv --cleanenv',
    };
    expect(plan(pod(annotations), { policy })).toEqual({
      options: ['--reboot'],
      preExec: 'module load x',
      runtime: { imagePrefix: 'docker://registry.example/', options: ['--nv', '--cleanenv'] },
    });
    expect(() => plan(pod({ 'slurm-job.vk.io/flags': '-t 1' }), { policy })).toThrow(/--time is not allowed/);
  });
});

describe('sinfo', () => {
  const gpus = {
    'nvidia.com/gpu': 'gpu',
    'amd.com/gpu': 'gpu',
    'nvidia.com/a100': 'gpu:a100',
    'nvidia.com/h100': 'gpu:h100',
  };

  test('as captured counts each node once and leaves out those that run nothing', () => {
    expect(readCapacity(result({ stdout: fixture('sinfo-22.05.txt') }), gpus)).toEqual({
      cpu: '24',
      memory: '24000Mi',
      accelerators: [
        { resourceType: 'nvidia.com/gpu', available: '6' },
        { resourceType: 'nvidia.com/a100', available: '6' },
      ],
    });
  });

  test.each(['down', 'drained', 'draining', 'drained*', 'idle*', 'fail', 'maint', 'unknown', 'inval'])(
    'leaves out a node that is %s',
    (state) => {
      expect(readCapacity(result({ stdout: `n1\u001f${state}\u001f8\u001f8000\u001f(null)\u001f\n` }), {})).toEqual({
        cpu: '0',
        memory: '0Mi',
      });
    },
  );

  test('that prints something else is an error with its words', () => {
    expect(() => readCapacity(result({ stdout: 'Welcome\n' }), {})).toThrow(/Welcome/);
    expect(() =>
      readCapacity(result({ exitCode: 1, stderr: 'slurm_load_partitions: Unable to contact slurm controller' }), {}),
    ).toThrow(/contact/);
  });
});
