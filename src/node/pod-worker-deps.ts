import type { ResourceList } from '../kube/container-resource.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import type { PodAdmission } from './pod-admission.ts';
import type { PodRemovalDeps } from './pod-removal.ts';
import type { SiteView } from './pod-site-view.ts';
import type { PodStartDeps } from './pod-start.ts';
import type { PodVolumeFeedDeps } from './pod-volume-feed.ts';

/** What the worker of a pod works with; shared by all pods of the node. */
export interface PodWorkerDeps extends Pick<PodRemovalDeps, 'kube' | 'sidecar' | 'clock' | 'logger'> {
  readonly events: Pick<EventRecorder, 'record'>;
  readonly site: Pick<SiteView, 'isSynced' | 'get'>;
  readonly admission: PodAdmission;
  readonly start: PodStartDeps;
  readonly volumes: Pick<PodVolumeFeedDeps, 'updates' | 'support' | 'openVolumes'>;
  readonly hostIPs: readonly string[];
  readonly allocatable: () => ResourceList;
  readonly limits: {
    /** After the grace period the site has this long to confirm the end that it has promised. */
    readonly stopMarginMs: number;
    /** For this long a pod that the site has had and does not know any more is not given up. */
    readonly lostAfterMs: number;
  };
}
