/** Something long-lived. `run` resolves after draining once `signal` aborts; any other end is a failure of the process. */
export interface Service {
  readonly name: string;
  /** Resolves when the service can do its work; callers may wait for it before they announce themselves. */
  readonly ready: Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs the services until `signal` aborts or one of them ends. The first unexpected end aborts the others; its error is
 * thrown after all have drained.
 */
export async function runServices(services: readonly Service[], signal: AbortSignal): Promise<void> {
  const controller = new AbortController();
  const all = AbortSignal.any([signal, controller.signal]);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    services.map(async (service) => {
      try {
        await service.run(all);
        if (!all.aborted) throw new Error(`${service.name} ended although nobody asked it to`);
      } catch (error) {
        if (!all.aborted) failure ??= { error };
      } finally {
        controller.abort();
      }
    }),
  );
  if (failure) throw failure.error;
}
