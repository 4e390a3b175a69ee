import type { Logger } from '../base/logger.ts';
import { runServices, type Service } from '../base/service.ts';
import { buildInfo } from './build-info.ts';
import type { CliIo } from './cli-io.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';

/**
 * Runs a service until `io.signal` aborts. Its failure is one log line and decides the exit code. Switches of `config` that begin with `insecure` and
 * are on are warned about at every start.
 */
export async function runDaemon(service: Service, config: object, logger: Logger, io: CliIo): Promise<number> {
  const { version, commit } = buildInfo();
  logger.info('starting', { version, commit, pid: process.pid });
  for (const key of insecureSwitches(config)) logger.warn('an insecure setting is on', { key });
  service.ready.then(
    () => logger.info('ready'),
    () => {}, // `run` tells why.
  );
  try {
    await runServices([service], io.signal);
    logger.info('stopped');
    return EXIT.ok;
  } catch (error) {
    if (io.signal.aborted && error === io.signal.reason) return EXIT.ok;
    logger.error('failed', { err: error });
    return exitCodeOf(error);
  }
}

function insecureSwitches(value: object, path = ''): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const innerPath = path === '' ? key : `${path}.${key}`;
    if (typeof inner === 'object' && inner !== null) return insecureSwitches(inner, innerPath);
    return key.startsWith('insecure') && inner !== false && inner !== undefined ? [innerPath] : [];
  });
}
