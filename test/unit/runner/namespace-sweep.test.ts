import { describe, expect, it } from 'vitest';
import { containerProcesses } from '../../../src/runner/namespace-sweep.ts';

describe.runIf(process.platform === 'linux')("a container's processes in a shared process namespace", () => {
  it('are not looked for when the keeper has ended', () => {
    expect(containerProcesses(2 ** 22 + 1, process.pid)).toBeUndefined();
  });

  it('are never those of the worker, whatever process a number means', () => {
    // The fault: both numbers belong to a process of the worker.
    expect(() => containerProcesses(process.pid, process.pid)).toThrow('in the namespaces of its runner');
  });
});
