/**
 * Makes `src/kube/schema/core-v1.json` of Kubernetes' own OpenAPI document: `node scripts/kube-schema.ts SWAGGER.json VERSION`. The document is
 * `api/openapi-spec/swagger.json` of the k8s.io/kubernetes Go module.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface Property {
  readonly type?: string;
  readonly format?: string;
  readonly $ref?: string;
  readonly items?: Property;
  readonly additionalProperties?: Property;
}
interface Definition extends Property {
  readonly properties?: Readonly<Record<string, Property>>;
  readonly required?: readonly string[];
}

const ROOTS = ['io.k8s.api.core.v1.Pod', 'io.k8s.api.core.v1.ConfigMap', 'io.k8s.api.core.v1.Secret'];
const [path, version] = process.argv.slice(2);
if (path === undefined || version === undefined) throw new Error('usage: kube-schema.ts SWAGGER.json VERSION');
const swagger = JSON.parse(readFileSync(path, 'utf8')) as {
  definitions: Record<string, Definition>;
};

const types: Record<string, { fields: Record<string, string>; required?: readonly string[] }> = {};

/** Compact name of a type: `string`, `integer`, `boolean`, `number`, `bytes`, `quantity`, `intOrString`, `any`, `[]T`, `{}T` or a type's name. */
function typeOf(property: Property): string {
  if (property.$ref !== undefined) return referenceOf(property.$ref.slice('#/definitions/'.length));
  if (property.type === 'array') return `[]${typeOf(property.items ?? {})}`;
  if (property.type === 'object')
    return property.additionalProperties ? `{}${typeOf(property.additionalProperties)}` : 'any';
  if (property.format === 'byte') return 'bytes';
  return property.type ?? 'any';
}

function referenceOf(name: string): string {
  const definition = swagger.definitions[name];
  const short = name.slice(name.lastIndexOf('.') + 1);
  if (definition === undefined) throw new Error(`no definition ${name}`);
  if (short === 'Quantity') return 'quantity';
  if (definition.format === 'int-or-string') return 'intOrString';
  if (definition.properties === undefined) return definition.type === 'string' ? 'string' : 'any';
  if (types[short] === undefined) {
    const entry: (typeof types)[string] = { fields: {} };
    types[short] = entry;
    for (const [key, property] of Object.entries(definition.properties)) entry.fields[key] = typeOf(property);
    if (definition.required?.length) entry.required = definition.required;
  }
  return short;
}

for (const root of ROOTS) referenceOf(root);
writeFileSync('src/kube/schema/core-v1.json', `${JSON.stringify({ kubernetes: version, types }, null, 0)}\n`);
