import type { ExecRequest, RunningContainer } from '../../src/runner/container-runtime.ts';

/** Plays a program: its exit code, or an error when it cannot be executed. */
export type FakeProgram = (request: ExecRequest) => number | Promise<number>;

/** A container that only runs programs beside its own, which are functions. It started at `startedAt` and never ends. */
export class FakeContainer implements RunningContainer {
  readonly id = 'f'.repeat(64);
  readonly startedAt: string;
  readonly pid = undefined;
  readonly exited = new Promise<never>(() => {});
  /** `argv` of each program, in order. */
  readonly programs: string[] = [];
  /** Programs that were killed because they were of no interest any more. */
  killed = 0;
  readonly #program: FakeProgram;

  constructor(startedAt: string, program: FakeProgram) {
    this.startedAt = startedAt;
    this.#program = program;
  }

  kill(): void {}

  async exec(request: ExecRequest) {
    request.signal.throwIfAborted();
    this.programs.push(request.argv.join(' '));
    const aborted = Promise.withResolvers<number>();
    const abort = (): void => {
      this.killed += 1;
      aborted.resolve(137);
    };
    request.signal.addEventListener('abort', abort, { once: true });
    const code = this.#program(request);
    const exited = Promise.race([code, aborted.promise]).then((exitCode) => {
      request.signal.removeEventListener('abort', abort);
      return { exitCode };
    });
    return { exited, kill: abort };
  }
}
