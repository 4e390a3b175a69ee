import { describe, expect, it } from 'vitest';
import { checkFields } from '../../../src/kube/check-fields.ts';
import { renderFieldPath } from '../../../src/kube/manifest.ts';

const check = (object: Record<string, unknown>, kind: 'Pod' | 'ConfigMap' | 'Secret' = 'Pod'): string[] =>
  checkFields(object, kind).map(({ path, message }) => `${renderFieldPath(path)}: ${message}`);

const pod = (container: Record<string, unknown>): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: { containers: [{ name: 'c', ...container }] },
});

describe('checkFields', () => {
  it('accepts a pod with every kind of field', () => {
    expect(
      check(
        pod({
          image: 'x',
          env: [{ name: 'A', value: '1' }],
          resources: { limits: { cpu: 1, memory: '1Gi' } },
          livenessProbe: { httpGet: { port: 'http', path: '/' } },
          securityContext: { runAsUser: 1000 },
        }),
      ),
    ).toEqual([]);
  });

  it.each([
    [pod({ imagee: 'x' }), 'spec.containers[0].imagee: unknown field; did you mean image?'],
    [pod({ comand: ['x'] }), 'spec.containers[0].comand: unknown field; did you mean command?'],
    [pod({ xyzzy: 1 }), 'spec.containers[0].xyzzy: unknown field'],
    [pod({ command: 'sh' }), 'spec.containers[0].command: expected a list, got the string "sh"'],
    [pod({ args: [1] }), 'spec.containers[0].args[0]: expected a string, got the number 1; put it in quotes'],
    [
      pod({ env: [{ name: 'A', value: true }] }),
      'spec.containers[0].env[0].value: expected a string, got the boolean true; put it in quotes',
    ],
    [pod({ env: [{ value: 'x' }] }), 'spec.containers[0].env[0].name: is required'],
    [
      pod({ ports: [{ containerPort: '80' }] }),
      'spec.containers[0].ports[0].containerPort: expected a whole number, got the string "80"',
    ],
    [
      pod({ resources: { limits: { cpu: true } } }),
      'spec.containers[0].resources.limits.cpu: expected a quantity such as 500m or 2Gi, got the boolean true',
    ],
    [{ kind: 'Pod', spec: { containers: {} } }, 'spec.containers: expected a list, got an object'],
  ])('names the fault of %#', (object, message) => {
    expect(check(object)).toEqual([message]);
  });

  it('reports all faults together', () => {
    expect(check(pod({ imagee: 'x', comand: [] }))).toHaveLength(2);
  });

  it('refuses Secret data that is no base64 and names the key', () => {
    expect(check({ kind: 'Secret', data: { 'a.b': 'not base64!' } }, 'Secret')).toEqual([
      'data[a.b]: is not valid base64',
    ]);
  });

  it('takes null for an absent field, as the API server does', () => {
    expect(check(pod({ image: null, resources: null }))).toEqual([]);
  });

  it('does not take a name of Object.prototype for a field', () => {
    expect(check(pod({ constructor: 'x' }))).toEqual(['spec.containers[0].constructor: unknown field']);
  });
});
