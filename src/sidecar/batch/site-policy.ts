import type { RuntimeName } from '../../contract/job-directory.ts';
import type { PolicyConfig, VolumesConfig } from '../site-config.ts';

/** What pods may have at this site: the configuration, and the facts about its jobs that decide what can be done. */
export interface SitePolicy extends PolicyConfig {
  readonly volumes: VolumesConfig;
  readonly runtime: RuntimeName;
  /** The user of the jobs; pods of any other user than root get a user namespace of their own. */
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
}
