// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the text of a shell, not of a template
import { describe, expect, it } from 'vitest';
import { type EnvironmentFacts, resolveEnvironment } from '../../../src/kube/environment.ts';
import { expandReferences } from '../../../src/kube/expansion.ts';
import type { Container, EnvVar, Pod } from '../../../src/kube/types.ts';

const pod: Pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u' },
  spec: { nodeName: 'n', containers: [{ name: 'other', resources: { limits: { cpu: '3' } } }] },
};
const facts: EnvironmentFacts = {
  hostIPs: ['10.0.0.1'],
  seenAt: '2026-11-25T10:00:00Z',
  allocatable: { cpu: '8' },
  services: new Map([['KUBERNETES_SERVICE_HOST', '10.96.0.1']]),
  objects: {
    configMap: (name) =>
      name === 'm' ? { data: { plain: '1', 'with-dash': '2', '9digit': '4', dollar: '$(A) $$' } } : undefined,
    secret: (name) => (name === 's' ? { data: { user: Buffer.from('mé').toString('base64') } } : undefined),
  },
};
const resolve = (env: EnvVar[], more: Partial<Container> = {}): EnvVar[] =>
  resolveEnvironment(pod, { name: 'c', env, ...more }, facts);
const valuesOf = (entries: readonly EnvVar[]): Record<string, string | undefined> =>
  Object.fromEntries(entries.map(({ name, value }) => [name, value]));

/** What the runner makes of the entries, as `PodBundle` says. */
function read(entries: readonly EnvVar[], podIP: string): Record<string, string> {
  const values = new Map<string, string>();
  let late = false;
  for (const { name, value = '', valueFrom } of entries) {
    values.set(name, valueFrom ? podIP : late ? expandReferences(value, (other) => values.get(other)) : value);
    late ||= valueFrom !== undefined;
  }
  return Object.fromEntries(values);
}

describe('resolveEnvironment', () => {
  it('expands references to what stands before, as a kubelet does', () => {
    // The values of parity case 060.
    const entries = resolve([
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)-b' },
      { name: 'C', value: '$$(A)' },
      { name: 'D', value: '$(NOPE)' },
      { name: 'E2', value: '$(LATER)' },
      { name: 'LATER', value: 'late' },
      { name: 'F', value: '$(A)$(B)$$$(A)' },
      { name: 'G', value: '$A ${A} $( A) $(A' },
      { name: 'H', value: '$(H)' },
      { name: 'I', value: '$$$$ $' },
      { name: 'J', value: '$(KUBERNETES_SERVICE_HOST)' },
    ]);
    expect(valuesOf(entries)).toEqual({
      A: 'a',
      B: 'a-b',
      C: '$(A)',
      D: '$(NOPE)',
      E2: '$(LATER)',
      LATER: 'late',
      F: 'aa-b$a',
      G: '$A ${A} $( A) $(A',
      H: '$(H)',
      I: '$$ $',
      J: '10.96.0.1',
      KUBERNETES_SERVICE_HOST: '10.96.0.1',
    });
    expect(entries.map(({ name }) => name).join()).toBe('A,B,C,D,E2,LATER,F,G,H,I,J,KUBERNETES_SERVICE_HOST');
  });

  it('takes every key of envFrom, with its prefix, whatever a shell thinks of the name; env wins', () => {
    const values = valuesOf(
      resolve([{ name: 'plain', value: 'mine' }], {
        envFrom: [
          { configMapRef: { name: 'm' } },
          { prefix: '9-', configMapRef: { name: 'm' } },
          { secretRef: { name: 's' } },
        ],
      }),
    );
    expect(values).toMatchObject({ plain: 'mine', 'with-dash': '2', '9digit': '4', '9-plain': '1', user: 'mé' });
    expect(values.dollar).toBe('$(A) $$');
  });

  it('resolves every kind of source', () => {
    const values = valuesOf(
      resolve([
        { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'm', key: 'plain' } } },
        { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'user' } } },
        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
        { name: 'OTHER', valueFrom: { resourceFieldRef: { containerName: 'other', resource: 'limits.cpu' } } },
      ]),
    );
    expect(values).toMatchObject({ KEY: '1', SECRET: 'mé', NODE: 'n', CPU: '8', OTHER: '3' });
  });

  it('leaves out what is optional and missing', () => {
    const entries = resolve(
      [
        { name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'no', optional: true } } },
        { name: 'B', valueFrom: { secretKeyRef: { name: 'no', key: 'no', optional: true } } },
      ],
      {
        envFrom: [{ configMapRef: { name: 'no', optional: true } }, { secretRef: { name: 'no', optional: true } }],
      },
    );
    expect(entries.map(({ name }) => name)).toEqual(['KUBERNETES_SERVICE_HOST']);
  });

  it.each<[string, EnvVar]>([
    ['configmap "no" not found', { name: 'A', valueFrom: { configMapKeyRef: { name: 'no', key: 'k' } } }],
    ['secret "no" not found', { name: 'A', valueFrom: { secretKeyRef: { name: 'no', key: 'k' } } }],
    ["couldn't find key k in ConfigMap ns/m", { name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'k' } } }],
    ["couldn't find key k in Secret ns/s", { name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
    [
      "couldn't find key constructor in ConfigMap ns/m",
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'constructor' } } },
    ],
    [
      'container x not found',
      { name: 'A', valueFrom: { resourceFieldRef: { containerName: 'x', resource: 'limits.cpu' } } },
    ],
    ['variable A: valueFrom of kind nothing is not supported', { name: 'A', valueFrom: {} }],
  ])('says %s', (message, variable) => {
    expect(() => resolve([variable])).toThrow(message);
  });

  describe('with the address of the pod', () => {
    const podIP: EnvVar = { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };

    it('leaves it to the site, with what refers to it', () => {
      const entries = resolve([
        { name: 'BEFORE', value: '$$(IP) $(A)' },
        podIP,
        { name: 'URL', value: 'http://$(IP):80/$$(IP)/$(BEFORE)/$(NOPE)$' },
        { name: 'AGAIN', value: '$(URL)#' },
        { name: 'PLAIN', value: 'a$$b $(NOPE)' },
        { name: 'MAP', valueFrom: { configMapKeyRef: { name: 'm', key: 'dollar' } } },
      ]);
      expect(entries.find(({ name }) => name === 'IP')).toEqual(podIP);
      expect(entries.find(({ name }) => name === 'BEFORE')?.value).toBe('$(IP) $(A)');
      expect(read(entries, '1.2.3.4')).toEqual({
        BEFORE: '$(IP) $(A)',
        IP: '1.2.3.4',
        URL: 'http://1.2.3.4:80/$(IP)/$(IP) $(A)/$(NOPE)$',
        AGAIN: 'http://1.2.3.4:80/$(IP)/$(IP) $(A)/$(NOPE)$#',
        PLAIN: 'a$b $(NOPE)',
        MAP: '$(A) $$',
        KUBERNETES_SERVICE_HOST: '10.96.0.1',
      });
    });

    it('keeps an entry that a later one hides, as values in between refer to it', () => {
      const entries = resolve([
        podIP,
        { name: 'X', value: '$(IP)' },
        { name: 'IP', value: 'mine' },
        { name: 'Y', value: '$(IP)' },
      ]);
      expect(read(entries, '1.2.3.4')).toMatchObject({ X: '1.2.3.4', IP: 'mine', Y: 'mine' });
    });
  });

  it('lets the later of two values with one name count', () => {
    const entries = resolve([
      { name: 'A', value: '1' },
      { name: 'B', value: '$(A)' },
      { name: 'A', value: '2' },
    ]);
    expect(entries.map(({ name, value }) => `${name}=${value}`)).toEqual([
      'B=1',
      'A=2',
      'KUBERNETES_SERVICE_HOST=10.96.0.1',
    ]);
  });
});
