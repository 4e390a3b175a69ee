import type { Readable, Writable } from 'node:stream';
import type { RuntimeName } from '../contract/job-directory.ts';
import type { RegistryKeyring } from './registry-keyring.ts';

/** A file or directory of the worker that a container sees. */
export interface Mount {
  /** Absolute path on the worker; a file or a directory that exists. */
  readonly source: string;
  /** Absolute path in the container; made by the runtime where it does not exist, never on the host. */
  readonly target: string;
  readonly readOnly: boolean;
  /**
   * A tmpfs is wanted at `target`, of this size where given; a runtime that cannot make one binds `source`, an empty directory, instead. One that can
   * makes one for each `source`, so that the containers of the pod share it and a restart finds it again.
   */
  readonly tmpfs?: { readonly sizeBytes?: number };
  /** The source has no symbolic link; where containers have put one since, it must not be followed. */
  readonly exact?: boolean;
  /** The place is not the pod's own: its files keep their owners, whatever `fsGroup` says. */
  readonly keepOwner?: boolean;
  /** Read-only with everything that is mounted in it, also what another volume of the pod would be mounted over. */
  readonly recursiveReadOnly?: boolean;
  /** What the worker mounts in it later stays away, as it would not be read-only. */
  readonly sealed?: boolean;
  /** The pod did not ask for it (`/etc/hosts`, the termination log …): a runtime without mounts may leave it out. */
  readonly optional?: boolean;
}

/** Pod and container security contexts, merged; absent means the image's or the runtime's own choice. */
export interface ContainerSecurity {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot?: boolean;
  readonly supplementalGroups?: readonly number[];
  /** `supplementalGroupsPolicy: Strict`: the groups that the image gives its user do not count. */
  readonly onlyNamedGroups?: boolean;
  readonly fsGroup?: number;
  readonly readOnlyRootFilesystem?: boolean;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly addCapabilities?: readonly string[];
  readonly dropCapabilities?: readonly string[];
  /** `seccompProfile.type`; absent and `Unconfined` mean no filter, as with a kubelet without `seccompDefault`. */
  readonly seccomp?: 'RuntimeDefault' | 'Unconfined';
}

/** One container to start, everything resolved; the runtime adds nothing of the pod's meaning. */
export interface ContainerPlan {
  /** Unique in the pod; names files. */
  readonly name: string;
  readonly attempt: number;
  /** `command` of the spec after `$(VAR)` expansion; replaces the image's ENTRYPOINT and CMD. */
  readonly command?: readonly string[];
  /** `args` of the spec after expansion; replaces the image's CMD. */
  readonly args?: readonly string[];
  /** In order; names are unique. The image's own variables come before these and lose. */
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly workingDir?: string;
  readonly mounts: readonly Mount[];
  readonly security: ContainerSecurity;
  readonly hostname: string;
  readonly tty: boolean;
  /** Bytes of memory that the container may use, for runtimes that can enforce it. */
  readonly memoryLimitBytes?: number;
  /** Kernel settings of the pod's own shared memory and message queues, by the names of sysctl(8). */
  readonly sysctls?: readonly { readonly name: string; readonly value: string }[];
  /** Size of the `/dev/shm` that the containers of the pod share; the kernel's choice unless given. */
  readonly sharedMemoryBytes?: number;
  /** `shareProcessNamespace`: the containers of the pod see each other's processes, and none of them is process 1. */
  readonly sharedProcesses?: boolean;
  /** `name_namespace(uid)` of the pod, for messages that a kubelet writes so. */
  readonly podName?: string;
}

/** What a pull takes and tells beside the image's name. */
export interface PullContext {
  /** What the pod may show to registries; never put into argv, environment or log. */
  readonly keyring: RegistryKeyring;
  /** Called once when the image, or news of it, has to be asked for outside of this worker. */
  readonly onPulling: () => void;
}

/** What an image says when it is looked at or fetched. */
export interface ResolvedImage {
  /** Absolute path of a SIF file or an unpacked directory; the empty string for `process`. */
  readonly path: string;
  /** `imageID` of the container status: the name with a digest where there is one. */
  readonly imageId: string;
  /** Set when a registry was asked for it now: what a kubelet's event `Pulled` tells. */
  readonly pulled?: {
    readonly durationMs: number;
    /** With the time in which another job fetched it. */
    readonly waitedMs: number;
    readonly sizeBytes: number;
  };
}

/** Why an image cannot be had; `reason` is the kubelet's waiting reason. */
export type ImageFault = 'InvalidImageName' | 'ErrImageNeverPull' | 'ErrImagePull' | 'ImageInspectError';

/** How a container ended. */
export interface ContainerExit {
  /** 0–255; 128+n after signal n, 137 after an out-of-memory kill. */
  readonly exitCode: number;
  /** Number of the signal where the runtime knows that one ended the container's first process. */
  readonly signal?: number;
  readonly oomKilled: boolean;
  /** RFC 3339. */
  readonly finishedAt: string;
}

/** A container whose first process has started. */
export interface RunningContainer {
  /** 64 hex digits, unique. */
  readonly id: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Host pid of the container's first process, for namespaces, probes and exec; undefined where the runtime hides it. */
  readonly pid: number | undefined;
  /** What the image wants its program to be stopped with; SIGTERM unless given. */
  readonly stopSignal?: NodeJS.Signals;
  /** Settles after both output streams have been written to the end. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  /** Sends the signal to the container's first process; SIGKILL ends everything in it. Does nothing once it has ended. */
  kill(signal: NodeJS.Signals): void;
  /**
   * Starts another program in the container: its namespaces, root, environment, working directory, user and restrictions are those of the container's own. It ends
   * with the container at the latest. Resolves once it has been executed.
   *
   * @throws NotFound with code `ContainerNotRunning` when the container has ended; Invalid with code `ExecError` when the program is missing, may not be
   * executed, or a step before it fails: the message is what a kubelet says. The reason of `request.signal` when that is aborted already.
   */
  exec(request: ExecRequest): Promise<RunningExec>;
}

/** A program to be run in a container beside its own. */
export interface ExecRequest {
  /** The program, looked up in the container's PATH unless it has a slash, and its arguments. */
  readonly argv: readonly string[];
  /** Only programs without a terminal can be run so far. */
  readonly tty?: false;
  /** What the program reads; absent: nothing. Goes on being read when the program does not want it, so that its sender does not get stuck. */
  readonly stdin?: Readable;
  /** Ended when the program, and all that it has left behind, have closed their output. */
  readonly output: ContainerOutput;
  /** Kills the program and everything it has started, as `kill('SIGKILL')`. */
  readonly signal: AbortSignal;
}

/** A program that runs in a container beside its own. */
export interface RunningExec {
  /** Settles after both output streams have been written to the end; 128+n after signal n. Never rejects. */
  readonly exited: Promise<{ readonly exitCode: number }>;
  /** Sends the signal to the program; SIGKILL also ends everything that it has started. Does nothing once it has ended. */
  kill(signal: NodeJS.Signals): void;
}

/** Where the two output streams of a container go. */
export interface ContainerOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** How containers are made on this worker; one file per runtime. */
export interface ContainerRuntime {
  readonly name: RuntimeName;
  /** @throws Unsupported when this worker cannot run it; the message names what is missing and what to do. */
  probe(signal: AbortSignal): Promise<void>;
  /**
   * Finds or fetches the image.
   * @throws InterlinkError whose `code` is an {@link ImageFault} and whose message is the runtime's own words.
   */
  resolveImage(
    image: string,
    pullPolicy: 'Always' | 'IfNotPresent' | 'Never',
    signal: AbortSignal,
    pull: PullContext,
  ): Promise<ResolvedImage>;
  /**
   * Starts the container; resolves when its first process runs.
   * @throws InterlinkError with code `StartError` (exit code 128: the program is missing or may not be executed, the working directory is no
   * directory) or `CreateContainerConfigError` (the plan asks for what this runtime cannot give: the message says what).
   */
  start(plan: ContainerPlan, image: ResolvedImage, output: ContainerOutput): Promise<RunningContainer>;
  /** Gives files of the worker to a group of the pod; does nothing where the pod has no such group or the caller can do it itself. */
  giveToGroup?(paths: readonly string[], gid: number): Promise<void>;
  /** Bytes that directories hold on their disk, also what belongs to the pod's other users. Before {@link close}. */
  diskUsage?(paths: readonly string[]): Promise<readonly number[]>;
  /** Removes directories with all that the pod has put there, also what belongs to its other users. Before {@link close}. */
  removeTrees?(paths: readonly string[]): Promise<void>;
  /** Ends what the runtime holds for the pod as a whole, with every process in it. Without this call it ends with the runner's process. */
  close?(): Promise<void>;
}
