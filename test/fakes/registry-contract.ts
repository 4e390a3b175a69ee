import { expect } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { parseImageReference } from '../../src/contract/image-reference.ts';
import { RegistryClient } from '../../src/runner/registry-client.ts';
import type { RegistryCredential } from '../../src/runner/registry-keyring.ts';

/** A registry that holds a private image, and who may have it. */
export interface RegistryUnderTest {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  readonly user: string;
  readonly password: string;
}

/** What any registry with HTTP basic authentication answers; the fake one is held to it as the real one is. */
export async function checkRegistryContract(registry: RegistryUnderTest): Promise<void> {
  using client = new RegistryClient({ environment: {}, isPlain: () => true });
  const { host, repository, tag, digest, user, password } = registry;
  const login = (text: string): RegistryCredential => ({ username: user, password: new Secret(text) });
  const ask = (name: string, ...logins: RegistryCredential[]) =>
    client.resolve(parseImageReference(`${host}/${name}`), logins, new AbortController().signal);
  const good = login(password);
  const answer = { digest, usedCredential: true, credential: good };
  expect(await ask(`${repository}:${tag}`, good)).toEqual(answer);
  expect(await ask(`${repository}@${digest}`, good)).toEqual(answer);
  expect(await ask(`${repository}:${tag}`, login('wrong'), good)).toEqual(answer);
  const denied = 'pull access denied, repository does not exist or may require authorization';
  await expect(ask(`${repository}:${tag}`)).rejects.toThrow(`${denied}: no login; give the pod imagePullSecrets`);
  await expect(ask(`${repository}:${tag}`, login('wrong'))).rejects.toThrow(
    `${denied}: the registry refused the login`,
  );
  await expect(ask(`${repository}:no-such-tag`, good)).rejects.toThrow(': not found (manifest unknown)');
  await expect(ask(`${repository}/none:1`, good)).rejects.toThrow(': not found (manifest unknown)');
}
