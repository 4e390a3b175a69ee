/** Entry of an executable that is built like interlink's own and does a little real work with each library that must survive the packaging. */
export async function main(argv: readonly string[]): Promise<number> {
  // The build warms its code caches with the commands of interlink; here they have nothing to do.
  if (argv[0] !== 'probe') return 0;
  const { PROBES } = await import('./probes.ts');
  for (const [name, probe] of Object.entries(PROBES)) process.stdout.write(`${name}: ${await probe()}\n`);
  return 0;
}
