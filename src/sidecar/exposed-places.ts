import { realpathSync } from 'node:fs';
import type { VolumesConfig } from './site-config.ts';

/** Configuration keys of the places through which pods could reach `directory`, as far as this machine can tell. */
export function exposedPlaces({ hostPaths, claims }: VolumesConfig, directory: string): readonly string[] {
  const places = [
    ...hostPaths.map(({ path, rewrite }, index) => [`sidecar.volumes.hostPaths[${index}]`, rewrite ?? path] as const),
    ...Object.entries(claims).map(([name, { path }]) => [`sidecar.volumes.claims.${name}`, path] as const),
  ];
  const inside = resolved(directory);
  return places.filter(([, path]) => holds(resolved(path), inside)).map(([key]) => key);
}

function holds(top: string, path: string): boolean {
  return path === top || path.startsWith(top === '/' ? top : `${top}/`);
}

/** Without symbolic links; as it is where only the workers have it. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
