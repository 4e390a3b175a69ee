import { Option } from 'commander';
import { stringify } from 'yaml';
import { openApiDocument } from '../contract/openapi.ts';
import { buildInfo } from './build-info.ts';
import type { CliCommand } from './cli-command.ts';
import { EXIT } from './exit-codes.ts';
import { examplesHelp } from './help-text.ts';

/** `interlink openapi`: the REST contract that proxies and sidecars speak, as an OpenAPI document. */
export const openapi: CliCommand = {
  configure(command) {
    command
      .addOption(new Option('-o, --output <format>', 'yaml or json').choices(['yaml', 'json']).default('json'))
      .addHelpText(
        'after',
        examplesHelp(['for a generator of clients or servers', 'interlink openapi > interlink.json']),
      );
  },

  async run({ options }, { stdout }) {
    const document = openApiDocument(buildInfo().version);
    stdout.write(
      options.output === 'yaml'
        ? stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 })
        : `${JSON.stringify(document, null, 2)}\n`,
    );
    return EXIT.ok;
  },
};
