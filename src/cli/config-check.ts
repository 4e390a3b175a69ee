import { loadConfig } from '../config/load-config.ts';
import type { CliCommand } from './cli-command.ts';
import { addConfigOption, configSources } from './config-options.ts';
import { loadAllSchemas, SECTIONS } from './config-sections.ts';
import { EXIT } from './exit-codes.ts';
import { examplesHelp } from './help-text.ts';

/** `interlink config check`: 0 when every section that is set anywhere is valid, else 3 with all problems on standard error. */
export const configCheck: CliCommand = {
  configure(command) {
    addConfigOption(command);
    command.addHelpText('after', examplesHelp(['before a restart', 'interlink config check --config site.yaml']));
  },

  async run(input, io) {
    const sources = configSources(input, io);
    const loaded = await loadConfig(await loadAllSchemas(), sources, { optional: true });
    const set = SECTIONS.filter((section) => loaded.isSet(section));
    io.stdout.write(`valid: ${set.length === 0 ? 'nothing is set, defaults hold' : set.join(', ')}\n`);
    return EXIT.ok;
  },
};
