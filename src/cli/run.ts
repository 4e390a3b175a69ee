import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism, networkInterfaces, totalmem } from 'node:os';
import { text } from 'node:stream/consumers';
import { Option } from 'commander';
import { stringify } from 'yaml';
import { rfc3339, systemClock } from '../base/clock.ts';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import { type CollectFacts, collectBundle } from '../contract/collect-bundle.ts';
import { derivePodStatus } from '../contract/derive-pod-status.ts';
import { missingPullSecrets } from '../contract/pull-secrets.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { Pod } from '../kube/types.ts';
import type { CliCommand, CliInput } from './cli-command.ts';
import type { CliIo } from './cli-io.ts';
import { describeError } from './describe-error.ts';
import { EXIT } from './exit-codes.ts';
import { examplesHelp } from './help-text.ts';
import { LogPrinter } from './run/log-printer.ts';
import { memorySource } from './run/memory-source.ts';
import { addPlaceOptions, openSidecar } from './run/open-sidecar.ts';
import { type PodManifest, readPod } from './run/read-pod.ts';
import { runPod } from './run/run-pod.ts';
import { listenForStop, type StopSignals } from './run/stop-signals.ts';

/** Exit code of a command that Ctrl-C stopped, as a shell gives it. */
const INTERRUPTED = 130;

/** `interlink run`: one pod without any cluster, on this machine or at a site; its output here, its exit code ours. */
export const run: CliCommand = {
  exitCodesNote: '\n  and, once the pod has run, the exit code of the container that failed first',

  configure(command) {
    command
      .argument('<pod.yaml>', 'manifest with one Pod and the ConfigMaps and Secrets that it uses; - for standard input')
      .addOption(new Option('--prefix', 'put [container] before each line, also with one container'))
      .addOption(new Option('--no-prefix', 'print output as it is, also with several containers'))
      .addOption(
        new Option('-o, --output <format>', 'print the final Pod object instead of the output').choices([
          'json',
          'yaml',
        ]),
      )
      .addOption(new Option('--status-file <file>', 'also write the final Pod object to a file (YAML when it ends so)'))
      .addOption(new Option('-q, --quiet', 'no messages about the progress'));
    addPlaceOptions(command);
    command.addHelpText(
      'after',
      examplesHelp(
        ["run the commands of a pod on this machine's own file system", 'interlink run pod.yaml --runtime process'],
        [
          'run it at a site and keep the final status',
          'interlink run pod.yaml --url https://site.example --token-file t --status-file s.json',
        ],
      ),
    );
  },

  async run(input, io) {
    const [file = '-'] = input.operands;
    let manifest: PodManifest;
    try {
      manifest = readPod(await readManifest(file, io), file);
    } catch (error) {
      describeError(error, io);
      return EXIT.usage;
    }
    const say = (line: string): void => {
      if (input.options.quiet !== true) io.stderr.write(`${line}\n`);
    };
    using signals = listenForStop(process);
    await using sidecar = await openSidecar(input, io, say);
    return await runOn(sidecar, manifest, { input, io, say, signals });
  },
};

interface RunContext {
  readonly input: CliInput;
  readonly io: CliIo;
  readonly say: (line: string) => void;
  readonly signals: StopSignals;
}

async function runOn(sidecar: Sidecar, manifest: PodManifest, context: RunContext): Promise<number> {
  const { input, io, say, signals } = context;
  const facts = machineFacts();
  const source = memorySource(manifest.configMaps, manifest.secrets);
  const pod = identify(manifest.pod);
  const bundle = await collectBundle(pod, source, facts, { signal: io.signal });
  for (const name of missingPullSecrets(bundle))
    say(
      `pod ${pod.metadata?.name}: the file has no Secret ${name} of imagePullSecrets; images that need it cannot be pulled`,
    );
  const { status, exitCode, failure, interrupted } = await runPod(bundle, {
    sidecar,
    clock: systemClock,
    signals,
    say,
    ...(input.options.output === undefined ? { onLog: logTarget(pod, input, io) } : {}),
  });
  const final = derivePodStatus(pod, status, { nowMs: systemClock.nowMs(), hostIPs: facts.hostIPs });
  await writeResult({ ...pod, status: final }, input, io);
  if (failure !== undefined) io.stderr.write(`error: ${failure}\n`);
  if (interrupted) return INTERRUPTED;
  return failure === undefined ? exitCode : EXIT.failure;
}

async function readManifest(file: string, io: CliIo): Promise<string> {
  if (file === '-') return text(io.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = systemCodeOf(error) === 'ENOENT' ? 'no such file' : messageOf(error);
    throw new InterlinkError('Invalid', `${file}: ${reason}`, { code: 'cli.usage' });
  }
}

/** What the API server and the scheduler would add. */
function identify(pod: Pod): Pod {
  const now = rfc3339(systemClock.nowMs());
  return { ...pod, metadata: { ...pod.metadata, uid: randomUUID(), creationTimestamp: now } };
}

function machineFacts(): CollectFacts {
  const address = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  return {
    hostIPs: [address?.address ?? '127.0.0.1'],
    allocatable: { cpu: String(availableParallelism()), memory: String(totalmem()) },
    seenAt: rfc3339(systemClock.nowMs()),
  };
}

function logTarget(
  pod: Pod,
  input: CliInput,
  io: CliIo,
): (name: string, bytes: AsyncIterable<Uint8Array>) => Promise<void> {
  const several = (pod.spec?.containers.length ?? 0) + (pod.spec?.initContainers?.length ?? 0) > 1;
  const { prefix } = input.options;
  const printer = new LogPrinter(io.stdout, typeof prefix === 'boolean' ? prefix : several);
  return (name, bytes) => printer.print(name, bytes);
}

async function writeResult(pod: Pod, input: CliInput, io: CliIo): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Pod', ...pod };
  const json = `${JSON.stringify(object, null, 4)}\n`;
  const yaml = (): string => stringify(object, { version: '1.1', aliasDuplicateObjects: false, lineWidth: 0 });
  const { output, statusFile } = input.options;
  if (output !== undefined) io.stdout.write(output === 'yaml' ? yaml() : json);
  if (typeof statusFile === 'string') await writeFileAtomic(statusFile, /\.ya?ml$/.test(statusFile) ? yaml() : json);
}
