import { readFile, rename, rm } from 'node:fs/promises';
import { systemCodeOf } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import { RegistryKeyring } from './registry-keyring.ts';

/** The pod's image pull secrets, which are kept in memory only: the job directory loses them as soon as the runner has read them. */
export class PullSecrets {
  readonly #directory: JobDirectory;
  readonly #logger: Logger;
  #keyring: RegistryKeyring;

  private constructor(directory: JobDirectory, logger: Logger, keyring: RegistryKeyring) {
    this.#directory = directory;
    this.#logger = logger;
    this.#keyring = keyring;
  }

  /** Takes them out of the job's specification and its file. After the claim only: no other runner will want them. */
  static async take(directory: JobDirectory, spec: JobSpec, logger: Logger): Promise<PullSecrets> {
    const { imagePullSecrets = [], ...bundle } = spec.bundle;
    if (imagePullSecrets.length > 0)
      try {
        await writeFileAtomic(directory.spec, JSON.stringify({ ...spec, bundle }));
      } catch (error) {
        // The sidecar removes the file at the end of the pod.
        logger.warn('image pull secrets stay in the job directory', { path: directory.spec, err: error });
      }
    return new PullSecrets(directory, logger, RegistryKeyring.of(imagePullSecrets, logger));
  }

  /** What may be shown to registries now; what the sidecar has sent since the last call counts, and is taken away. */
  async keyring(): Promise<RegistryKeyring> {
    const path = this.#directory.pullSecrets;
    // Ours alone, as the sidecar may write new ones at any moment.
    const taken = `${path}.taken`;
    try {
      await rename(path, taken);
      this.#keyring = RegistryKeyring.of(JSON.parse(await readFile(taken, 'utf8')), this.#logger);
      this.#logger.info('image pull secrets have changed');
      await rm(taken);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT')
        this.#logger.warn('new image pull secrets cannot be read', { path, err: error });
    }
    return this.#keyring;
  }
}
