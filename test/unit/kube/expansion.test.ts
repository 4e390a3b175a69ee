// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the text of a shell, not of a template
import { describe, expect, it } from 'vitest';
import { expandReferences } from '../../../src/kube/expansion.ts';

const values: Readonly<Record<string, string>> = { A: 'a', B: '$(A)', 'odd name': 'odd', EMPTY: '' };
const lookup = (name: string): string | undefined => (Object.hasOwn(values, name) ? values[name] : undefined);

describe('expandReferences', () => {
  it.each([
    ['leaves text without references', 'plain text', 'plain text'],
    ['replaces a reference', 'x-$(A)-y', 'x-a-y'],
    ['does not expand what it put in', '$(B)', '$(A)'],
    ['keeps an unknown reference', '$(NOPE)', '$(NOPE)'],
    ['turns two dollars into one', '$$(A)', '$(A)'],
    ['reads dollars from the left', '$$$(A)', '$a'],
    ['keeps a single dollar before other text', '$A ${A} $( A) $(A', '$A ${A} $( A) $(A'],
    ['keeps a dollar at the end', 'a$', 'a$'],
    ['turns four dollars into two', '$$$$ $', '$$ $'],
    ['takes any name up to the next parenthesis', '$(odd name)$()', 'odd$()'],
    ['takes an inner opener as part of the name', '$($(A))', '$($(A))'],
    ['puts in empty values', '[$(EMPTY)]', '[]'],
    ['goes on after an opener that is never closed', '$($$', '$($'],
    ['keeps a character of two units after a dollar', '$😀$(A)', '$😀a'],
  ])('%s', (_title, text, expected) => {
    expect(expandReferences(text, lookup)).toBe(expected);
  });
});
