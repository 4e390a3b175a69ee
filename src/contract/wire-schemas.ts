import { z } from 'zod';

/**
 * The shapes on the wire, as they are checked and as the OpenAPI document shows them. They are strict about what is acted on (names, UIDs, types of
 * lists) and open for everything else, because Kubernetes objects pass through as they are. The codecs give on the object that came in, never a copy.
 */

const name = z.string().min(1);

/** Lists are `null` when they are empty in what a Go peer sends. */
const listOf = <T extends z.ZodType>(item: T) => z.array(item).nullish();

const text = z.string();

const stringMap = z.record(z.string(), text).nullish();

/** A pod of which only the identity is needed: delete and status. */
export const podSchema = z
  .looseObject({
    metadata: z.looseObject({ name, namespace: name.optional(), uid: name }),
  })
  .meta({ id: 'Pod', description: 'A Kubernetes v1 Pod; fields that are not shown pass through untouched.' });

/** A pod that shall run. */
export const podWithSpecSchema = z
  .looseObject({
    metadata: z.looseObject({ name, namespace: name.optional(), uid: name }),
    spec: z.looseObject({
      containers: z.array(z.looseObject({ name })).min(1),
      initContainers: listOf(z.looseObject({ name })),
    }),
  })
  .meta({ id: 'PodWithSpec', description: 'A Kubernetes v1 Pod whose `envFrom` and `valueFrom` are resolved.' });

/** A ConfigMap, or the content of a projected volume in the same shape. */
export const configMapSchema = z
  .looseObject({ metadata: z.looseObject({ name }), data: stringMap, binaryData: stringMap })
  .meta({ id: 'ConfigMap', description: 'A Kubernetes v1 ConfigMap; `binaryData` is base64.' });

/** A Secret. */
export const secretSchema = z
  .looseObject({ metadata: z.looseObject({ name }), data: stringMap })
  .meta({ id: 'Secret', description: 'A Kubernetes v1 Secret; `data` is base64.' });

const pullSecrets = listOf(secretSchema).meta({
  description: 'Secrets for registries; absent when there are none, and in what existing peers send or pass on.',
});

/** `/create`, node to API server. */
export const createRequestSchema = z
  .looseObject({
    pod: podWithSpecSchema,
    configmaps: listOf(configMapSchema),
    secrets: listOf(secretSchema),
    projectedvolumesmaps: listOf(configMapSchema).meta({
      description:
        'One per projected or downwardAPI volume; `metadata.name` is the name of the volume, keys are paths in it.',
    }),
    imagePullSecrets: pullSecrets,
    jobscriptURL: z.string().nullish().meta({ description: 'Always empty; a URL from a client is never followed.' }),
  })
  .meta({ id: 'PodCreateRequests', description: 'A pod with all that it needs, as a node sends it.' });

/** One element of `container` in {@link retrievedPodSchema}. */
export const retrievedContainerSchema = z
  .looseObject({
    name,
    configMaps: listOf(configMapSchema),
    projectedvolumemaps: listOf(configMapSchema),
    secrets: listOf(secretSchema),
    emptyDirs: listOf(text),
  })
  .meta({ id: 'RetrievedContainer', description: 'The objects that one container mounts.' });

/** `/create`, API server to plugin. */
export const retrievedPodSchema = z
  .looseObject({
    pod: podWithSpecSchema,
    container: listOf(retrievedContainerSchema).meta({
      description: 'Init containers first, in the order of the spec.',
    }),
    jobConfig: z.looseObject({}).nullish(),
    jobScript: z.string().nullish(),
    imagePullSecrets: pullSecrets,
    unmounted: z
      .looseObject({
        configmaps: listOf(configMapSchema),
        secrets: listOf(secretSchema),
        projectedvolumesmaps: listOf(configMapSchema),
      })
      .nullish()
      .meta({ description: 'Objects of volumes that no container mounts; absent when there are none.' }),
  })
  .meta({ id: 'RetrievedPodData', description: 'A pod with its objects split by container, as a plugin takes it.' });

/** `/volumes` on both hops. */
export const volumeUpdateSchema = z
  .looseObject({
    pod: podSchema,
    volumes: z.array(name).meta({
      description:
        'Volumes of the pod whose content this is, whole; the others stay as they are. At least one, unless there are imagePullSecrets.',
    }),
    configmaps: listOf(configMapSchema),
    secrets: listOf(secretSchema),
    projectedvolumesmaps: listOf(configMapSchema).meta({
      description:
        'One per projected or downwardAPI volume; `metadata.name` is the name of the volume, keys are paths in it.',
    }),
    imagePullSecrets: listOf(secretSchema).meta({
      description: 'All Secrets for registries that there are now; absent or null when they have not changed.',
    }),
  })
  .meta({ id: 'VolumeUpdate', description: 'New content of ConfigMap, Secret, projected and downwardAPI volumes.' });

/** Answer of `/create` on both hops. */
export const createAnswerSchema = z
  .looseObject({ PodUID: z.string(), PodJID: z.string() })
  .meta({ id: 'CreateStruct', description: 'The id that the batch system gave to the job of the pod.' });

/** One container in a status. */
export const containerStatusSchema = z
  .looseObject({ name })
  .meta({ id: 'ContainerStatus', description: 'A Kubernetes v1 ContainerStatus.' });

/** One event in a status. */
export const podEventSchema = z
  .looseObject({
    id: z.string(),
    type: z.enum(['Normal', 'Warning']),
    reason: z.string(),
    message: z.string(),
    fieldPath: z.string().optional(),
    time: z.string(),
  })
  .meta({ id: 'PodEvent', description: 'What a kubelet would record as an event; `id` is unique within the pod.' });

/** One element in the answer of `/status`. */
export const podStatusSchema = z
  .looseObject({
    name: z.string(),
    UID: z.string(),
    namespace: z.string(),
    JID: z.string().nullish(),
    containers: listOf(containerStatusSchema),
    initContainers: listOf(containerStatusSchema),
    sandbox: z.enum(['Waiting', 'Ready', 'Gone']).optional(),
    podIP: z.string().optional(),
    NodeName: z.string().nullish(),
    virtualNode: z.string().optional(),
    startTime: z.string().optional(),
    phase: z.literal('Failed').optional(),
    reason: z.string().optional(),
    message: z.string().optional(),
    events: z.array(podEventSchema).optional(),
  })
  .meta({
    id: 'PodStatus',
    description: 'What a site knows of a pod. Everything from `sandbox` on is absent in what existing plugins answer.',
  });

/** `/getLogs` on both hops. */
export const logRequestSchema = z
  .looseObject({
    Namespace: z.string(),
    PodUID: z.string(),
    PodName: z.string(),
    ContainerName: z.string(),
    Opts: z
      .looseObject({
        Tail: z.int().min(0).nullish().meta({ description: '0 is unset.' }),
        TailLines: z
          .int()
          .min(0)
          .nullish()
          .meta({ description: 'Sent only for a tail of no lines, which `Tail` cannot say.' }),
        Bytes: z.int().min(0).nullish().meta({ description: '0 is unset.' }),
        LimitBytes: z
          .int()
          .min(0)
          .nullish()
          .meta({ description: 'The same as `Bytes`, for plugins that read this name.' }),
        Timestamps: z.boolean().nullish(),
        Follow: z.boolean().nullish(),
        Previous: z.boolean().nullish(),
        Attempt: z.int().min(0).nullish().meta({
          description: 'Restart count of the attempt that is meant; sent only where one is. Existing peers ignore it.',
        }),
        SinceSeconds: z.int().min(0).nullish().meta({ description: '0 is unset.' }),
        SinceTime: z.string().nullish().meta({ description: 'RFC 3339; 0001-01-01T00:00:00Z is unset.' }),
      })
      .nullish(),
  })
  .meta({ id: 'LogStruct', description: 'Which log to read and how.' });

/** Answer of `/pinglink`, and of an empty `/status` to a plugin. */
export const pingAnswerSchema = z
  .looseObject({
    status: z.string().optional(),
    resources: z
      .looseObject({
        cpu: z.string().optional(),
        memory: z.string().optional(),
        pods: z.string().optional(),
        accelerators: z.array(z.looseObject({ resourceType: z.string(), available: z.string() })).optional(),
      })
      .optional()
      .meta({ description: 'Totals that this node may use, its own pods included; quantities.' }),
    taints: z
      .array(z.looseObject({ key: z.string(), value: z.string().optional(), effect: z.string() }))
      .optional()
      .meta({ description: 'Absent: leave the taints of the node alone. Empty: none.' }),
  })
  .meta({ id: 'PingResponse', description: 'The site is reachable, and what it offers.' });

/** Answer of `/capabilities`. */
export const capabilitiesSchema = z
  .looseObject({
    apiVersion: z.literal('interlink/v1'),
    name: z.string(),
    version: z.string(),
    capabilities: z.array(z.string()),
  })
  .meta({ id: 'Capabilities', description: 'What this peer offers beyond the base calls.' });

/** One line in the answer of `/watch`. */
export const watchEventSchema = z
  .discriminatedUnion('type', [
    z.looseObject({ type: z.literal('SNAPSHOT'), items: z.array(podStatusSchema) }),
    z.looseObject({ type: z.literal('STATUS'), item: podStatusSchema }),
    z.looseObject({ type: z.literal('DELETED'), uid: z.string() }),
    z.looseObject({ type: z.literal('HEARTBEAT') }),
  ])
  .meta({ id: 'WatchEvent', description: 'One line of the answer; the first is a SNAPSHOT.' });

/** Body of an error for a caller that accepts JSON. */
export const errorSchema = z
  .object({ error: z.object({ kind: z.string(), code: z.string(), message: z.string() }) })
  .meta({ id: 'Error', description: 'An error for a caller that accepts JSON; others get the message as text.' });
