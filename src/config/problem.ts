import { InterlinkError } from '../base/errors.ts';

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** Place to go to: file with line and column, variable or flag; undefined when the value is set nowhere. */
  readonly origin: string | undefined;
  /** Rendered path of the key; empty for a file as a whole. */
  readonly path: string;
  /** What was expected or what to do. */
  readonly message: string;
}

/** The one error for a configuration that cannot be used; its message lists every problem, one per line. */
export function configError(problems: readonly Problem[]): InterlinkError {
  const lines = problems.map(({ origin, path, message }) =>
    [origin, path, message].filter((part) => part !== undefined && part !== '').join(': '),
  );
  const title =
    problems.length === 1 ? 'the configuration has a problem' : `the configuration has ${problems.length} problems`;
  return new InterlinkError('Invalid', [`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n'), {
    code: 'config.invalid',
    details: { problems },
  });
}
