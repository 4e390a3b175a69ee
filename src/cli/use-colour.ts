import type { CliIo } from './cli-io.ts';

/** Whether standard error takes colour: a terminal, and NO_COLOR not set. @see https://no-color.org */
export function useColour({ stderr, env }: Pick<CliIo, 'stderr' | 'env'>): boolean {
  return stderr.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}
