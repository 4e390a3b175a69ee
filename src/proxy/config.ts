import { z } from 'zod';
import { isLocalAddress, parseAddress } from '../http/address.ts';
import { SIGNATURE_ALGORITHMS } from '../oauth/issuer-config.ts';

const path = z.string().min(1);
const text = z.string().min(1);
const count = z.number().int().positive();

/** An address in the spelling of `src/http/address.ts`. */
const address = z.string().superRefine((value, context) => {
  try {
    parseAddress(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
});

const issuerUrl = z
  .string()
  .refine((value) => URL.canParse(value), 'expected the URL that stands in the token as iss')
  .refine(
    (value) => !URL.canParse(value) || isTrustworthy(value),
    'must be https://; plain http:// is for an issuer on this machine only',
  );

const issuer = z
  .strictObject({
    issuer: issuerUrl.describe('The `iss` of its tokens, to the letter.'),
    audiences: z.array(text).min(1).describe('One of these must be in `aud`. A token without an audience is refused.'),
    groupsClaim: text
      .default('groups')
      .describe('Claim that holds the groups: groups, wlcg.groups, realm_access.roles, eduperson_entitlement …'),
    allowedGroups: z.array(text).min(1).optional().describe('Members of one of these may call; compared exactly.'),
    allowedSubjects: z.array(text).min(1).optional().describe('These `sub` may call, whatever their groups.'),
    allowEverybody: z.boolean().default(false).describe('Let in whoever has a token of this issuer for this audience.'),
    algorithms: z
      .array(z.enum(SIGNATURE_ALGORITHMS))
      .min(1)
      .default([...SIGNATURE_ALGORITHMS])
      .describe('Signature algorithms that are believed.'),
    jwksUri: issuerUrl.optional().describe('Where the keys are; asked of the issuer unless given.'),
    jwksFile: path.optional().describe('Keys in a file, for an issuer that cannot be reached from here.'),
    caFile: path.optional().describe('Authorities of the issuer in PEM; the public ones unless given.'),
    maxTokenAgeSeconds: count.default(86_400).describe('Longest life of a token that is believed.'),
  })
  .refine(({ jwksUri, jwksFile }) => jwksUri === undefined || jwksFile === undefined, {
    path: ['jwksFile'],
    message: 'give jwksUri or jwksFile, not both',
  })
  .refine((value) => value.allowEverybody || value.allowedGroups || value.allowedSubjects, {
    path: ['allowedGroups'],
    message: 'say who may call: allowedGroups, allowedSubjects or allowEverybody',
  })
  .refine((value) => !(value.allowEverybody && (value.allowedGroups || value.allowedSubjects)), {
    path: ['allowEverybody'],
    message: 'would make allowedGroups and allowedSubjects void; leave one of them out',
  });

const sidecar = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'expected a lower-case name')
      .default('default')
      .describe('Name in logs and in the record of where a pod went.'),
    url: address.describe('Where the sidecar listens: unix:/path, http://host:port or https://host:port.'),
    protocol: z.enum(['plugin', 'api']).default('plugin').describe('api for an API server or another proxy.'),
    createFormat: z
      .enum(['auto', 'object', 'array'])
      .default('auto')
      .describe('How a plugin takes a create; auto tries an object first.'),
    caFile: path.optional().describe('Authorities of the sidecar in PEM; the public ones unless given.'),
    certFile: path.optional().describe('Client certificate in PEM.'),
    keyFile: path.optional().describe('Key of the client certificate.'),
    tokenFile: path.optional().describe('File with a bearer token for the sidecar, read anew for each call.'),
    match: z
      .strictObject({
        namespaces: z.array(text).min(1).optional().describe('Namespaces whose pods go here.'),
        labels: z.record(z.string(), z.string()).optional().describe('Labels that a pod must have to go here.'),
        annotations: z.record(z.string(), z.string()).optional().describe('Annotations that a pod must have.'),
      })
      .optional()
      .describe('Pods for which all of this holds go here; without it, pods that no other sidecar wants.'),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
    path: ['keyFile'],
    message: 'certFile and keyFile are needed together',
  });

/** Section `proxy` of the configuration. */
export const proxyConfig = z
  .strictObject({
    listen: address.default('https://0.0.0.0:8443').describe('Where nodes call: https://host:port or unix:/path.'),
    certFile: path.optional().describe('Certificate chain in PEM, for https://. Read again when it changes.'),
    keyFile: path.optional().describe('Key of the certificate.'),
    issuers: z.array(issuer).default([]).describe('Whose tokens are believed.'),
    insecureNoAuthentication: z
      .boolean()
      .default(false)
      .describe('Let everybody in who can connect. Only on a unix socket or a loopback address.'),
    publicUrl: z
      .url({ protocol: /^https$/ })
      .optional()
      .describe('URL by which nodes reach this proxy; then it describes itself as RFC 9728 says.'),
    sidecars: z.array(sidecar).min(1).describe('Where pods go.'),
    stateDirectory: path
      .default('/var/lib/interlink/proxy')
      .describe('Where it is kept which pod went to which sidecar; used with several sidecars only.'),
    auditFile: path.optional().describe('File to which decisions are appended, 0600; standard error unless given.'),
    maxConnections: count.default(4096).describe('Connections at the same time; more are closed.'),
    maxCallsPerIdentity: count.default(256).describe('Calls of one identity at the same time; more are refused.'),
    maxStreamsPerIdentity: count.default(1024).describe('Followed logs and watches of one identity.'),
    drainSeconds: count.default(10).describe('Time for running calls at the stop.'),
  })
  .superRefine((value, context) => {
    const refuse = (key: string, message: string): void => context.addIssue({ code: 'custom', path: [key], message });
    const listen = tryParse(value.listen);
    if (!listen) return;
    const tls = listen.kind === 'tcp' && listen.tls;
    if (tls && (value.certFile === undefined || value.keyFile === undefined))
      refuse('certFile', `${value.listen} needs certFile and keyFile`);
    if (!tls && (value.certFile !== undefined || value.keyFile !== undefined))
      refuse('listen', 'a certificate is given but the address is not https://');
    if (value.insecureNoAuthentication && !isLocalAddress(listen))
      refuse('insecureNoAuthentication', `allowed on a unix socket or a loopback address only, not on ${value.listen}`);
    if (value.insecureNoAuthentication && value.issuers.length > 0)
      refuse('insecureNoAuthentication', 'would make the issuers void; leave one of both out');
    if (!value.insecureNoAuthentication && value.issuers.length === 0)
      refuse('issuers', 'at least one issuer is needed, so that somebody may call');
    if (!value.insecureNoAuthentication && !tls && !isLocalAddress(listen))
      refuse('listen', 'tokens would travel unencrypted; use https://');
    if (new Set(value.issuers.map((entry) => entry.issuer)).size < value.issuers.length)
      refuse('issuers', 'the same issuer is configured twice');
    if (new Set(value.sidecars.map((entry) => entry.name)).size < value.sidecars.length)
      refuse('sidecars', 'each sidecar needs a name of its own');
    if (value.sidecars.filter((entry) => entry.match === undefined).length > 1)
      refuse('sidecars', 'only one sidecar may be without match: the one for all other pods');
  });

/** The parsed section. */
export type ProxyConfig = z.infer<typeof proxyConfig>;

function tryParse(value: string) {
  try {
    return parseAddress(value);
  } catch {
    // Reported at its own key.
    return undefined;
  }
}

/** Whether what comes from there cannot have been changed on the way. */
function isTrustworthy(url: string): boolean {
  const { protocol, origin } = new URL(url);
  if (protocol === 'https:') return true;
  const parsed = protocol === 'http:' ? tryParse(origin) : undefined;
  return parsed !== undefined && isLocalAddress(parsed);
}
