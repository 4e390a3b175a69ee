import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { createRemoteSidecar } from '../contract/remote-sidecar.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { parseAddress } from '../http/address.ts';
import type { NodeConfig } from './config.ts';

/** The site as a sidecar. Its token file is read for each call, so that a refreshed token counts at once. */
export function createSiteSidecar(site: NodeConfig['site'], clock: Clock): Sidecar {
  const { tokenFile, caFile, certFile, keyFile } = site;
  return createRemoteSidecar({
    address: parseAddress(site.url),
    tls: { caFile, certFile, keyFile },
    codec: site.protocol,
    token: async () => (tokenFile === undefined ? undefined : readToken(tokenFile)),
    clock,
  });
}

async function readToken(path: string): Promise<Secret> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new InterlinkError('Unauthenticated', `token of the site ${path}: ${messageOf(error)}`, {
      code: 'node.site-token',
      cause: error,
    });
  }
  if (text === '') throw new InterlinkError('Unauthenticated', `token of the site ${path}: the file is empty`);
  return new Secret(text);
}
