import { writeFileAtomic } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import { RegistryKeyring } from './registry-keyring.ts';

/** The pod's image pull secrets, which are kept in memory only: the job directory loses them as soon as the runner has read them. */
export class PullSecrets {
  readonly #keyring: RegistryKeyring;

  private constructor(keyring: RegistryKeyring) {
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
    return new PullSecrets(RegistryKeyring.of(imagePullSecrets, logger));
  }

  /** What may be shown to registries now. */
  keyring(): RegistryKeyring {
    return this.#keyring;
  }
}
