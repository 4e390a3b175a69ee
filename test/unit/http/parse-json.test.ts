import { describe, expect, it } from 'vitest';
import { parseJson } from '../../../src/http/parse-json.ts';

const parse = (text: string | Buffer) => parseJson(Buffer.from(text), 'body');

describe('parseJson', () => {
  it('gives the value, with brackets in strings counted as text', () => {
    expect(parse(`{"a":[1,"${'['.repeat(200)}","\\"["]}`)).toEqual({ a: [1, '['.repeat(200), '"['] });
  });

  it.each([
    ['', /empty/],
    ['{"token":"s3cret"', /not valid JSON/],
    ['{"token":"s3cret",}', /not valid JSON/],
    ['<html>s3cret</html>', /not valid JSON/],
    [Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
    ['['.repeat(101), /deeper than 100/],
  ])('refuses %j without quoting it', (text, reason) => {
    expect(() => parse(text)).toThrow(reason);
    expect(() => parse(text)).not.toThrow(/s3cret/);
  });
});
