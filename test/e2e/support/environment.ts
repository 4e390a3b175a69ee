import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** A part of the set-up that `scripts/e2e/up.sh` brings up or says why it cannot. */
export type Part = 'user' | 'kube' | 'slurm' | 'image' | 'registry' | 'apptainer' | 'podman' | 'charliecloud';

const directory = process.env.INTERLINK_E2E_DIR ?? '/var/lib/interlink-e2e';

/** Where things are on this machine. */
export const environment = {
  root: resolve(import.meta.dirname, '../../..'),
  directory,
  /** The user that submits. */
  user: process.env.INTERLINK_E2E_USER ?? 'hpc',
  kubeconfig: join(directory, 'kube/admin.kubeconfig'),
  kubectl: join(directory, 'kube/bin/kubectl'),
  clusterCa: join(directory, 'kube/pki/ca.crt'),
  slurmConf: join(directory, 'slurm/etc/slurm.conf'),
  clusterCaKey: join(directory, 'kube/pki/ca.key'),
  imageSif: join(directory, 'images/busybox.sif'),
  executable: resolve(import.meta.dirname, '../../../dist/interlink'),
  /** Everything that stacks of these tests write. */
  stacks: join(directory, 'stack'),
} as const;

/** The name by which pods ask for the image. */
export const IMAGE = 'localhost/busybox:latest';

/** Why these tests cannot run here, or undefined when they can. */
export function missing(parts: readonly Part[]): string | undefined {
  if (!existsSync(environment.executable)) return 'dist/interlink is not built: npm run build';
  for (const part of parts) {
    const file = join(directory, 'parts', part);
    const state = existsSync(file) ? readFileSync(file, 'utf8').trim() : 'not brought up: npm run test:e2e does it';
    if (state !== 'ok') return `${part}: ${state}`;
  }
  return undefined;
}

export const EVERYTHING: readonly Part[] = ['user', 'kube', 'slurm', 'apptainer', 'image'];
