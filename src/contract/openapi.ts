import { z } from 'zod';
import { ERROR_KINDS, type ErrorKind } from '../base/errors.ts';
import * as wireSchemas from './wire-schemas.ts';

const {
  capabilitiesSchema,
  createAnswerSchema,
  createRequestSchema,
  errorSchema,
  logRequestSchema,
  pingAnswerSchema,
  podSchema,
  podStatusSchema,
  retrievedPodSchema,
  volumeUpdateSchema,
  watchEventSchema,
} = wireSchemas;

type Json = Readonly<Record<string, unknown>>;

interface Operation {
  readonly summary: string;
  readonly request?: z.ZodType | readonly z.ZodType[];
  readonly requestIsList?: boolean;
  readonly answer: Json;
  readonly errors: readonly ErrorKind[];
  /** Methods that are documented; a server takes every other one in the same way. */
  readonly methods: readonly ('get' | 'post' | 'delete')[];
}

const json = (schema: Json): Json => ({ content: { 'application/json': { schema } } });
const text = (mediaType: string, schema: Json = { type: 'string' }): Json => ({ content: { [mediaType]: { schema } } });
const nothing: Json = {};

const ALWAYS: readonly ErrorKind[] = [
  'Unauthenticated',
  'Forbidden',
  'TooManyRequests',
  'Internal',
  'Unavailable',
  'DeadlineExceeded',
];

const NOT_OFFERED = (capability: string): Operation => ({
  summary: `Needs the capability \`${capability}\`; 501 without it.`,
  answer: nothing,
  errors: ['Unsupported'],
  methods: ['get'],
});

const operations = (): Readonly<Record<string, Operation>> => ({
  '/create': {
    summary:
      'Takes a pod and answers with its job id. Idempotent by UID. A node sends the first shape, an API server the second; a list of one is taken too.',
    request: [createRequestSchema, retrievedPodSchema],
    answer: json(reference(createAnswerSchema)),
    errors: ['Invalid', 'Conflict', 'TooLarge'],
    methods: ['post'],
  },
  '/delete': {
    summary: 'Asks for the end of a pod; succeeds for unknown and finished ones.',
    request: podSchema,
    answer: json({ type: 'object' }),
    errors: ['Invalid', 'TooLarge'],
    methods: ['post', 'delete'],
  },
  '/status': {
    summary:
      'Statuses of the pods in the body, unknown ones left out. An empty list asks a sidecar for the answer of a ping.',
    request: podSchema,
    requestIsList: true,
    answer: json({
      oneOf: [{ type: ['array', 'null'], items: reference(podStatusSchema) }, reference(pingAnswerSchema)],
    }),
    errors: ['Invalid', 'TooLarge'],
    methods: ['get', 'post'],
  },
  '/getLogs': {
    summary: 'The log of a container, streamed; with `Follow` until it ends.',
    request: logRequestSchema,
    answer: text('text/plain'),
    errors: ['Invalid', 'NotFound', 'TooLarge', 'Unsupported'],
    methods: ['get', 'post'],
  },
  '/pinglink': {
    summary: 'Whether the site is reachable and what it offers.',
    answer: json(reference(pingAnswerSchema)),
    errors: [],
    methods: ['post'],
  },
  '/updateCache': {
    summary: 'Kept for existing nodes; does nothing.',
    answer: text('text/plain'),
    errors: [],
    methods: ['post'],
  },
  '/capabilities': {
    summary: 'What this peer offers. A peer that answers 404 offers the base calls only.',
    answer: json(reference(capabilitiesSchema)),
    errors: [],
    methods: ['get'],
  },
  '/watch': {
    summary:
      'A snapshot, then each change, one JSON object a line, with a heartbeat at least every 15 s. Needs the capability `watch`.',
    answer: text('application/x-ndjson', reference(watchEventSchema)),
    errors: ['Unsupported'],
    methods: ['get'],
  },
  '/exec': NOT_OFFERED('exec'),
  '/attach': NOT_OFFERED('attach'),
  '/portForward': NOT_OFFERED('portForward'),
  '/volumes': {
    summary:
      'New content of volumes of a pod, which its running containers see and later ones start with; the same content again changes nothing. Needs the capability `volumes`.',
    request: volumeUpdateSchema,
    answer: json({ type: 'object' }),
    errors: ['Invalid', 'NotFound', 'TooLarge', 'Unsupported'],
    methods: ['post'],
  },
  '/stats': NOT_OFFERED('stats'),
  '/healthz': { summary: 'Whether the process answers.', answer: text('text/plain'), errors: [], methods: ['get'] },
});

/**
 * The REST contract as an OpenAPI 3.1 document. Its schemas are those that the codecs check with, so they cannot differ. `version` is that of the program.
 * @see https://spec.openapis.org/oas/v3.1.1.html
 */
export function openApiDocument(version = '0.0.0'): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'interLink',
      version,
      description:
        'What a node, an API server or proxy, and a sidecar say to each other. Paths stand at the root. `GET` requests have a body. Servers take any method, read keys in any case and answer success with 200.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ bearer: [] }, {}],
    paths: Object.fromEntries(
      Object.entries(operations()).map(([path, operation]) => [path, pathItem(path, operation)]),
    ),
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: componentSchemas(),
    },
  };
}

function pathItem(path: string, operation: Operation): Json {
  return Object.fromEntries(
    operation.methods.map((method) => [
      method,
      {
        operationId: `${method}${path.slice(1).replace(/^./, (first) => first.toUpperCase())}`,
        summary: operation.summary,
        parameters: [
          {
            name: 'InterLink-Http-Session',
            in: 'header',
            required: false,
            schema: { type: 'string', maxLength: 128 },
            description: 'Correlates the log lines of all hops.',
          },
        ],
        ...(operation.request === undefined ? {} : { requestBody: requestBody(operation) }),
        responses: responses(operation),
      },
    ]),
  );
}

function requestBody({ request = [], requestIsList = false }: Operation): Json {
  const shapes = [request].flat().map(reference);
  const schema = shapes.length === 1 ? (shapes[0] ?? {}) : { oneOf: shapes };
  return { required: true, ...json(requestIsList ? { type: 'array', items: schema } : schema) };
}

function responses({ answer, errors }: Operation): Json {
  const kinds = [...errors, ...ALWAYS];
  const failures = kinds.map((kind) => [
    String(ERROR_KINDS[kind].httpStatus),
    {
      description: kind,
      content: {
        'application/json': { schema: reference(errorSchema) },
        'text/plain': { schema: { type: 'string' } },
      },
    },
  ]);
  return Object.fromEntries([['200', { description: 'Success', ...answer }], ...failures]);
}

function reference(schema: z.ZodType): Json {
  return { $ref: `#/components/schemas/${schema.meta()?.id}` };
}

function componentSchemas(): Json {
  const registry = z.registry<{ readonly id: string }>();
  for (const schema of Object.values(wireSchemas)) registry.add(schema, { id: String(schema.meta()?.id) });
  const { schemas } = z.toJSONSchema(registry, {
    target: 'draft-2020-12',
    io: 'input',
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(schemas)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([id, { $schema: _dialect, $id: _address, ...schema }]) => [id, schema]),
  );
}
