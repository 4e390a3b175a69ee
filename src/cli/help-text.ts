/** The end of every command's help. */
export const EXIT_CODES_HELP = `
Exit codes:
  0  success
  1  failure
  2  the command line is wrong
  3  the configuration is invalid
  4  authentication or authorization failed
  5  the other side cannot be reached`;

/** Examples, one command per line, each with a line before it that says what it does. */
export function examplesHelp(...examples: readonly (readonly [what: string, command: string])[]): string {
  return ['', 'Examples:', ...examples.flatMap(([what, command]) => [`  # ${what}`, `  ${command}`])].join('\n');
}
