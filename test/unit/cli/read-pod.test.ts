import { describe, expect, it } from 'vitest';
import { readPod } from '../../../src/cli/run/read-pod.ts';

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: x\n';

describe('readPod', () => {
  it('gives the pod with its defaults and namespace', () => {
    const { pod } = readPod(POD, 'pod.yaml');
    expect(pod.metadata?.namespace).toBe('default');
    expect(pod.spec?.terminationGracePeriodSeconds).toBe(30);
  });

  it('moves stringData into data, where it wins', () => {
    const { secrets } = readPod(
      `${POD}---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: b2xk, b: Yg==}\nstringData: {a: new}\n`,
      'f',
    );
    expect(secrets[0]?.data).toEqual({ a: 'bmV3', b: 'Yg==' });
    expect(secrets[0]).not.toHaveProperty('stringData');
  });

  it('keeps fields that it does not interpret', () => {
    const { pod } = readPod(`${POD}  affinity: {nodeAffinity: {}}\n`, 'f');
    expect(pod.spec?.affinity).toEqual({ nodeAffinity: {} });
  });

  it.each([
    ['', 'pod.yaml: holds no object; a pod was expected'],
    ['# only a comment\n', 'pod.yaml: holds no object; a pod was expected'],
    ['apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n', 'pod.yaml: holds no pod'],
    ['apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n', /pod.yaml:2: apps\/v1 Deployment cannot be run/],
    [`${POD}---\n${POD}`, /pod.yaml:10: a second pod; run takes one \(the first is at pod.yaml:2\)/],
    [POD.replace('image', 'imagee'), /pod.yaml:7: spec.containers\[0\].imagee: unknown field; did you mean image\?/],
    [
      `${POD}    volumeMounts: [{name: v, mountPath: /x}]\n`,
      /pod.yaml:8: spec.containers\[0\].volumeMounts\[0\].name: no volume named "v"/,
    ],
  ])('refuses %# with file, line and field', (text, message) => {
    expect(() => readPod(text, 'pod.yaml')).toThrow(message);
  });

  it('reports the faults of all objects together', () => {
    const text = `${POD}    imagee: y\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: M_}\ndata: {'a/b': x}\n`;
    expect(() => readPod(text, 'f')).toThrow(/imagee[\s\S]*metadata.name[\s\S]*data\[a\/b\]/);
  });
});
