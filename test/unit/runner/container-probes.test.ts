import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Container, Probe } from '../../../src/kube/types.ts';
import { ContainerProbes } from '../../../src/runner/container-probes.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeContainer, type FakeProgram } from '../../fakes/fake-container.ts';

const START = Date.UTC(2026, 10, 29);

/** Probes a container whose programs are called `startup`, `liveness` and `readiness`; `log` has what was told, with the second. */
function watch(
  probes: Partial<Record<'startup' | 'liveness' | 'readiness', Probe>>,
  program: FakeProgram,
  { kind = 'main', startedAt = new Date(START).toISOString() }: { kind?: 'init' | 'main'; startedAt?: string } = {},
) {
  const clock = new FakeClock(START);
  const running = new FakeContainer(startedAt, program);
  const log: string[] = [];
  const seconds = (): number => clock.monotonicMs() / 1000;
  const at = (what: string): number => log.push(`${seconds()} ${what}`);
  const container: Container = { name: 'c' };
  for (const name of ['startup', 'liveness', 'readiness'] as const)
    if (probes[name]) container[`${name}Probe`] = { exec: { command: [name] }, ...probes[name] };
  const watched = new ContainerProbes({
    container,
    kind,
    running,
    podIP: '127.0.0.1',
    clock,
    logger: silentLogger,
    onStarted: () => at('started'),
    onReady: (isReady) => at(isReady ? 'ready' : 'not ready'),
    onUnhealthy: (probe, grace) => at(`${probe} failed${grace === undefined ? '' : ` grace ${grace}`}`),
    onEvent: ({ type, reason, message, fieldPath }) => at(`${type} ${reason} ${fieldPath}: ${message}`),
  });
  const told = (): string[] => log.filter((line) => !line.includes('Warning'));
  const events = (): string[] => log.filter((line) => line.includes('Warning'));
  return { clock, running, watched, told, events, advance: (s: number) => advance(clock, s) };
}

async function advance(clock: FakeClock, seconds: number): Promise<void> {
  for (let ms = 0; ms < seconds * 1000; ms += 100) {
    await settle();
    await clock.advance(100);
  }
  await settle();
}

/** Lets everything run that does not wait for time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('the probes of a container', () => {
  it('say at once that it has started and is ready when there are none', async () => {
    const { told } = watch({}, () => 0);
    expect(told()).toEqual([]);
    await Promise.resolve();
    expect(told()).toEqual(['0 started', '0 ready']);
  });

  it('begin at once and repeat each period', async () => {
    const { told, running, advance } = watch({ readiness: { periodSeconds: 2 } }, () => 0);
    await advance(5);
    expect(told()).toEqual(['0 started', '0 ready']);
    expect(running.programs).toHaveLength(3);
  });

  it('have the defaults of Kubernetes: each 10 s, three failures in a row', async () => {
    const { told, running, advance } = watch({ liveness: {} }, () => 1);
    await advance(19);
    expect(running.programs).toHaveLength(2);
    expect(told()).toEqual(['0 started', '0 ready']);
    await advance(60);
    expect(told().at(-1)).toBe('20 liveness failed');
    expect(running.programs).toHaveLength(3);
  });

  it('wait for the initial delay, which counts from the start of the container', async () => {
    const startedAt = new Date(START - 2_000).toISOString();
    const { told, advance } = watch({ readiness: { initialDelaySeconds: 5 } }, () => 0, { startedAt });
    await advance(2.9);
    expect(told()).toEqual(['0 started']);
    await advance(1);
    expect(told()).toEqual(['0 started', '3 ready']);
  });

  it('follow readiness as it comes and goes, by its thresholds', async () => {
    const answers = [1, 0, 0, 1, 0, 1, 1, 1, 0, 0];
    const { told, events, advance } = watch(
      { readiness: { periodSeconds: 1, successThreshold: 2, failureThreshold: 2 } },
      () => answers.shift() ?? 0,
    );
    await advance(9.5);
    expect(told()).toEqual(['0 started', '2 ready', '6 not ready', '9 ready']);
    expect(events()).toHaveLength(5);
  });

  it('keep the others back until the startup probe has passed', async () => {
    let isUp = false;
    const { told, running, clock, advance } = watch(
      {
        startup: { periodSeconds: 1, failureThreshold: 10 },
        liveness: { periodSeconds: 1, failureThreshold: 1 },
        readiness: { periodSeconds: 1 },
      },
      ({ argv }) => (argv[0] === 'startup' && !isUp ? 1 : 0),
    );
    await advance(2.5);
    expect(told()).toEqual([]);
    expect(new Set(running.programs)).toEqual(new Set(['startup']));
    isUp = true;
    await advance(2);
    expect(told()).toEqual(['3 started', '3 ready']);
    expect(running.programs.filter((name) => name === 'startup')).toHaveLength(4);
    expect(clock.monotonicMs()).toBe(4_500);
  });

  it('ask for a restart once when the startup probe fails, with its own grace time', async () => {
    const { told, running, advance } = watch(
      { startup: { periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 7 }, readiness: {} },
      () => 1,
    );
    await advance(10);
    expect(told()).toEqual(['1 startup failed grace 7']);
    expect(running.programs).toHaveLength(2);
  });

  it('go on with readiness, and only with that, while the container is stopped', async () => {
    let code = 0;
    const probe = { periodSeconds: 1, failureThreshold: 1 };
    const { told, watched, advance } = watch({ liveness: probe, readiness: probe }, () => code);
    await advance(0.5);
    watched.beginStop();
    code = 1;
    await advance(3);
    expect(told()).toEqual(['0 started', '0 ready', '1 not ready']);
    watched.close();
    code = 0;
    await advance(3);
    expect(told()).toHaveLength(3);
  });

  it('say nothing after the end, and kill the program that runs', async () => {
    const { told, events, running, watched, advance } = watch(
      { readiness: { timeoutSeconds: 60 } },
      () => new Promise(() => {}),
    );
    await advance(1);
    watched.close();
    await advance(30);
    expect([told(), events()]).toEqual([['0 started'], []]);
    expect(running.killed).toBe(1);
    expect(running.programs).toHaveLength(1);
  });

  it('say nothing at all when the container has ended at once', async () => {
    const { told, watched, advance } = watch({}, () => 0);
    watched.close();
    await advance(1);
    expect(told()).toEqual([]);
  });

  it('kill a program that takes longer than its time, which is a failure', async () => {
    const { told, events, running, advance } = watch(
      { liveness: { periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 1, exec: { command: ['sleep', '60'] } } },
      () => new Promise(() => {}),
    );
    await advance(3);
    expect(events()).toEqual([
      '2 Warning Unhealthy spec.containers{c}: Liveness probe failed: command timed out: "sleep 60" timed out after 2s',
    ]);
    expect(told().at(-1)).toBe('2 liveness failed');
    expect(running.killed).toBe(1);
  });

  it('follow one that takes longer than its period by one more at once', async () => {
    const { running, clock, advance } = watch({ readiness: { periodSeconds: 1, timeoutSeconds: 10 } }, async () => {
      await clock.sleep(2_500);
      return 0;
    });
    await advance(5.2);
    expect(running.programs).toHaveLength(3);
  });

  it('show the output of the program, and where it belongs', async () => {
    const { events, advance } = watch(
      { readiness: {} },
      ({ output }) => {
        output.stdout.write('not well\n');
        output.stderr.write(Buffer.alloc(20_000, 'x'));
        return 4;
      },
      { kind: 'init' },
    );
    await advance(0.5);
    const [event = ''] = events();
    expect(event).toMatch(/^0 Warning Unhealthy spec\.initContainers\{c\}: Readiness probe failed: not well\nxxx/);
    expect(event.slice(event.indexOf('not well'))).toHaveLength(10 * 1024);
  });

  it('find nothing out by a program that cannot be executed: three tries, an event, no verdict', async () => {
    const { told, events, running, advance } = watch({ liveness: { periodSeconds: 1, failureThreshold: 1 } }, () => {
      throw new InterlinkError('Invalid', 'OCI runtime exec failed: nope', { code: 'ExecError' });
    });
    await advance(0.5);
    expect(running.programs).toHaveLength(3);
    expect(events()).toEqual([
      '0 Warning Unhealthy spec.containers{c}: Liveness probe errored and resulted in unknown state: failed to exec in container: OCI runtime exec failed: nope',
    ]);
    await advance(5);
    expect(told()).toEqual(['0 started', '0 ready']);
  });

  it('are silent about a container that has just ended', async () => {
    const { events, told, advance } = watch({ readiness: {}, liveness: { failureThreshold: 1 } }, () => {
      throw new InterlinkError('NotFound', 'container is not running', { code: 'ContainerNotRunning' });
    });
    await advance(1);
    expect([told(), events()]).toEqual([['0 started'], []]);
  });

  it('tell of a failure that never ends 25 times, then each 5 minutes', async () => {
    const { events, advance } = watch({ readiness: { periodSeconds: 1 } }, () => 1);
    await advance(60);
    expect(events()).toHaveLength(25);
    await advance(241);
    expect(events()).toHaveLength(26);
  });
});
