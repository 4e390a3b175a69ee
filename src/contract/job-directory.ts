import { join } from 'node:path';
import type { ContainerStatus } from '../kube/types.ts';
import type { PodBundle } from './pod-bundle.ts';
import type { PodEvent, SandboxState } from './pod-status.ts';
import type { SiteVolume } from './site-volume.ts';
import type { VolumeObjects } from './volume-update.ts';

/**
 * What a sidecar and the runner of a job share: one directory per pod, 0700, on a file system that both see or shipped by the batch
 * system. The sidecar writes `pod.json` and `contents.json` before it submits, `contents.json` again when volumes get new content, and `stop.json` when the pod
 * shall end; everything else is the runner's.
 */
export interface JobDirectory {
  readonly root: string;
  /** {@link JobSpec}, 0600. Written once, before the job is submitted. */
  readonly spec: string;
  /** {@link VolumeContents}, 0600. There from the start and replaced atomically, so that no file system remembers that it was missing. */
  readonly contents: string;
  /** {@link StopRequest}, 0600. Replaced atomically; the runner reads it on SIGTERM and on the channel's word. */
  readonly stop: string;
  /** Image pull secrets that have changed since `pod.json`, a list of Secrets, 0600. The sidecar replaces it atomically, the runner takes it away. */
  readonly pullSecrets: string;
  /** Made atomically (`mkdir`) by the first runner; a second one for the same pod ends without starting anything. */
  readonly claim: string;
  /** One {@link RunnerRecord} per line, append-only, fsync'd; a torn last line is ignored. */
  readonly events: string;
  /** Volumes as the containers see them. */
  readonly volumes: string;
  /** The runner's own messages; never part of a container's log. */
  readonly runnerLog: string;
}

/** The paths below the root of one job; makes nothing. */
export function jobDirectory(root: string): JobDirectory {
  return {
    root,
    spec: join(root, 'pod.json'),
    contents: join(root, 'contents.json'),
    pullSecrets: join(root, 'pull-secrets.json'),
    stop: join(root, 'stop.json'),
    claim: join(root, 'claim'),
    events: join(root, 'events.ndjson'),
    volumes: join(root, 'volumes'),
    runnerLog: join(root, 'runner.log'),
  };
}

/**
 * Log of one attempt of a container in the CRI format: `TIME STREAM TAG TEXT`, tag `P` for a part of a line, `F` for its end. Rotated files are
 * `<attempt>.log.1` (newest) to `.4`.
 *
 * @see https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */
export function containerLogPath(directory: JobDirectory, container: string, attempt: number): string {
  return join(directory.root, 'containers', container, `${attempt}.log`);
}

/** Size at which a container log is rotated. */
export const LOG_ROTATE_BYTES = 10 * 1024 * 1024;
/** Files of one attempt that are kept, the current one included. */
export const LOG_FILES = 5;

/** Container runtimes that a site may choose. */
export const RUNTIME_NAMES = ['apptainer', 'podman', 'charliecloud', 'process'] as const;

/** One of {@link RUNTIME_NAMES}. */
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

/** How images become containers at this site; part of the sidecar's configuration. */
export interface RuntimeSettings {
  readonly name: RuntimeName;
  /** Path of the runtime's program; looked up in PATH when absent. */
  readonly program?: string;
  /** Options of the site put before ours, e.g. `--nv`. */
  readonly options?: readonly string[];
  /** First prefix that matches the image name wins: `{ "localhost/busybox": "/images/busybox.sif" }` also matches with a tag or digest behind. */
  readonly imageMap?: Readonly<Record<string, string>>;
  /** Put before an image name without scheme or leading slash; `docker://` unless given. */
  readonly imagePrefix?: string;
  /** Registry or beginning of a repository → where it is mirrored: `{ "docker.io": "harbor.site/hub" }`; the longest one counts. */
  readonly imageMirrors?: Readonly<Record<string, string>>;
  /** Globs of image names in full; one must match the name as written or as fetched. Everything is allowed when absent. */
  readonly imageAllow?: readonly string[];
  /** Directories below which a pod may name images by path; `/cvmfs` when absent. */
  readonly imagePaths?: readonly string[];
  /** Directory of pulled images, shared by the jobs of the site. */
  readonly imageCache?: string;
  /** Bytes that it may hold; images that running pods use stay beyond that. */
  readonly imageCacheBytes?: number;
  /** Lets `process` run a container without mounts where the worker has no namespaces; it is then like any other process of the job. */
  readonly allowWithoutIsolation?: boolean;
}

/** Where the runner reaches its sidecar. */
export interface ChannelSettings {
  /** `wss://host:port` or `unix:/path`; tried in order. The path of the request is `/channel/<uid>`. */
  readonly endpoints: readonly string[];
  /** SHA-256 of the sidecar's certificate in hex; the only certificate that is accepted. Absent for unix sockets. */
  readonly fingerprint?: string;
  /** Bearer token of this job alone. */
  readonly token: string;
}

/** Everything a job needs; the whole input of `interlink runner`. Holds secrets: 0600. */
export interface JobSpec {
  readonly version: 1;
  readonly bundle: PodBundle;
  readonly runtime: RuntimeSettings;
  readonly channel?: ChannelSettings;
  /** Directories for scratch data on the worker (emptyDir), the best first; `$NAME` is a variable of the job. The job directory where none can be used. */
  readonly scratch?: readonly string[];
  /** Volumes that are places on the site's file systems, by volume name. */
  readonly siteVolumes?: Readonly<Record<string, SiteVolume>>;
  /** Seconds from the runner's start until the batch system kills the job, when it is known. */
  readonly timeLimitSeconds?: number;
}

/** Contents of volumes that are newer than those in the bundle of {@link JobSpec}. Holds secrets: 0600. */
export interface VolumeContents {
  readonly version: 1;
  /** 0 as long as nothing has changed, then counting up. */
  readonly revision: number;
  /** By volume; takes the place of everything that the bundle has for that volume. */
  readonly volumes: Readonly<Record<string, VolumeObjects>>;
}

/** The wish that a pod ends; a later one may shorten the grace period. */
export interface StopRequest {
  /** Seconds between SIGTERM and SIGKILL, counted from `requestedAt`; 0 kills at once. */
  readonly gracePeriodSeconds: number;
  /** RFC 3339. */
  readonly requestedAt: string;
  /** For events and messages, e.g. `Deleted`, `TimeLimit`. */
  readonly reason: string;
}

/** What the runner knows, whole; the last record in `events.ndjson` is the truth about the pod's containers. */
export interface RunnerStatus {
  readonly sandbox: SandboxState;
  readonly nodeName: string;
  readonly startTime: string;
  readonly podIP?: string;
  readonly phase?: 'Failed';
  readonly reason?: string;
  readonly message?: string;
  readonly containers: readonly ContainerStatus[];
  readonly initContainers: readonly ContainerStatus[];
}

/** `reason` of a pod whose job the batch system ended while nobody had deleted the pod, and of which the runner knows no more. */
export const UNEXPLAINED_END = 'Terminated';

/** One line of `events.ndjson` and one message of the live channel. */
export interface RunnerRecord {
  /** 1 for the first, then counting up without gaps; the same on both ways. */
  readonly seq: number;
  /** RFC 3339 with milliseconds. */
  readonly time: string;
  readonly status: RunnerStatus;
  /** Events that came with this change. */
  readonly events: readonly PodEvent[];
}

/**
 * Messages on the live channel, one JSON text frame each, over a WebSocket that the runner opens to `/channel/<uid>` with
 * `Authorization: Bearer <token>`. After (re)connecting the runner sends every record after the `seq` that `hello` names.
 */
export type RunnerMessage = { readonly type: 'record'; readonly record: RunnerRecord };

/** What a sidecar says on the live channel, one JSON text frame each. */
export type SidecarMessage =
  /** First message of the sidecar: the last record that it has. */
  | { readonly type: 'hello'; readonly seq: number }
  | { readonly type: 'stop'; readonly stop: StopRequest }
  /** `contents.json` has this revision now. */
  | { readonly type: 'volumes'; readonly revision: number }
  /**
   * Asks the runner to open `/channel/<uid>/streams/<id>` with the same token and to serve `request` there: bytes of the answer in binary frames,
   * then `{"error":…}` in a text frame if it failed, then close.
   */
  | { readonly type: 'stream'; readonly id: string; readonly request: StreamRequest };

/** What can be asked of a runner; `logs` now, exec, attach and port-forward later. */
export type StreamRequest = {
  readonly kind: 'logs';
  readonly container: string;
  readonly options: import('./sidecar.ts').LogOptions;
};
