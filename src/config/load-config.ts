import type { z } from 'zod';
import { nearest } from '../base/nearest.ts';
import type { Assignment } from './assignment.ts';
import { type ConfigKey, listConfigKeys } from './config-key.ts';
import { type ConfigPath, renderPath } from './config-path.ts';
import { ConfigTree } from './config-tree.ts';
import { describeIssue } from './describe-issue.ts';
import type { ConfigFilePath } from './find-files.ts';
import { configError, type Problem } from './problem.ts';
import { readEnvironment } from './read-environment.ts';
import { readConfigFile } from './read-file.ts';
import { readFlags } from './read-flags.ts';

/** The sections that are wanted, each with the schema of the room that owns it. */
export type SectionSchemas = Readonly<Record<string, z.ZodType>>;

/** Where the configuration comes from; later sources win: defaults, files in order, environment, flags. */
export interface ConfigSources {
  readonly files: readonly ConfigFilePath[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Rendered path of a key → text; see {@link listConfigKeys} for the keys. */
  readonly flags?: ReadonlyMap<string, string>;
  /** Every section that a file may hold; those not asked for are left unread. */
  readonly knownSections: readonly string[];
}

/** A configuration that fits its schemas. */
export interface LoadedConfig<S extends SectionSchemas> {
  /** Deeply frozen. */
  readonly values: { readonly [K in keyof S]: z.output<S[K]> };
  /** Where the value at the path was set; `default` when it was set nowhere. */
  originOf(path: ConfigPath): string;
  /** Whether any source sets something in the section. */
  isSet(section: string): boolean;
}

/** How {@link loadConfig} treats sections that no source mentions. */
export interface LoadOptions {
  /** Sections that may be left out of the result when nothing is set in them and their schema wants something. */
  readonly optional?: boolean;
}

/**
 * Reads all sources and gives the values or every problem at once. Reads files and nothing else; a relative path in a value is left as it is.
 * @throws Invalid with code `config.invalid`; `details.problems` has the problems one by one.
 */
export async function loadConfig<S extends SectionSchemas>(
  schemas: S,
  sources: ConfigSources,
  options: LoadOptions = {},
): Promise<LoadedConfig<S>> {
  const keys = Object.entries(schemas).flatMap(([section, schema]) => listConfigKeys(section, schema));
  const { assignments, sections, places, problems } = await readSources(Object.keys(schemas), keys, sources);
  const tree = new ConfigTree();
  for (const assignment of assignments) tree.set(assignment);
  for (const name of sections)
    if (!sources.knownSections.includes(name)) problems.push(unknownSection(name, sources.knownSections, places));

  const values: Record<string, unknown> = {};
  const isSet = (section: string): boolean => tree.get([section]) !== undefined;
  for (const [section, schema] of Object.entries(schemas)) {
    const result = schema.safeParse(tree.get([section]) ?? {});
    if (result.success) {
      values[section] = result.data;
      continue;
    }
    if (options.optional && !isSet(section)) continue;
    for (const issue of result.error.issues)
      for (const { path, message } of describeIssue(issue, section, schema, (at) => tree.get(at))) {
        const origin = tree.originOf(path) ?? places.get(renderPath(path)) ?? tree.originBelow(path);
        const hint = origin === undefined ? hintFor(path, keys) : '';
        problems.push({ origin, path: renderPath(path), message: `${message}${hint}` });
      }
  }
  if (problems.length > 0) throw configError(problems);
  return {
    values: deepFreeze(values) as LoadedConfig<S>['values'],
    originOf: (path) => tree.originOf(path) ?? 'default',
    isSet,
  };
}

async function readSources(
  sections: readonly string[],
  keys: readonly ConfigKey[],
  { files, environment, flags, knownSections }: ConfigSources,
): Promise<{
  assignments: Assignment[];
  sections: Set<string>;
  places: Map<string, string>;
  problems: Problem[];
}> {
  const assignments: Assignment[] = [];
  const written = new Set<string>();
  const places = new Map<string, string>();
  const problems: Problem[] = [];
  for (const { path, required } of files) {
    const file = await readConfigFile(path, required);
    assignments.push(...file.assignments);
    for (const section of file.sections) written.add(section);
    for (const [key, place] of file.places) places.set(key, place);
    problems.push(...file.problems);
  }
  const fromEnvironment = readEnvironment(environment, sections, keys);
  const fromFlags = readFlags(flags ?? new Map(), keys);
  assignments.push(...fromEnvironment.assignments, ...fromFlags.assignments);
  problems.push(...fromEnvironment.problems, ...fromFlags.problems);
  const flat = assignments.filter(
    ({ path: [section, ...rest] }) => rest.length === 0 && knownSections.includes(`${section}`),
  );
  for (const { origin, path } of flat)
    problems.push({ origin, path: renderPath(path), message: 'expected a map of keys' });
  const usable = assignments.filter((assignment) => !flat.includes(assignment));
  return { assignments: usable, sections: written, places, problems };
}

function unknownSection(name: string, known: readonly string[], places: ReadonlyMap<string, string>): Problem {
  const path = renderPath([name]);
  const close = nearest(name, known);
  const hint = close === undefined ? `known: ${known.join(', ')}` : `did you mean ${close}?`;
  return { origin: places.get(path), path, message: `unknown section; ${hint}` };
}

/** For a value that is set nowhere: how to set it. */
function hintFor(path: ConfigPath, keys: readonly ConfigKey[]): string {
  const key = keys.find((candidate) => renderPath(candidate.path) === renderPath(path));
  return key ? `; set it in the file, as ${key.variable} or with ${key.flag}` : '; set it in the file';
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
