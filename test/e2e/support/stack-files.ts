import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf } from './command.ts';
import { environment } from './environment.ts';

/** The files of a stack, as its user sees them. */
export interface StackFiles {
  readonly directory: string;
  /** The site's side and the cluster's side, 0700. */
  readonly site: string;
  readonly cluster: string;
  readonly executable: string;
  /** Put first in PATH: its `squeue` counts how often it is called. */
  readonly tools: string;
  readonly certificate: { readonly certFile: string; readonly keyFile: string };
  squeueCalls(): number;
  /** Writes a file that belongs to the user, 0600 unless given, and returns its path. */
  write(path: string, text: string, mode?: number): string;
}

/** Makes the directory of a stack anew. */
export async function createStackFiles(name: string): Promise<StackFiles> {
  const [, , uid = '', gid = ''] = (await outputOf(['getent', 'passwd', environment.user])).split(':');
  const give = (path: string, mode: number): string => {
    chmodSync(path, mode);
    chownSync(path, Number(uid), Number(gid));
    return path;
  };
  const write = (path: string, text: string, mode = 0o600): string => {
    writeFileSync(path, text);
    return give(path, mode);
  };
  const directory = join(environment.stacks, name);
  rmSync(directory, { recursive: true, force: true });
  const make = (path: string, mode: number): string => {
    mkdirSync(path, { recursive: true });
    return give(path, mode);
  };
  make(directory, 0o755);
  const [site, cluster, tools] = [
    make(join(directory, 'site'), 0o700),
    make(join(directory, 'cluster'), 0o700),
    make(join(directory, 'bin'), 0o755),
  ];

  // A copy, because the user may not be able to reach the directory of the sources.
  const executable = join(directory, 'interlink');
  copyFileSync(environment.executable, executable);
  chmodSync(executable, 0o755);

  const calls = write(join(site, 'squeue-calls'), '');
  write(join(tools, 'squeue'), `#!/bin/sh\necho "$*" >>${calls}\nexec /usr/bin/squeue "$@"\n`, 0o755);

  const certificate = { certFile: join(site, 'tls.crt'), keyFile: join(site, 'tls.key') };
  const request = [
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '30',
  ];
  const names = ['-subj', '/CN=site', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await outputOf([...request, ...names, '-keyout', certificate.keyFile, '-out', certificate.certFile]);
  give(certificate.certFile, 0o644);
  give(certificate.keyFile, 0o600);

  return {
    directory,
    site,
    cluster,
    executable,
    tools,
    certificate,
    write,
    squeueCalls: () => readFileSync(calls, 'utf8').split('\n').length - 1,
  };
}
