import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind } from '../base/errors.ts';
import { PRIVATE_FILE } from '../base/files.ts';
import { withDeadline } from '../kube/with-deadline.ts';
import { hasLayers, readImageDescription, readImageDescriptions, renderImageDescription } from './image-description.ts';
import { type ImagePuller, PULL_TIMEOUT_MS } from './image-puller.ts';
import { isLoopbackRegistry } from './loopback-registry.ts';
import type { SandboxCommandResult } from './namespace-exec.ts';
import type { PodmanCommandDeps } from './podman-command.ts';

export interface PodmanPullerDeps {
  /** Options of the site for the pull: `--tls-verify=false`. */
  readonly options: readonly string[];
  readonly clock: Clock;
  /** Runs `podman` with these arguments on the storage. */
  podman(args: readonly string[], call: PodmanCall): Promise<SandboxCommandResult>;
}

/** Where Podman may write, what it may show, and how long it may run. */
export type PodmanCall = Pick<PodmanCommandDeps, 'storage' | 'temporary' | 'login' | 'signal'>;

/** Exit code of `podman rmi`. */
const NO_SUCH_IMAGE = 1;
const SUFFIX = '.podman.json';

/**
 * Images as the layers in a storage of Podman's (`podman pull`), each with a description of its layers and configuration.
 * @see podman-pull(1), podman-image-inspect(1), containers-storage.conf(5)
 */
export function podmanPuller({ options, clock, podman }: PodmanPullerDeps): ImagePuller {
  return {
    suffix: SUFFIX,
    async pull({ url, target, work, directory, loginFile, signal }) {
      if (!/^(docker:\/\/|docker-archive:|oci-archive:)/.test(url))
        throw new InterlinkError('Unsupported', `${url}: Podman takes docker://, docker-archive: and oci-archive:`, {
          code: 'ErrImagePull',
        });
      const call = { storage: join(directory, 'podman'), temporary: work, signal };
      const plain = isLoopbackRegistry(url) ? ['--tls-verify=false'] : [];
      const login = loginFile === undefined ? {} : { login: loginFile };
      const pulled = await withDeadline({ clock, ms: PULL_TIMEOUT_MS, what: 'podman pull', signal }, (inner) =>
        podman(['pull', '--quiet', ...options, ...plain, url], { ...call, ...login, signal: inner }),
      ).catch((error: unknown) => {
        if (!isKind(error, 'DeadlineExceeded')) throw error;
        throw new InterlinkError('Unavailable', `no end after ${PULL_TIMEOUT_MS / 3_600_000} hours`, {
          code: 'ErrImagePull',
          cause: error,
        });
      });
      if (pulled.exitCode !== 0) throw pullFault(pulled);
      const id = pulled.stdout.trim().split('\n').at(-1) ?? '';
      const inspected = await podman(['image', 'inspect', id], call);
      if (inspected.exitCode !== 0) throw pullFault(inspected);
      await writeFile(target, describe(inspected.stdout), { mode: PRIVATE_FILE });
    },
    has: hasLayers,
    async sizeOf(path) {
      return (await readImageDescription(path))?.sizeBytes ?? 0;
    },
    async remove(path, directory) {
      const { id } = (await readImageDescription(path)) ?? {};
      const described = [...(await readImageDescriptions(directory, SUFFIX))];
      // Of the same image there may be other names.
      if (id !== undefined && !described.some(([other, image]) => other !== path && image.id === id)) {
        const call = { storage: join(directory, 'podman'), temporary: join(directory, 'tmp') };
        const { exitCode, stderr } = await podman(['rmi', '--force', id], call);
        if (exitCode !== 0 && exitCode !== NO_SUCH_IMAGE)
          throw new InterlinkError('Unavailable', `podman cannot remove an image: ${wordsOf(stderr)}`);
      }
      await rm(path, { force: true });
    },
  };
}

/** The description of an image, of what `podman image inspect` says. */
function describe(text: string): string {
  const [image] = JSON.parse(text) as [
    {
      readonly Id: string;
      readonly Size?: number;
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
  return renderImageDescription({ layers, config: image.Config, sizeBytes: image.Size ?? 0, id: image.Id });
}

function pullFault({ exitCode, stderr }: SandboxCommandResult): InterlinkError {
  return new InterlinkError('Unavailable', wordsOf(stderr) ?? `podman pull ended with exit code ${exitCode}`, {
    code: 'ErrImagePull',
    details: { exitCode },
  });
}

/** The reason stands in the last line that begins with `Error:`. */
function wordsOf(stderr: string): string | undefined {
  const lines = stderr.split('\n').flatMap((line) => line.trim() || []);
  return (lines.findLast((line) => line.startsWith('Error: ')) ?? lines.at(-1))?.replace(/^Error: /, '');
}
