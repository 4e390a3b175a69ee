import { InterlinkError } from '../../base/errors.ts';
import type { SidecarMessage, VolumeContents } from '../../contract/job-directory.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import { podRefOf } from '../../contract/pod-ref.ts';
import { volumeDigest } from '../../contract/volume-digest.ts';
import { isLiveVolume, volumeObjects } from '../../contract/volume-objects.ts';
import type { VolumeObjects, VolumeUpdate } from '../../contract/volume-update.ts';
import { renderFieldPath } from '../../kube/manifest.ts';
import type { Secret, Volume } from '../../kube/types.ts';
import { validateData } from '../../kube/validate-data.ts';
import { admitContents } from './admit-contents.ts';
import type { JobFiles } from './job-files.ts';
import type { PodJob } from './pod-job.ts';

export interface VolumeIntakeDeps {
  readonly files: JobFiles;
  /** Sends a message to the pod's runner; false when it holds no channel. */
  readonly send: (uid: string, message: SidecarMessage) => boolean;
}

/**
 * Takes new contents of volumes: writes them where the job finds them, whether it has started or not, and tells its runner. Updates of one pod are taken one after
 * the other.
 */
export class VolumeIntake {
  readonly #deps: VolumeIntakeDeps;
  readonly #turns = new Map<string, Promise<void>>();

  constructor(deps: VolumeIntakeDeps) {
    this.#deps = deps;
  }

  /**
   * Resolves when the update is durable; what shows the same as before changes nothing, and neither does an update of a pod that has ended.
   * @throws Invalid when the pod has no such live volume or the content cannot be that of one
   */
  update(job: PodJob, update: VolumeUpdate): Promise<void> {
    return this.#inTurn(job, () => this.#take(job, update));
  }

  /** Takes the contents that came with a repeated create. As {@link update}. */
  repeat(job: PodJob, bundle: PodBundle): Promise<void> {
    const volumes = (bundle.pod.spec?.volumes ?? []).filter(isLiveVolume).map(({ name }) => name);
    if (volumes.length === 0) return Promise.resolve();
    const { configMaps, secrets, projectedVolumes } = bundle;
    return this.update(job, { pod: podRefOf(bundle.pod), volumes, configMaps, secrets, projectedVolumes });
  }

  async #take(job: PodJob, update: VolumeUpdate): Promise<void> {
    const { files, send } = this.#deps;
    if (job.over) return;
    const known = await files.readJob(job.uid);
    if (known === undefined) return;
    const { bundle } = known.spec;
    const volumes = update.volumes.map((name) => {
      const volume = bundle.pod.spec?.volumes?.find((candidate) => candidate.name === name);
      if (volume && isLiveVolume(volume)) return volume;
      const { namespace, name: pod } = job.record;
      throw new InterlinkError(
        'Invalid',
        `pod ${namespace}/${pod} has no configMap, secret, projected or downwardAPI volume ${JSON.stringify(name)}`,
        { code: 'sidecar.volume' },
      );
    });
    if (update.imagePullSecrets) await this.#takePullSecrets(job, update.imagePullSecrets);
    const before = (volume: Volume): VolumeObjects => known.contents.volumes[volume.name] ?? bundle;
    const changed = volumes.filter((volume) => volumeDigest(volume, update) !== volumeDigest(volume, before(volume)));
    if (changed.length === 0) return;
    admitContents(changed, update);
    const contents: VolumeContents = {
      version: 1,
      revision: known.contents.revision + 1,
      volumes: {
        ...known.contents.volumes,
        ...Object.fromEntries(changed.map((volume) => [volume.name, volumeObjects(volume, update)])),
      },
    };
    await files.writeContents(job.uid, contents);
    // Without a channel the runner finds the file by itself.
    send(job.uid, { type: 'volumes', revision: contents.revision });
  }

  /** The runner looks for them itself before each pull. */
  async #takePullSecrets(job: PodJob, secrets: readonly Secret[]): Promise<void> {
    for (const secret of secrets) {
      const [fault] = validateData(secret, 'Secret');
      if (fault)
        throw new InterlinkError(
          'Invalid',
          `image pull secret ${secret.metadata?.name}: ${renderFieldPath(fault.path)}: ${fault.message}`,
          { code: 'sidecar.inadmissible' },
        );
    }
    await this.#deps.files.writePullSecrets(job.uid, secrets);
  }

  #inTurn(job: PodJob, action: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(job.uid) ?? Promise.resolve()).then(action);
    const settled = turn
      .catch(() => {}) // The caller has it; the next one does not care.
      .finally(() => {
        if (this.#turns.get(job.uid) === settled) this.#turns.delete(job.uid);
      });
    this.#turns.set(job.uid, settled);
    return turn;
  }
}
