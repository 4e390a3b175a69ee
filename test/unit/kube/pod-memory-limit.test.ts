import { expect, it } from 'vitest';
import { podMemoryLimit } from '../../../src/kube/pod-memory-limit.ts';
import type { Container, PodSpec } from '../../../src/kube/types.ts';

const MEBIBYTE = 1024 * 1024;
const c = (memory?: string, more: object = {}): Container => ({
  name: 'c',
  ...(memory === undefined ? {} : { resources: { limits: { memory } } }),
  ...more,
});

it.each<[string, object, number | undefined]>([
  ['the sum of the containers', { containers: [c('1Mi'), c('2Mi')] }, 3],
  ['none when one has none', { containers: [c('1Mi'), c()] }, undefined],
  ['none when an init container has none', { containers: [c('1Mi')], initContainers: [c()] }, undefined],
  ['the largest init container', { containers: [c('1Mi')], initContainers: [c('5Mi'), c('4Mi')] }, 5],
  ['with sidecars', { containers: [c('1Mi')], initContainers: [c('2Mi', { restartPolicy: 'Always' }), c('3Mi')] }, 5],
  ["the pod's own", { containers: [c()], resources: { limits: { memory: '7Mi' } } }, 7],
  ['none without containers', { containers: [] }, undefined],
])('the memory of a pod is %s', (_title, spec, mebibytes) => {
  expect(podMemoryLimit({ spec: spec as PodSpec })).toBe(mebibytes === undefined ? undefined : mebibytes * MEBIBYTE);
});
