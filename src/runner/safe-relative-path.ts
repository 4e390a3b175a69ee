import { InterlinkError } from '../base/errors.ts';

/**
 * `path` if it stays below the directory that it is joined to: relative, not empty, without `..` and NUL.
 * @throws Invalid naming `owner` otherwise
 */
export function safeRelativePath(path: string, owner: string): string {
  const parts = path.split('/');
  if (path === '' || path.startsWith('/') || path.includes('\0') || parts.includes('..'))
    throw new InterlinkError('Invalid', `${owner}: ${JSON.stringify(path)} must be a relative path without ".."`);
  return path;
}
