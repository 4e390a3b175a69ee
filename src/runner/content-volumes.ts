import { createHash } from 'node:crypto';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../base/logger.ts';
import type { VolumeContents } from '../contract/job-directory.ts';
import type { PodBundle } from '../contract/pod-bundle.ts';
import type { Volume } from '../kube/types.ts';
import { type VolumeFile, volumeFiles } from './volume-files.ts';
import { type VolumeOwnership, writeVolume } from './write-volume.ts';

export interface ContentVolumesDeps {
  readonly bundle: PodBundle;
  readonly privateTokens: boolean;
  readonly ownership: VolumeOwnership;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

interface Written {
  readonly volume: Volume;
  readonly path: string;
  /** Directories of content that a subPath of some container is mounted from. */
  readonly held: Set<string>;
  digest: string;
  /** Writes and holds come one after the other. */
  turn: Promise<unknown>;
}

/** The volumes of a pod that hold files out of its bundle, from their making on through every change of their content. */
export class ContentVolumes {
  readonly #deps: ContentVolumesDeps;
  readonly #written = new Map<string, Written>();
  #ownership: VolumeOwnership;

  constructor(deps: ContentVolumesDeps) {
    this.#deps = deps;
    this.#ownership = deps.ownership;
  }

  /** Whether none has been made. */
  get isEmpty(): boolean {
    return this.#written.size === 0;
  }

  /** From now on new files are given to the pod's group by `give`, where this process itself may not. */
  giveGroupBy(give: VolumeOwnership['give']): void {
    this.#ownership = { ...this.#deps.ownership, ...(give && { give }) };
  }

  /**
   * The files of a volume; undefined for kinds that have none.
   * @throws Invalid when the bundle and `contents` lack something or a path leaves the volume
   */
  filesOf(volume: Volume, contents: VolumeContents): readonly VolumeFile[] | undefined {
    const { bundle, privateTokens } = this.#deps;
    return volumeFiles(volume, { ...bundle, ...contents.volumes[volume.name] }, { privateTokens });
  }

  /** Makes the volume in the directory `path`. */
  async make(volume: Volume, path: string, files: readonly VolumeFile[]): Promise<void> {
    await writeVolume(path, files, this.#ownership, this.#deps.nowMs());
    const turn = Promise.resolve();
    this.#written.set(volume.name, { volume, path, held: new Set(), digest: digestOf(files), turn });
  }

  /** The directory of a volume's present content, which is kept from now on, whatever becomes of the volume: for mounts of a part of it. */
  hold(name: string): Promise<string> {
    const written = this.#written.get(name);
    if (written === undefined) throw new Error(`volume ${name} has not been made`);
    return inTurn(written, async () => {
      const content = await readlink(join(written.path, '..data'));
      written.held.add(content);
      return join(written.path, content);
    });
  }

  /** Gives each volume whose files differ its new content, in one step per volume. A volume that cannot be written keeps the old one; then the result is false. */
  async update(contents: VolumeContents): Promise<boolean> {
    const { logger } = this.#deps;
    let isDone = true;
    for (const written of this.#written.values()) {
      const { volume } = written;
      if (contents.volumes[volume.name] === undefined) continue;
      try {
        const isChanged = await inTurn(written, () => this.#replace(written, contents));
        if (isChanged) logger.info('volume has new content', { volume: volume.name, revision: contents.revision });
      } catch (error) {
        isDone = false;
        logger.warn('new content of a volume cannot be written, trying on', { volume: volume.name, err: error });
      }
    }
    return isDone;
  }

  async #replace(written: Written, contents: VolumeContents): Promise<boolean> {
    const files = this.filesOf(written.volume, contents) ?? [];
    const digest = digestOf(files);
    if (digest === written.digest) return false;
    await writeVolume(written.path, files, this.#ownership, this.#deps.nowMs(), written.held);
    written.digest = digest;
    return true;
  }
}

function inTurn<T>(written: Written, action: () => Promise<T>): Promise<T> {
  const result = written.turn.then(action);
  written.turn = result.catch(() => {}); // Whoever asked for it has the error.
  return result;
}

function digestOf(files: readonly VolumeFile[]): string {
  const hash = createHash('sha256');
  for (const { path, content, mode } of files)
    hash.update(JSON.stringify([path, mode, content.length])).update(content);
  return hash.digest('base64');
}
