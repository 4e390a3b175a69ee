import { spawn } from 'node:child_process';

export interface CommandOutcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandInput {
  readonly stdin?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end and tells what came; never throws for an exit code. */
export async function outcomeOf(argv: readonly string[], input: CommandInput = {}): Promise<CommandOutcome> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd: input.cwd,
    env: input.env ?? process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: input.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input.stdin ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, ...output };
}

/** The standard output of a program that must succeed. */
export async function outputOf(argv: readonly string[], input: CommandInput = {}): Promise<string> {
  const { code, stdout, stderr } = await outcomeOf(argv, input);
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}\n${stderr}\n${stdout}`);
  return stdout;
}
