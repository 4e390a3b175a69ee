import { type InterlinkError, messageOf } from '../base/errors.ts';

/** The API server's own sentence where an error carries one, as a kubelet would show it, else the error's message. */
export function errorSentence(error: unknown): string {
  const sentence = error instanceof Error && 'details' in error ? (error as InterlinkError).details.statusMessage : '';
  return typeof sentence === 'string' && sentence !== '' ? sentence : messageOf(error);
}
