/** Resolves when the signal aborts, at once if it already has. The listener goes with `until`; the promise is then left as it is. */
export function aborted(signal: AbortSignal, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true, signal: until });
  });
}
