import { describe, expect, it } from 'vitest';
import { defaultPod } from '../../../src/kube/default-pod.ts';
import { renderFieldPath } from '../../../src/kube/manifest.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { validateData } from '../../../src/kube/validate-data.ts';
import { validatePod } from '../../../src/kube/validate-pod.ts';

const validate = (pod: unknown): string[] =>
  validatePod(pod as Pod).map(({ path, message }) => `${renderFieldPath(path)}: ${message}`);

const withContainer = (container: object, spec: object = {}): unknown => ({
  metadata: { name: 'p' },
  spec: { containers: [{ name: 'c', image: 'x', ...container }], ...spec },
});

describe('validatePod', () => {
  it('accepts what the API server accepts', () => {
    expect(
      validate(
        withContainer(
          {
            env: [{ name: 'with-dash.and.dot', value: '' }],
            resources: { limits: { cpu: '1' }, requests: { cpu: '500m' } },
            volumeMounts: [{ name: 'v', mountPath: '/x', subPath: 'a/..b' }],
          },
          { volumes: [{ name: 'v', emptyDir: {} }] },
        ),
      ),
    ).toEqual([]);
  });

  it.each([
    [
      { metadata: {}, spec: { containers: [] } },
      ['metadata.name: is required', 'spec.containers: is required: a pod has at least one container'],
    ],
    [withContainer({ name: '../c' }), [/spec.containers\[0\].name: "\.\.\/c" is no container name/]],
    [withContainer({ image: '' }), ['spec.containers[0].image: is required']],
    [
      withContainer({ resources: { limits: { cpu: '-1' } } }),
      ['spec.containers[0].resources.limits.cpu: must not be negative: -1'],
    ],
    [withContainer({ resources: { limits: { memory: '1zz' } } }), [/limits.memory: "1zz" is not a quantity/]],
    [withContainer({ resources: { limits: { memory: '1e99' } } }), [/limits.memory: is out of any range/]],
    [
      withContainer({ resources: { limits: { cpu: 1 }, requests: { cpu: 2 } } }),
      [/requests.cpu: asks for 2, more than the limit of 1/],
    ],
    [
      withContainer({ volumeMounts: [{ name: 'v', mountPath: '/x' }] }),
      [/volumeMounts\[0\].name: no volume named "v"/],
    ],
    [
      withContainer({}, { volumes: [{ name: 'v' }] }),
      [/spec.volumes\[0\]: volume "v" has no source; write "emptyDir: {}"/],
    ],
    [
      withContainer({}, { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] }),
      [/has 2 sources: emptyDir, hostPath/],
    ],
    [
      withContainer(
        { volumeMounts: [{ name: 'v', mountPath: '/x', subPath: '../x' }] },
        { volumes: [{ name: 'v', emptyDir: {} }] },
      ),
      [/subPath: "..\/x" must be a relative path/],
    ],
    [
      withContainer(
        {},
        { volumes: [{ name: 'v', configMap: { name: 'm', defaultMode: 4096, items: [{ key: 'a', path: '../b' }] } }] },
      ),
      [/defaultMode: must be a mode between 0 and 0777/, /items\[0\].path: "..\/b" must be a relative path/],
    ],
    [
      withContainer({}, { volumes: [{ name: 'v', emptyDir: { sizeLimit: '-1' } }] }),
      [/sizeLimit: must not be negative/],
    ],
    [withContainer({}, { restartPolicy: 'Sometimes' }), [/restartPolicy: must be one of Always, OnFailure, Never/]],
    [withContainer({}, { activeDeadlineSeconds: 0 }), [/activeDeadlineSeconds: must be at least 1/]],
    [withContainer({ env: [{ name: 'a=b', value: 'x' }] }), [/env\[0\].name: "a=b" is no name of a variable/]],
    [withContainer({ args: ['a\0b'] }), [/args\[0\]: holds a NUL character/]],
  ])('names the fault of %#', (pod, expected) => {
    const problems = validate(pod);
    expect(problems).toHaveLength(expected.length);
    expected.forEach((text, index) => {
      expect(problems[index]).toMatch(text);
    });
  });

  it('finds a name that an init container and a container share', () => {
    expect(validate(withContainer({}, { initContainers: [{ name: 'c', image: 'x' }] }))).toEqual([
      'spec.containers[0].name: duplicate container name "c"',
    ]);
  });
});

describe('validateData', () => {
  it('refuses a ConfigMap of two mebibytes with the figures', () => {
    const [problem] = validateData({ metadata: { name: 'm' }, data: { a: 'x'.repeat(2 * 1024 * 1024) } }, 'ConfigMap');
    expect(problem?.message).toBe('holds 2097152 bytes; a ConfigMap may hold 1048576');
  });

  it('refuses keys that are paths', () => {
    expect(validateData({ metadata: { name: 'm' }, data: { '../x': '', ok: '' } }, 'ConfigMap')).toHaveLength(1);
  });
});

describe('defaultPod', () => {
  it.each([
    ['busybox', 'Always'],
    ['busybox:latest', 'Always'],
    ['localhost:5000/busybox', 'Always'],
    ['busybox:1', 'IfNotPresent'],
    ['a/b@sha256:00', 'IfNotPresent'],
  ])('gives the image %s the pull policy %s', (image, policy) => {
    expect(defaultPod(withContainer({ image }) as Pod).spec?.containers[0]?.imagePullPolicy).toBe(policy);
  });

  it('takes limits for missing requests and leaves the input alone', () => {
    const pod = withContainer({ resources: { limits: { cpu: '1', memory: '2Gi' }, requests: { cpu: '500m' } } }) as Pod;
    const container = defaultPod(pod).spec?.containers[0];
    expect(container?.resources?.requests).toEqual({ cpu: '500m', memory: '2Gi' });
    expect(pod.spec?.restartPolicy).toBeUndefined();
  });
});
