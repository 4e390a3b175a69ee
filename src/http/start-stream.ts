/** The iterator of a stream with its first step begun: a generator that has never run would not clean up after itself. */
export function startStream(body: AsyncIterable<Uint8Array>): AsyncIterator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let first: Promise<IteratorResult<Uint8Array>> | undefined = iterator.next();
  // Whoever asks for the step sees its failure.
  first.catch(() => {});
  return {
    next() {
      const step = first ?? iterator.next();
      first = undefined;
      return step;
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
