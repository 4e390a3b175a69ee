import type { Logger } from '../base/logger.ts';
import type { CallOptions, Sidecar } from '../contract/sidecar.ts';

export interface VolumeSupportDeps {
  readonly sidecar: Pick<Sidecar, 'capabilities'>;
  readonly logger: Logger;
}

/** Whether the site takes new contents of volumes; shared by all pods of the node, so that it is logged once when that changes. */
export class VolumeSupport {
  readonly #deps: VolumeSupportDeps;
  #isOffered = true;

  constructor(deps: VolumeSupportDeps) {
    this.#deps = deps;
  }

  /** @throws as the site's `capabilities` */
  async isOffered(options: CallOptions): Promise<boolean> {
    const { sidecar, logger } = this.#deps;
    const { name, capabilities } = await sidecar.capabilities(options);
    const isOffered = capabilities.includes('volumes');
    if (isOffered !== this.#isOffered) {
      if (isOffered) logger.info('site takes new contents of volumes now', { sidecar: name });
      else
        logger.warn(
          'site takes no new contents of volumes: ConfigMaps, Secrets, annotations and tokens stay as they were when a pod was created, and tokens expire',
          { sidecar: name },
        );
    }
    this.#isOffered = isOffered;
    return isOffered;
  }
}
