import { describe, expect, it } from 'vitest';
import { environmentFieldText, metadataFieldText } from '../../../src/kube/downward-api.ts';
import type { Pod } from '../../../src/kube/types.ts';

const facts = { hostIPs: ['10.0.0.1', 'fd00::1'], seenAt: '2026-11-25T10:00:00Z' };
const pod: Pod = {
  metadata: {
    name: 'p',
    namespace: 'ns',
    uid: 'u-1',
    labels: { c: 'd', a: 'b', 'app.kubernetes.io/name': 'lab-el' },
    annotations: { x: 'y "z"\nw', note: 'two\nlines' },
  },
  spec: { nodeName: 'n', serviceAccountName: 'sa', containers: [] },
};

describe('metadataFieldText', () => {
  it.each([
    ['metadata.name', 'p'],
    ['metadata.namespace', 'ns'],
    ['metadata.uid', 'u-1'],
    ['metadata.labels', 'a="b"\napp.kubernetes.io/name="lab-el"\nc="d"'],
    ["metadata.labels['app.kubernetes.io/name']", 'lab-el'],
    ["metadata.labels['missing']", ''],
    ["metadata.labels['constructor']", ''],
    ["metadata.annotations['x']", 'y "z"\nw'],
    ["metadata.annotations['kubernetes.io/config.source']", 'api'],
  ])('shows %s', (path, expected) => {
    expect(metadataFieldText(pod, path, facts)).toBe(expected);
  });

  it('shows all annotations with those that a kubelet adds, quoted as in Go', () => {
    expect(metadataFieldText(pod, 'metadata.annotations', facts)).toBe(
      'kubernetes.io/config.seen="2026-11-25T10:00:00Z"\nkubernetes.io/config.source="api"\nnote="two\\nlines"\nx="y \\"z\\"\\nw"',
    );
  });

  it('leaves the annotations of the node out of the file of all, and gives them by name', () => {
    const labelled: Pod = { metadata: { annotations: { JobID: '4711', x: 'y' } } };
    const withOwn = { ...facts, unlistedAnnotations: new Set(['JobID']) };
    const all = metadataFieldText(labelled, 'metadata.annotations', withOwn);
    expect(all.split('\n').at(-1)).toBe('x="y"');
    expect(all).not.toContain('JobID');
    expect(metadataFieldText(labelled, "metadata.annotations['JobID']", withOwn)).toBe('4711');
  });

  // The right-hand sides are what Go 1.24 prints for strconv.Quote.
  it.each([
    ['a\u00a0b', '"a\\u00a0b"'],
    ['\u200b', '"\\u200b"'],
    ['é中😀', '"é中😀"'],
    ['\u0001\u007f', '"\\x01\\x7f"'],
    ['\u0378', '"\\u0378"'],
    ['\u{1ffff}', '"\\U0001ffff"'],
    ['\u00ad', '"\\u00ad"'],
    ['\u2028', '"\\u2028"'],
    ['a\tb"\\', '"a\\tb\\"\\\\"'],
    ['\u0007\b\f\r\v', '"\\a\\b\\f\\r\\v"'],
  ])('quotes %j as Go does', (value, expected) => {
    const labelled: Pod = { metadata: { labels: { k: value } } };
    expect(metadataFieldText(labelled, 'metadata.labels', facts)).toBe(`k=${expected}`);
  });

  it.each([
    ['status.hostIP', 'unsupported fieldPath: status.hostIP'],
    ['spec.nodeName', 'unsupported fieldPath: spec.nodeName'],
    ["metadata.name['x']", 'fieldPath "metadata.name[\'x\']" does not support subscript'],
    ["metadata.labels['a b']", "invalid key subscript in metadata.labels['a b']: not a qualified name"],
  ])('refuses %s', (path, message) => {
    expect(() => metadataFieldText(pod, path, facts)).toThrow(message);
  });
});

describe('environmentFieldText', () => {
  it.each([
    ['spec.nodeName', 'n'],
    ['spec.serviceAccountName', 'sa'],
    ['status.hostIP', '10.0.0.1'],
    ['status.hostIPs', '10.0.0.1,fd00::1'],
    ['metadata.uid', 'u-1'],
    ['status.podIP', undefined],
    ['status.podIPs', undefined],
  ])('gives %s', (path, expected) => {
    expect(environmentFieldText(pod, path, facts)).toBe(expected);
  });

  it('refuses fields that no variable can have', () => {
    expect(() => environmentFieldText(pod, 'status.phase', facts)).toThrow('unsupported fieldPath: status.phase');
  });
});
