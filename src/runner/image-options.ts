import type { Mount } from './container-runtime.ts';

/** What a site may add to every container, in whatever words its tool has for it. */
export interface ImageRuntimeOptions {
  /** NVIDIA's driver libraries and devices go into each container. */
  readonly nvidia: boolean;
  /** AMD's. */
  readonly rocm: boolean;
  /** What the site puts into each container. */
  readonly binds: readonly Mount[];
  /** Every registry is asked by plain HTTP; else only those on the worker itself. */
  readonly noHttps?: boolean;
}
