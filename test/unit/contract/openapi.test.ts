import { describe, expect, it } from 'vitest';
import { kindOf } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { openApiDocument } from '../../../src/contract/openapi.ts';
import { serveSidecar } from '../../../src/contract/serve-sidecar.ts';
import type { HttpRequest } from '../../../src/http/handler.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: object; readonly operationId: string }>>>
  >;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const document = openApiDocument('1.2.3') as unknown as Document;
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));

describe('the OpenAPI document', () => {
  it('resolves every reference within itself', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)].map(([, target]) => target ?? '');
    const known = Object.keys(document.components.schemas).map((id) => `#/components/schemas/${id}`);
    expect(references.filter((target) => !known.includes(target))).toEqual([]);
    expect(known.filter((target) => !references.includes(target))).toEqual([]);
  });

  it('has the paths that a sidecar serves, and no other', async () => {
    const serve = serveSidecar(new MemorySidecar(), { logger: silentLogger });
    const isServed = async (path: string): Promise<boolean> => {
      const request = {
        path,
        method: 'GET',
        query: '',
        headers: {},
        rawHeaders: [],
        signal: AbortSignal.timeout(1000),
        body: async () => Buffer.alloc(0),
      };
      try {
        await serve(request as unknown as HttpRequest);
        return true;
      } catch (error) {
        return kindOf(error) !== 'NotFound';
      }
    };
    const paths = Object.keys(document.paths);
    expect(await Promise.all(paths.map(isServed))).toEqual(paths.map(() => true));
    for (const path of [
      '/create',
      '/delete',
      '/status',
      '/getLogs',
      '/pinglink',
      '/updateCache',
      '/capabilities',
      '/watch',
      '/exec',
      '/attach',
      '/portForward',
      '/volumes',
      '/stats',
      '/healthz',
    ])
      expect(paths).toContain(path);
    expect(await isServed('/system-info')).toBe(false);
  });

  it('names the errors of each call by their status, and each operation once', () => {
    for (const { responses } of operations)
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '401', '403', '429', '500', '503', '504']));
    expect(Object.keys(document.paths['/create']?.post?.responses ?? {})).toEqual(
      expect.arrayContaining(['400', '409', '413']),
    );
    expect(Object.keys(document.paths['/watch']?.get?.responses ?? {})).toContain('501');
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  });

  it('is the same each time', () => {
    expect(JSON.stringify(openApiDocument('1.2.3'))).toBe(JSON.stringify(document));
  });
});
