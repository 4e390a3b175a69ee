import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { makePrivateDirectory, writeFileAtomic } from '../base/files.ts';
import { hasLayers, renderImageDescription } from './image-description.ts';
import type { ImagePuller } from './image-puller.ts';
import { isLoopbackRegistry } from './loopback-registry.ts';
import type { SandboxCommandResult } from './namespace-exec.ts';
import type { PodmanCommandDeps } from './podman-command.ts';

export interface PodmanPullerDeps {
  /** Options of the site for the pull: `--tls-verify=false`. */
  readonly options: readonly string[];
  /** Runs `podman` with these arguments on the storage. */
  podman(args: readonly string[], call: PodmanCall): Promise<SandboxCommandResult>;
}

/** Where Podman may write, and how long it may run. */
export type PodmanCall = Pick<PodmanCommandDeps, 'storage' | 'temporary' | 'signal'>;

/**
 * Images as the layers in a storage of Podman's (`podman pull`), each with a description of its layers and configuration.
 * @see podman-pull(1), podman-image-inspect(1), containers-storage.conf(5)
 */
export function podmanPuller({ options, podman }: PodmanPullerDeps): ImagePuller {
  return {
    suffix: '.json',
    async pull({ url, target, directory, signal }) {
      const temporary = `${target}.layers`;
      const call = { storage: join(directory, 'podman'), temporary, signal };
      await makePrivateDirectory(temporary);
      try {
        const plain = isLoopbackRegistry(url) ? ['--tls-verify=false'] : [];
        const pulled = await podman(['pull', '--quiet', ...options, ...plain, url], call);
        if (pulled.exitCode !== 0) throw pullFault(pulled);
        const id = pulled.stdout.trim().split('\n').at(-1) ?? '';
        const inspected = await podman(['image', 'inspect', id], call);
        if (inspected.exitCode !== 0) throw pullFault(inspected);
        await writeFileAtomic(target, describe(inspected.stdout));
      } finally {
        await rm(temporary, { recursive: true, force: true });
      }
    },
    has: hasLayers,
    async remove(path) {
      await rm(path, { force: true });
    },
  };
}

/** The description of an image, of what `podman image inspect` says. */
function describe(text: string): string {
  const [image] = JSON.parse(text) as [
    {
      readonly Digest?: string;
      readonly RepoDigests?: readonly string[];
      readonly Config?: unknown;
      readonly GraphDriver?: {
        readonly Name?: string;
        readonly Data?: { readonly UpperDir?: string; readonly LowerDir?: string };
      };
    },
  ];
  const { UpperDir = '', LowerDir = '' } = image.GraphDriver?.Data ?? {};
  const layers = [UpperDir, ...LowerDir.split(':')].filter((path) => path !== '');
  if (layers.length === 0)
    throw new InterlinkError(
      'Unsupported',
      `Podman keeps the image by its storage driver ${image.GraphDriver?.Name}, not as overlay layers; keep runtime.imageCache on a local file system`,
      { code: 'ErrImagePull' },
    );
  const digests = (image.RepoDigests ?? []).map((name) => name.slice(name.indexOf('@') + 1));
  // Of an image for several architectures it knows the list's too, which is what a kubelet shows.
  return renderImageDescription(
    layers,
    image.Config,
    digests.find((digest) => digest !== image.Digest) ?? image.Digest,
  );
}

/** Its reason stands in the last line that begins with `Error:`. */
function pullFault({ exitCode, stderr }: SandboxCommandResult): InterlinkError {
  const lines = stderr.split('\n').flatMap((line) => line.trim() || []);
  const words = (lines.findLast((line) => line.startsWith('Error: ')) ?? lines.at(-1))?.replace(/^Error: /, '');
  return new InterlinkError('Unavailable', words ?? `podman pull ended with exit code ${exitCode}`, {
    code: 'ErrImagePull',
    details: { exitCode },
  });
}
