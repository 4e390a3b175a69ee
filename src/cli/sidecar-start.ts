import { systemClock } from '../base/clock.ts';
import { localCommandRunner } from '../base/command.ts';
import { loadConfig } from '../config/load-config.ts';
import { sidecarConfig } from '../sidecar/config.ts';
import { SIDECARS, type SidecarKind } from '../sidecar/registry.ts';
import { createSidecarService } from '../sidecar/sidecar-service.ts';
import { buildInfo } from './build-info.ts';
import type { CliCommand } from './cli-command.ts';
import { addConfigOption, addKeyOptions, configSources } from './config-options.ts';
import { environmentOf } from './environment-of.ts';
import { examplesHelp } from './help-text.ts';
import { addLogOptions, loggerFor } from './log-options.ts';
import { runDaemon } from './run-daemon.ts';

/** `interlink sidecar KIND`: serves one back end, until a signal. Its jobs go on without it. */
export function sidecarStart(kind: SidecarKind): CliCommand {
  return {
    shutdown: { graceMs: 30_000 },

    configure(command) {
      addConfigOption(command);
      addLogOptions(command);
      const others = Object.keys(SIDECARS).filter((other) => other !== kind);
      addKeyOptions(command, 'sidecar', sidecarConfig, others);
      command.addHelpText(
        'after',
        examplesHelp(
          ['as the configuration says', `interlink sidecar ${kind} --config site.yaml`],
          [
            'with everything below one directory',
            `interlink sidecar ${kind} --state-directory /var/lib/interlink/${kind}`,
          ],
        ),
      );
    },

    async run(input, io) {
      const sources = configSources(input, io, { section: 'sidecar', schema: sidecarConfig });
      const { values } = await loadConfig({ sidecar: sidecarConfig }, sources);
      const logger = loggerFor(input, io).child({ component: `sidecar-${kind}` });
      const service = createSidecarService({
        kind,
        config: values.sidecar,
        clock: systemClock,
        logger,
        commands: localCommandRunner,
        environment: environmentOf(io),
        version: buildInfo().version,
      });
      return runDaemon(service, values.sidecar, logger, io);
    },
  };
}
