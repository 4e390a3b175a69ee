import { stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { FakeContainer } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';

describe('termination messages', () => {
  const write =
    (text: string, code: number, log = '') =>
    async ({ plan, exit, output }: FakeContainer) => {
      const path = plan.mounts.find(({ target }) => target === '/dev/termination-log')?.source ?? '';
      await writeFile(path, text);
      output.stdout.write(log);
      exit(code);
    };
  it('come from the file, at most 4096 bytes, and from the log only after a failure', async () => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index + 1}\n`).join('');
    const fallback = { terminationMessagePolicy: 'FallbackToLogsOnError' } as const;
    await using bench = await JobBench.create({
      spec: {
        containers: [
          { name: 'error', ...fallback },
          { name: 'success', ...fallback },
          { name: 'both', ...fallback },
        ],
      },
      scripts: { error: write('', 1, lines), success: write('', 0, 'log\n'), both: write('file\n', 1, 'log\n') },
    });
    await bench.run();
    const messages = (await bench.records()).at(-1)?.status.containers.map(({ state }) => state?.terminated?.message);
    expect(messages).toEqual([lines.slice(lines.indexOf('line 21\n')), undefined, 'file\n']);
  });

  it('are cut at 4096 bytes and the tail of the log at 2048', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }, { name: 'long', terminationMessagePolicy: 'FallbackToLogsOnError' }] },
      scripts: { c: write('m'.repeat(5000), 1), long: write('', 1, `${'x'.repeat(5000)}\n`) },
    });
    await bench.run();
    const messages = (await bench.records()).at(-1)?.status.containers.map(({ state }) => state?.terminated?.message);
    expect(messages).toEqual(['m'.repeat(4096), `${'x'.repeat(2047)}\n`]);
  });

  it('file may be written by every user', async () => {
    let mode = 0;
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }] },
      scripts: {
        c: async ({ plan, exit }) => {
          mode = (await stat(plan.mounts.find(({ target }) => target === '/dev/termination-log')?.source ?? '')).mode;
          exit(0);
        },
      },
    });
    await bench.run();
    expect(mode & 0o777).toBe(0o666);
  });
});
