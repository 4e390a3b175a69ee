import { InterlinkError } from '../base/errors.ts';
import type { Container, Pod } from '../kube/types.ts';
import type { ContainerSecurity } from './container-runtime.ts';

/**
 * Security context of the container over that of the pod. `runAsGroup` without `runAsUser` of the same level still counts, as in a kubelet.
 *
 * @throws InterlinkError with code `CreateContainerConfigError` for a seccomp profile out of a file
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/securitycontext/util.go DetermineEffectiveSecurityContext
 */
export function containerSecurity(pod: Pod, container: Container): ContainerSecurity {
  const ofPod = pod.spec?.securityContext;
  const own = container.securityContext;
  return withoutUndefined({
    runAsUser: own?.runAsUser ?? ofPod?.runAsUser,
    runAsGroup: own?.runAsGroup ?? ofPod?.runAsGroup,
    runAsNonRoot: own?.runAsNonRoot ?? ofPod?.runAsNonRoot,
    supplementalGroups: ofPod?.supplementalGroups,
    onlyNamedGroups:
      (ofPod as { supplementalGroupsPolicy?: string } | undefined)?.supplementalGroupsPolicy === 'Strict' || undefined,
    fsGroup: ofPod?.fsGroup,
    readOnlyRootFilesystem: own?.readOnlyRootFilesystem,
    privileged: own?.privileged,
    allowPrivilegeEscalation: own?.allowPrivilegeEscalation,
    addCapabilities: own?.capabilities?.add,
    dropCapabilities: own?.capabilities?.drop,
    seccomp: seccompOf(own?.seccompProfile?.type ?? ofPod?.seccompProfile?.type),
  });
}

function seccompOf(type: string | undefined): 'RuntimeDefault' | 'Unconfined' | undefined {
  if (type === undefined || type === 'RuntimeDefault' || type === 'Unconfined') return type;
  throw new InterlinkError(
    'Invalid',
    `seccompProfile of type ${type} cannot be had: its file would be on a node; use RuntimeDefault`,
    {
      code: 'CreateContainerConfigError',
    },
  );
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
