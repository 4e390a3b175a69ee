import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { environment } from './environment.ts';
import { createProgram } from './program.ts';
import { until } from './until.ts';

/** The audience that the proxy asks for. */
export const AUDIENCE = 'https://site.example';
/** The group whose members may use the site. */
export const GROUP = 'interlink-users';

export interface Issuer extends AsyncDisposable {
  readonly url: string;
  /** Its certificate, in PEM. */
  readonly caFile: string;
  /** An access token of `client`: `node`, `stranger` (in no group of the site), `hasty` (valid for a second). */
  token(client?: 'node' | 'stranger' | 'hasty', audience?: string): Promise<string>;
  log(): string;
}

/** Starts `scripts/e2e/issuer.ts` as a process of its own. */
export async function startIssuer(options: { directory: string; certFile: string; keyFile: string }): Promise<Issuer> {
  const secret = randomBytes(32).toString('hex');
  const settings = join(options.directory, 'issuer.json');
  const client = (id: string, groups: readonly string[], tokenSeconds: number) => ({
    id,
    secret,
    groups,
    tokenSeconds,
  });
  writeFileSync(
    settings,
    JSON.stringify({
      port: 0,
      certFile: options.certFile,
      keyFile: options.keyFile,
      clients: [
        client('node', [GROUP, 'others'], 43_200),
        client('stranger', ['others'], 3600),
        client('hasty', [GROUP], 1),
      ],
    }),
    { mode: 0o600 },
  );
  const program = await createProgram({
    name: 'issuer',
    argv: [process.execPath, join(environment.root, 'scripts/e2e/issuer.ts'), settings],
    user: 'root',
    env: { PATH: process.env.PATH ?? '' },
    cwd: environment.root,
    directory: options.directory,
  });
  await program.start();
  const url = await until('the issuer listens', () => /^https:\S+$/m.exec(program.log())?.[0], { withinMs: 20_000 });
  const ca = readFileSync(options.certFile);
  return {
    url,
    caFile: options.certFile,
    log: program.log,
    token: (id = 'node', audience = AUDIENCE) =>
      new Promise((resolve, reject) => {
        const call = request(
          new URL('/token', url),
          {
            ca,
            method: 'POST',
            auth: `${id}:${secret}`,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
          },
          (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (chunk: string) => {
              text += chunk;
            });
            response.once('end', () => {
              const { access_token: token } = JSON.parse(text) as { access_token?: string };
              if (token === undefined) reject(new Error(`the issuer gives no token: ${text}`));
              else resolve(token);
            });
          },
        );
        call.once('error', reject);
        call.end(new URLSearchParams({ grant_type: 'client_credentials', resource: audience }).toString());
      }),
    [Symbol.asyncDispose]: () => program.kill('SIGTERM'),
  };
}
