import { Option } from 'commander';
import { buildInfo } from './build-info.ts';
import type { CliCommand } from './cli-command.ts';
import { EXIT } from './exit-codes.ts';
import { examplesHelp } from './help-text.ts';

/** `interlink version`: what this program is and what it runs on. */
export const version: CliCommand = {
  configure(command) {
    command
      .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']).default('text'))
      .addHelpText('after', examplesHelp(['for a bug report', 'interlink version -o json']));
  },

  async run({ options }, { stdout }) {
    const facts = {
      apiVersion: 'interlink/v1',
      ...buildInfo(),
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    };
    stdout.write(
      options.output === 'json'
        ? `${JSON.stringify(facts)}\n`
        : `interlink ${facts.version} (commit ${facts.commit}, node ${facts.node}, ${facts.platform})\n`,
    );
    return EXIT.ok;
  },
};
