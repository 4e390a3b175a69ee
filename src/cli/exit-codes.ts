import { kindOf } from '../base/errors.ts';

/** Exit codes of every command; `run` adds those of the pod's containers. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  configuration: 3,
  authentication: 4,
  unreachable: 5,
} as const;

/** The exit code that tells a script what kind of thing went wrong. */
export function exitCodeOf(error: unknown): number {
  switch (kindOf(error)) {
    case 'Invalid': {
      const { code } = error as { code?: string };
      return code === 'config.invalid' ? EXIT.configuration : code === 'cli.usage' ? EXIT.usage : EXIT.failure;
    }
    case 'Unauthenticated':
    case 'Forbidden':
      return EXIT.authentication;
    case 'Unavailable':
    case 'DeadlineExceeded':
      return EXIT.unreachable;
    default:
      return EXIT.failure;
  }
}
