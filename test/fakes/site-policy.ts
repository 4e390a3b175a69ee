import type { SitePolicy } from '../../src/sidecar/batch/site-policy.ts';
import { type PolicyConfig, policyConfig, type VolumesConfig, volumesConfig } from '../../src/sidecar/site-config.ts';

/** What a site without any configuration lets its pods have; a plain user runs the jobs. */
export function sitePolicy(
  change: Partial<Omit<SitePolicy, 'volumes'>> & { readonly volumes?: object } = {},
): SitePolicy {
  const { volumes = {}, ...rest } = change;
  const policy: PolicyConfig = policyConfig.parse({});
  const places: VolumesConfig = volumesConfig.parse(volumes);
  return {
    ...policy,
    runtime: 'apptainer',
    user: { uid: 1000, gid: 1000, groups: [1000, 50] },
    ...rest,
    volumes: places,
  };
}
