import { systemClock } from '../base/clock.ts';
import { loadConfig } from '../config/load-config.ts';
import { proxyConfig } from '../proxy/config.ts';
import { createProxyService } from '../proxy/proxy-service.ts';
import type { CliCommand } from './cli-command.ts';
import { addConfigOption, addKeyOptions, configSources } from './config-options.ts';
import { examplesHelp } from './help-text.ts';
import { addLogOptions, loggerFor } from './log-options.ts';
import { runDaemon } from './run-daemon.ts';

/** `interlink proxy start`: the one port of a site, until a signal. */
export const proxyStart: CliCommand = {
  shutdown: { graceMs: 30_000 },

  configure(command) {
    addConfigOption(command);
    addLogOptions(command);
    addKeyOptions(command, 'proxy', proxyConfig);
    command.addHelpText(
      'after',
      examplesHelp(['as the configuration says', 'interlink proxy start --config site.yaml']),
    );
  },

  async run(input, io) {
    const sources = configSources(input, io, { section: 'proxy', schema: proxyConfig });
    const { values } = await loadConfig({ proxy: proxyConfig }, sources);
    const logger = loggerFor(input, io);
    const service = createProxyService({ config: values.proxy, clock: systemClock, logger, stderr: io.stderr });
    return runDaemon(service, values.proxy, logger, io);
  },
};
