import { styleText } from 'node:util';
import { kindOf, messageOf } from '../base/errors.ts';
import type { CliIo } from './cli-io.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { useColour } from './use-colour.ts';

const MAX_CAUSES = 5;

/**
 * Writes to standard error what went wrong, with the causes below it, and gives the exit code. The stack is shown only for faults of our own
 * making. A command that was told to stop and stopped has not failed.
 */
export function describeError(error: unknown, io: CliIo): number {
  if (io.signal.aborted && error === io.signal.reason) return EXIT.ok;
  const lines = [
    `${useColour(io) ? styleText('red', 'error:', { validateStream: false }) : 'error:'} ${messageOf(error)}`,
  ];
  let cause = error instanceof Error ? error.cause : undefined;
  for (let depth = 0; cause !== undefined && depth < MAX_CAUSES; depth++) {
    const message = messageOf(cause);
    // Many messages already end with the words of their cause.
    if (!lines.some((line) => line.includes(message))) lines.push(`  caused by: ${message}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  if (kindOf(error) === 'Internal' && error instanceof Error && error.stack) lines.push(error.stack);
  io.stderr.write(`${lines.join('\n')}\n`);
  return exitCodeOf(error);
}
