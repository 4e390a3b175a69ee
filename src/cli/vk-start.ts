import { systemClock } from '../base/clock.ts';
import { localCommandRunner } from '../base/command.ts';
import { loadConfig } from '../config/load-config.ts';
import { nodeConfig } from '../node/config.ts';
import { createVirtualNode } from '../node/virtual-node.ts';
import { buildInfo } from './build-info.ts';
import type { CliCommand } from './cli-command.ts';
import { addConfigOption, addKeyOptions, configSources } from './config-options.ts';
import { environmentOf } from './environment-of.ts';
import { examplesHelp } from './help-text.ts';
import { addLogOptions, loggerFor } from './log-options.ts';
import { runDaemon } from './run-daemon.ts';

/** `interlink vk start`: a node of a Kubernetes cluster whose pods run at a site, until a signal. */
export const vkStart: CliCommand = {
  shutdown: { graceMs: 30_000 },

  configure(command) {
    addConfigOption(command);
    addLogOptions(command);
    addKeyOptions(command, 'node', nodeConfig);
    command.addHelpText(
      'after',
      examplesHelp(
        ['as the configuration says', 'interlink vk start --config node.yaml'],
        [
          'without a file',
          'interlink vk start --name hpc --site-url https://site.example:8443 --site-token-file token',
        ],
      ),
    );
  },

  async run(input, io) {
    const sources = configSources(input, io, { section: 'node', schema: nodeConfig });
    const { values } = await loadConfig({ node: nodeConfig }, sources);
    const logger = loggerFor(input, io).child({ component: 'vk' });
    const service = createVirtualNode({
      config: values.node,
      clock: systemClock,
      logger,
      commands: localCommandRunner,
      environment: environmentOf(io),
      version: buildInfo().version,
      architecture: process.arch,
    });
    return runDaemon(service, values.node, logger, io);
  },
};
