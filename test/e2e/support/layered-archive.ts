import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from './command.ts';

const LAYER = `set -e
mkdir -p layer/etc layer/usr/bin layer/home/app
touch layer/etc/.wh.group layer/usr/bin/.wh..wh..opq
echo only >layer/usr/bin/only
printf 'root:x:0:0:root:/root:/bin/sh\\napp:x:1000:1000::/home/app:/bin/sh\\n' >layer/etc/passwd
echo mine >layer/home/app/x
tar --numeric-owner --owner=0 --group=0 -C layer -cf second.tar ./etc ./usr
tar --numeric-owner --owner=1000 --group=1000 -C layer -rf second.tar ./home/app
sha256sum second.tar | cut -d' ' -f1`;

/** What its command prints. */
export const LAYERED_OUTPUT = 'app\n/home/app\na b\nno group\nonly\nmine\n';

/**
 * Writes a docker-archive `target` of two layers: the one of `archive`, and one that removes a file, replaces a whole directory, and has a user. Its
 * configuration has an entrypoint, a command, a variable, a directory and the user `app`.
 */
export async function makeLayeredArchive(archive: string, target: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'interlink-e2e-layers-'));
  try {
    await mkdir(work, { recursive: true });
    await outputOf(['tar', '-C', work, '-xf', archive]);
    const second = (await outputOf(['sh', '-c', LAYER], { cwd: work })).trim();
    const [{ Config, Layers }] = JSON.parse(await readFile(join(work, 'manifest.json'), 'utf8')) as [
      { Config: string; Layers: [string] },
    ];
    const config = JSON.parse(await readFile(join(work, Config), 'utf8')) as {
      config: object;
      rootfs: { diff_ids: string[] };
      history: object[];
    };
    config.config = {
      User: 'app',
      Entrypoint: ['/bin/sh', '-c'],
      Cmd: ['id -un; pwd; echo "$X"; [ -e /etc/group ] || echo no group; ls /usr/bin; cat x'],
      Env: ['PATH=/bin', 'X=a b'],
      WorkingDir: '/home/app',
    };
    config.rootfs.diff_ids.push(`sha256:${second}`);
    config.history.push(...config.history);
    await writeFile(join(work, Config), JSON.stringify(config));
    const manifest = [{ Config, RepoTags: ['localhost/layered:1'], Layers: [...Layers, 'second.tar'] }];
    await writeFile(join(work, 'manifest.json'), JSON.stringify(manifest));
    await outputOf(['tar', '-C', work, '-cf', target, 'manifest.json', Config, ...Layers, 'second.tar']);
  } finally {
    await rm(work, { recursive: true });
  }
}
