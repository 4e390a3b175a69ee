import { EventEmitter } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { installShutdown, type ShutdownProcess } from '../../../src/cli/shutdown.ts';
import { memoryIo } from './memory-io.ts';

function target(): { process: ShutdownProcess & EventEmitter; codes: (number | string | null | undefined)[] } {
  const codes: (number | string | null | undefined)[] = [];
  const exit = (code?: number | string | null): void => void codes.push(code);
  return { process: Object.assign(new EventEmitter(), { exit }) as never, codes };
}

describe('installShutdown', () => {
  it.each(['SIGTERM', 'SIGINT'])('aborts on %s and ends at once on the second signal', (name) => {
    const { process, codes } = target();
    const io = memoryIo();
    using shutdown = installShutdown(process, io.stderr);
    process.emit(name, name);
    expect(shutdown.signal.reason).toEqual(new Error(`stopped by ${name}`));
    expect(codes).toEqual([]);
    process.emit(name, name);
    expect(codes).toEqual([name === 'SIGINT' ? 130 : 143]);
    expect(io.err()).toContain('second signal');
  });

  it('ends the process when the grace time is over', () => {
    vi.useFakeTimers();
    try {
      const { process, codes } = target();
      using _shutdown = installShutdown(process, memoryIo().stderr, { graceMs: 30_000 });
      process.emit('SIGTERM', 'SIGTERM');
      vi.advanceTimersByTime(29_999);
      expect(codes).toEqual([]);
      vi.advanceTimersByTime(1);
      expect(codes).toEqual([1]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('stops on SIGHUP only when the terminal goes away with it', () => {
    for (const tty of [true, false]) {
      const { process } = target();
      using shutdown = installShutdown(process, memoryIo({ tty }).stderr);
      process.emit('SIGHUP', 'SIGHUP');
      expect(shutdown.signal.aborted).toBe(tty);
    }
  });

  it('leaves no listener behind', () => {
    const { process } = target();
    installShutdown(process, memoryIo().stderr)[Symbol.dispose]();
    expect(process.eventNames()).toEqual([]);
  });
});
