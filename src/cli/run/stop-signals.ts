import { once } from 'node:events';

/** The part of `process` that gives signals. */
export type SignalSource = Pick<NodeJS.Process, 'on' | 'off' | 'once'>;

const NAMES = ['SIGINT', 'SIGTERM'] as const;

/** Counts SIGINT and SIGTERM until it is disposed; while it lives they do not end the process. */
export interface StopSignals extends Disposable {
  /** Resolves with the signal's name once `count` signals have come; at once if they have. */
  received(count: number): Promise<NodeJS.Signals>;
}

/** Listens from now on. */
export function listenForStop(source: SignalSource): StopSignals {
  const names: NodeJS.Signals[] = [];
  const target = new EventTarget();
  const onSignal = (name: NodeJS.Signals): void => {
    names.push(name);
    target.dispatchEvent(new Event('signal'));
  };
  for (const name of NAMES) source.on(name, onSignal);
  return {
    async received(count) {
      while (names.length < count) await once(target, 'signal');
      return names[count - 1] as NodeJS.Signals;
    },
    [Symbol.dispose]() {
      for (const name of NAMES) source.off(name, onSignal);
    },
  };
}
