import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';

const ROUNDS = 5;
const SECONDS = 3;
const CONNECTIONS = 32;
const TARGET = 0.7;
const ISSUER = 'https://iam.example';
const AUDIENCE = 'https://site.example';

/**
 * `npm run bench -- proxy`: authenticated requests per second of processor time, our proxy against HAProxy with the same check (RS256, issuer,
 * audience), both in front of the same upstream and asked in turns. Processor time, so that a busy machine changes little. Needs haproxy and wrk.
 * @returns whether ours has at least 0.7 times HAProxy's
 */
export async function bench(root: string): Promise<boolean> {
  for (const program of ['haproxy', 'wrk'])
    if (!isInstalled(program)) {
      console.error(`bench proxy: ${program} is missing; apt-get install haproxy wrk`);
      return false;
    }
  const directory = mkdtempSync(join(tmpdir(), 'interlink-bench-'));
  const started: ChildProcess[] = [];
  try {
    const token = await prepareToken(directory);
    const [upstream, haproxy, ours] = [await freePort(), await freePort(), await freePort()];
    writeFileSync(join(directory, 'upstream.cfg'), upstreamConfig(upstream));
    writeFileSync(join(directory, 'haproxy.cfg'), haproxyConfig(haproxy, upstream, join(directory, 'key.pem')));
    writeFileSync(join(directory, 'interlink.json'), JSON.stringify(ourConfig(ours, upstream, directory)));
    writeFileSync(join(directory, 'request.lua'), generatorScript(token));
    const built = join(root, 'dist/interlink');
    const program = existsSync(built) ? [built] : [process.execPath, join(root, 'bin/interlink.ts')];
    started.push(start(1, ['haproxy', '-f', join(directory, 'upstream.cfg')]));
    const config = ['--config', join(directory, 'interlink.json'), '--log-level', 'warn'];
    const proxies = {
      haproxy: { port: haproxy, child: start(0, ['haproxy', '-f', join(directory, 'haproxy.cfg')]) },
      interlink: { port: ours, child: start(0, [...program, 'proxy', 'start', ...config]) },
    };
    started.push(proxies.haproxy.child, proxies.interlink.child);
    for (const { port } of Object.values(proxies)) await answers(port, token);
    const rates: Record<keyof typeof proxies, number[]> = { haproxy: [], interlink: [] };
    for (let round = 0; round <= ROUNDS; round++)
      for (const name of ['haproxy', 'interlink'] as const) {
        const { port, child } = proxies[name];
        const before = processorSeconds(child);
        const requests = measure(port, directory);
        // The first round warms both up.
        if (round > 0) rates[name].push(requests / (processorSeconds(child) - before));
      }
    console.log('requests per processor second: best    median   rounds');
    for (const [name, list] of Object.entries(rates))
      console.log(
        `${name.padEnd(26)} ${Math.max(...list)
          .toFixed(0)
          .padStart(9)} ${median(list).toFixed(0).padStart(9)}   ${list.map((rate) => rate.toFixed(0)).join(' ')}`,
      );
    const ratios = rates.interlink.map((rate, round) => rate / (rates.haproxy[round] ?? Number.NaN));
    const ratio = median(ratios);
    console.log(`interlink / haproxy: median of ${ROUNDS} rounds ${ratio.toFixed(2)} (target ${TARGET})`);
    return ratio >= TARGET;
  } finally {
    for (const child of started) child.kill('SIGTERM');
    rmSync(directory, { recursive: true, force: true });
  }
}

async function prepareToken(directory: string): Promise<string> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  writeFileSync(join(directory, 'key.pem'), await exportSPKI(publicKey));
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' }];
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify({ keys }));
  return new SignJWT({ groups: ['/pods', '/pods/gpu', '/others'], client_id: 'vk', scope: 'compute.create' })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject('vk')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey);
}

function upstreamConfig(port: number): string {
  return `${haproxyDefaults}
frontend plugin
  bind 127.0.0.1:${port}
  http-request return status 200 content-type application/json string '{"status":"ok","resources":{"cpu":"64"}}'
`;
}

function haproxyConfig(port: number, upstream: number, keyFile: string): string {
  return `${haproxyDefaults}
frontend api
  bind 127.0.0.1:${port}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str ${ISSUER} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str ${AUDIENCE} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify("RS256","${keyFile}") -m int 1 }
  default_backend plugin
backend plugin
  http-reuse always
  server plugin 127.0.0.1:${upstream}
`;
}

const haproxyDefaults = `global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s`;

function ourConfig(port: number, upstream: number, directory: string): object {
  return {
    proxy: {
      listen: `http://127.0.0.1:${port}`,
      issuers: [
        { issuer: ISSUER, audiences: [AUDIENCE], allowedGroups: ['/pods'], jwksFile: join(directory, 'jwks.json') },
      ],
      sidecars: [{ url: `http://127.0.0.1:${upstream}` }],
      auditFile: join(directory, 'audit.log'),
    },
  };
}

function generatorScript(token: string): string {
  return `wrk.method = "POST"\nwrk.path = "/pinglink"\nwrk.headers["Authorization"] = "Bearer ${token}"\n`;
}

function start(core: number, argv: readonly string[]): ChildProcess {
  return spawn('taskset', ['-c', String(core), ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Requests that were answered. */
function measure(port: number, directory: string): number {
  const argv = ['-c', '1', 'wrk', '-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-s', join(directory, 'request.lua')];
  const text = execFileSync('taskset', [...argv, `http://127.0.0.1:${port}`], { encoding: 'utf8' });
  const requests = /(\d+) requests in/.exec(text)?.[1];
  if (requests === undefined || /Non-2xx/.test(text)) throw new Error(`bench proxy: the generator failed:\n${text}`);
  return Number(requests);
}

/** User and system time of a process so far. @see proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms */
function processorSeconds(child: ChildProcess): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function answers(port: number, token: string): Promise<void> {
  let last: unknown;
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/pinglink`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
      });
      const text = await answer.text();
      if (answer.status === 200 && text.includes('"cpu":"64"')) return;
      last = `${answer.status} ${text}`;
    } catch (error) {
      last = error;
    }
    await sleep(100);
  }
  throw new Error(`bench proxy: port ${port} does not answer: ${last}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
