import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { countResults } from '../../../scripts/test/count-results.ts';

const directory = mkdtempSync(join(tmpdir(), 'interlink-count-'));
afterAll(() => rmSync(directory, { recursive: true }));

const REPORT = {
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 2,
  numTodoTests: 1,
  testResults: [{ status: 'passed', assertionResults: [{}] }],
};

function report(value: unknown): string {
  const path = join(directory, 'report.json');
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
}

describe('countResults', () => {
  it('adds pending and todo to the skipped ones', () => {
    expect(countResults(report(REPORT), 0)).toEqual({ passed: 5, failed: 0, skipped: 3 });
  });

  it('counts a file that failed before its first test', () => {
    const testResults = [{ status: 'failed', assertionResults: [] }];
    expect(countResults(report({ ...REPORT, testResults }), 1).failed).toBe(1);
  });

  it('never takes a bad end for a good one', () => {
    expect(countResults(report(REPORT), 1).failed).toBe(1);
    expect(countResults(report(REPORT), null).failed).toBe(1);
    expect(countResults(report('{"numPassed'), 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    expect(countResults(join(directory, 'missing.json'), 0).failed).toBe(1);
  });
});
