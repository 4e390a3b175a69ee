import { describe, expect, it } from 'vitest';
import { parseManifest, renderFieldPath } from '../../../src/kube/manifest.ts';

const values = (text: string): unknown[] =>
  parseManifest(`apiVersion: v1\nkind: ConfigMap\nv: ${text}\n`, 'f').map((item) => item.object.v);

describe('parseManifest', () => {
  it.each([
    ['0400', 256],
    ['0o400', 256],
    ['0x1F', 31],
    ['0b101', 5],
    ['1_000', 1000],
    ['yes', true],
    ['Off', false],
    ['y', true],
    ['~', null],
    ['22:22', '22:22'],
    ['2001-01-01', '2001-01-01'],
    ['2001-01-01T00:00:00Z', '2001-01-01T00:00:00Z'],
    ['08', 8],
    ['1e3', 1000],
    ['E2', 'E2'],
    ['.', '.'],
    ['-.', '-.'],
    ['0B11', 3],
    ['-0X1F', -31],
    ['0_', 0],
    ['0o', '0o'],
    ['+.5', 0.5],
    ['5.', 5],
    ['"0400"', '0400'],
    ['1.5', 1.5],
  ])('reads the YAML 1.1 scalar %s as go-yaml does', (text, expected) => {
    const [value] = values(text);
    expect(value).toEqual(expected);
  });

  it('turns every key into a string', () => {
    expect(values('{1: a, true: b, x: c}')).toEqual([{ 1: 'a', true: 'b', x: 'c' }]);
  });

  it('reads several documents, skips empty ones and takes a List apart', () => {
    const text =
      '---\n# nothing\n---\napiVersion: v1\nkind: Pod\n---\n{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"}]}\n';
    expect(parseManifest(text, 'f').map((item) => item.object.kind)).toEqual(['Pod', 'Secret']);
  });

  it('expands anchors and merge keys', () => {
    const text = 'apiVersion: v1\nkind: Pod\na: &x {p: 1}\nb:\n  <<: *x\n  q: 2\n';
    expect(parseManifest(text, 'f')[0]?.object.b).toEqual({ p: 1, q: 2 });
  });

  it('names the line of a field, also in a later document', () => {
    const text =
      'apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: b\n';
    const [, second] = parseManifest(text, 'pod.yaml');
    expect(second?.at(['spec', 'containers', 0, 'image'])).toBe('pod.yaml:9');
    expect(second?.at(['spec', 'containers', 0, 'missing'])).toBe('pod.yaml:8');
  });

  it.each([
    ['a: [1', /f:\d+: not valid YAML/],
    ['apiVersion: v1\nkind: Pod\nkind: Pod\n', /f:3: not valid YAML.*unique/i],
    ['just text', /expected a Kubernetes object, got the string "just text"/],
    ['- a\n- b\n', /got a list/],
    ['kind: Pod\n', /no apiVersion/],
    ['apiVersion: v1\n', /no kind/],
  ])('refuses %j with file and line', (text, message) => {
    expect(() => parseManifest(text, 'f')).toThrow(message);
  });

  it('gives no object for an empty file', () => {
    expect(parseManifest('', 'f')).toEqual([]);
  });
});

describe('renderFieldPath', () => {
  it('writes paths as the API server does', () => {
    expect(renderFieldPath(['spec', 'containers', 0, 'image'])).toBe('spec.containers[0].image');
    expect(renderFieldPath(['data', 'a.b'])).toBe('data[a.b]');
  });
});
