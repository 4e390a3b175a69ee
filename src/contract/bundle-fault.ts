import { InterlinkError, isKind } from '../base/errors.ts';

/** Why a pod's bundle cannot be made yet; the pod waits and the attempt is repeated. */
export interface BundleFault {
  /** A `volume` fault holds up the whole pod, an `environment` fault one container. */
  readonly part: 'volume' | 'environment';
  /** Name of the volume or container. */
  readonly name: string;
  /** The kubelet's words, without what it puts before them: `secret "s" not found`. */
  readonly message: string;
}

/**
 * An error with one or more faults; its message is that of the first, as a kubelet's event has it.
 * @param cause what made the first fault; its kind is taken over, so that a server out of reach can be told from a missing object
 */
export function bundleFaultError(faults: readonly [BundleFault, ...BundleFault[]], cause: unknown): InterlinkError {
  const [{ part, name, message }] = faults;
  const text = part === 'volume' ? `MountVolume.SetUp failed for volume ${JSON.stringify(name)} : ${message}` : message;
  const kind = isKind(
    cause,
    'Unavailable',
    'DeadlineExceeded',
    'TooManyRequests',
    'Forbidden',
    'Invalid',
    'Unsupported',
  )
    ? cause.kind
    : 'NotFound';
  return new InterlinkError(kind, text, { code: `bundle.${part}`, cause, details: { faults } });
}

/** The faults of an error of `collectBundle`; undefined for any other error. */
export function bundleFaultsOf(error: unknown): readonly BundleFault[] | undefined {
  const faults = error instanceof Error && 'details' in error ? (error as InterlinkError).details.faults : undefined;
  return Array.isArray(faults) ? (faults as BundleFault[]) : undefined;
}
