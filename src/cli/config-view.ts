import { Option } from 'commander';
import { Document, isMap, isScalar, type Node, type Pair } from 'yaml';
import type { ConfigPath } from '../config/config-path.ts';
import { loadConfig } from '../config/load-config.ts';
import type { CliCommand } from './cli-command.ts';
import { addConfigOption, configSources } from './config-options.ts';
import { loadAllSchemas } from './config-sections.ts';
import { EXIT } from './exit-codes.ts';
import { examplesHelp } from './help-text.ts';

type OriginOf = (path: ConfigPath) => string;

/** `interlink config view`: the values in force, defaults included, as YAML or JSON; with `--show-origin` where each was set. */
export const configView: CliCommand = {
  configure(command) {
    addConfigOption(command);
    command
      .addOption(new Option('--show-origin', 'say for each value where it was set'))
      .addOption(new Option('-o, --output <format>', 'yaml or json').choices(['yaml', 'json']).default('yaml'))
      .addHelpText(
        'after',
        examplesHelp(['which file or variable set this value?', 'interlink config view --show-origin']),
      );
  },

  async run(input, io) {
    const sources = configSources(input, io);
    const { values, originOf } = await loadConfig(await loadAllSchemas(), sources, { optional: true });
    const withOrigins = input.options.showOrigin === true;
    const text =
      input.options.output === 'json'
        ? `${JSON.stringify(withOrigins ? listOrigins(values, originOf) : values, null, 2)}\n`
        : renderYaml(values, withOrigins ? originOf : undefined);
    io.stdout.write(text);
    return EXIT.ok;
  },
};

function renderYaml(values: unknown, originOf: OriginOf | undefined): string {
  const document = new Document(values, { aliasDuplicateObjects: false });
  if (originOf) annotate(document.contents, [], originOf);
  return document.toString({ lineWidth: 0 });
}

/** Puts the origin behind each plain value, and above each list. */
function annotate(node: unknown, path: ConfigPath, originOf: OriginOf): void {
  if (!isMap(node)) return;
  for (const { key, value } of node.items as Pair<Node, Node | null>[]) {
    const childPath = [...path, String(key)];
    if (isMap(value) && value.items.length > 0) annotate(value, childPath, originOf);
    else if (isScalar(value)) value.comment = ` ${originOf(childPath)}`;
    else key.commentBefore = ` ${originOf(childPath)}`;
  }
}

function listOrigins(values: unknown, originOf: OriginOf, path: ConfigPath = []): unknown[] {
  if (typeof values !== 'object' || values === null || Array.isArray(values) || Object.keys(values).length === 0)
    return path.length === 0 ? [] : [{ path: path.join('.'), value: values, origin: originOf(path) }];
  return Object.entries(values).flatMap(([key, value]) => listOrigins(value, originOf, [...path, key]));
}
