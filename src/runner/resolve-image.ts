import { goDuration } from '../base/go-duration.ts';
import type { Container } from '../kube/types.ts';
import type { ContainerRuntime, ResolvedImage } from './container-runtime.ts';
import type { NewEvent, PodRecorder } from './pod-recorder.ts';
import type { PullSecrets } from './pull-secrets.ts';

export interface ResolveImageDeps {
  readonly runtime: ContainerRuntime;
  readonly pullSecrets: PullSecrets;
  readonly recorder: PodRecorder;
}

/**
 * Finds or fetches the image of a container, with a kubelet's events `Pulling` and `Pulled`.
 *
 * @throws as `ContainerRuntime.resolveImage`
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/images/image_manager.go EnsureImageExists
 */
export async function resolveImage(
  { image = '', imagePullPolicy }: Container,
  fieldPath: string,
  { runtime, pullSecrets, recorder }: ResolveImageDeps,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const tell = (reason: string, message: string): void => {
    const event: NewEvent = { type: 'Normal', reason, message, fieldPath };
    recorder.change({}, {}, [event]);
  };
  const policy = (imagePullPolicy ?? defaultPullPolicy(image)) as 'Always' | 'IfNotPresent' | 'Never';
  const resolved = await runtime.resolveImage(image, policy, signal, {
    keyring: await pullSecrets.keyring(),
    onPulling: () => tell('Pulling', `Pulling image "${image}"`),
  });
  const { pulled } = resolved;
  if (pulled) {
    const [took, waited] = [goDuration(pulled.durationMs), goDuration(pulled.durationMs + pulled.waitedMs)];
    const size = `Image size: ${pulled.sizeBytes} bytes.`;
    tell('Pulled', `Successfully pulled image "${image}" in ${took} (${waited} including waiting). ${size}`);
  } else if (resolved.path !== '')
    tell('Pulled', `Container image "${image}" already present on machine and can be accessed by the pod`);
  return resolved;
}

/** The API server's default, for pods that did not pass one. */
function defaultPullPolicy(image: string): 'Always' | 'IfNotPresent' {
  const name = image.slice(image.lastIndexOf('/') + 1);
  const isLatest = !name.includes('@') && (!name.includes(':') || name.endsWith(':latest'));
  return isLatest ? 'Always' : 'IfNotPresent';
}
