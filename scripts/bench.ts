/** `npm run bench -- NAME`: runs `scripts/bench/NAME.ts`, whose `bench(root)` prints figures and resolves with whether they are good enough. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const directory = join(import.meta.dirname, 'bench');
const names = readdirSync(directory)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length));
const [name] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME   (NAME is one of ${names.join(', ')})`);
  process.exit(2);
}
const { bench } = (await import(join(directory, `${name}.ts`))) as { bench?: (root: string) => Promise<boolean> };
if (!bench) throw new Error(`scripts/bench/${name}.ts exports no function bench(root)`);
process.exitCode = (await bench(root)) ? 0 : 1;
