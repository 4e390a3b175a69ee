import { describe, expect, it } from 'vitest';
import { parseOciConfig, readScriptConfig } from '../../../src/runner/image-config.ts';
import { parseImageDescription, renderImageDescription } from '../../../src/runner/image-description.ts';
import { parseImageUsers } from '../../../src/runner/image-users.ts';

describe('the OCI configuration of an image', () => {
  it('gives entrypoint, command, environment, directory and user', () => {
    const text = JSON.stringify({
      Entrypoint: ['/tini', '--'],
      Cmd: ['run'],
      Env: ['PATH=/x:/bin', 'A=b=c', 'EMPTY='],
      WorkingDir: '/w',
      User: 'jovyan:100',
    });
    expect(parseOciConfig(text)).toEqual({
      entrypoint: ['/tini', '--'],
      cmd: ['run'],
      env: [
        ['PATH', '/x:/bin'],
        ['A', 'b=c'],
        ['EMPTY', ''],
      ],
      workingDir: '/w',
      user: 'jovyan:100',
    });
  });

  it('may leave out everything', () => {
    const empty = { entrypoint: [], cmd: [], env: [], user: '' };
    expect(parseOciConfig('{}')).toEqual(empty);
    expect(parseOciConfig('{"Entrypoint":null,"WorkingDir":""}')).toEqual(empty);
    expect(parseOciConfig('null')).toEqual(empty);
  });

  it.each([
    ['SIGQUIT', 'SIGQUIT'],
    ['quit', 'SIGQUIT'],
    ['2', 'SIGINT'],
    ['SIGRTMIN+3', undefined],
    ['', undefined],
    [3, undefined],
  ])('with the stop signal %j is stopped by %s', (StopSignal, expected) => {
    expect(parseOciConfig(JSON.stringify({ StopSignal })).stopSignal).toBe(expected);
  });

  it.each(['{', '{"Cmd":"sh"}', '{"Env":[1]}'])('%s is refused', (text) => {
    expect(() => parseOciConfig(text)).toThrow(expect.objectContaining({ code: 'ImageInspectError' }));
  });
});

describe('an image without OCI configuration', () => {
  const reader = (files: Record<string, string>) => async (path: string) => files[path];

  it('is run by the lists that Apptainer has put into its run script', async () => {
    const config = await readScriptConfig(
      reader({
        '/.singularity.d/runscript': `#!/bin/sh\nOCI_ENTRYPOINT='"/usr/bin/conda" "run" "a \\"b\\" \\$c"'\nOCI_CMD='"sh"'\n`,
        '/.singularity.d/env/10-docker2singularity.sh':
          '#!/bin/sh\nexport PATH="/opt/bin:/bin"\n' + `export LANG="$\{LANG:-"C.UTF-8"}"\n`,
      }),
    );
    expect(config).toEqual({
      entrypoint: ['/usr/bin/conda', 'run', 'a "b" $c'],
      cmd: ['sh'],
      env: [
        ['PATH', '/opt/bin:/bin'],
        ['LANG', 'C.UTF-8'],
      ],
      user: '',
    });
  });

  it('is run by its run script when that is its own', async () => {
    const config = await readScriptConfig(reader({ '/.singularity.d/runscript': '#!/bin/sh\nexec python3 "$@"\n' }));
    expect(config).toMatchObject({ entrypoint: ['/.singularity.d/runscript'], cmd: [] });
  });

  it('is run as Charliecloud has pulled it, with what a build has changed since', async () => {
    const pulled = { config: { Entrypoint: ['/tini'], Cmd: ['run'], User: 'app', Env: ['A=old'], WorkingDir: '/' } };
    const metadata = { arch: 'amd64', cwd: '/w', env: { A: 'new', B: 'x' }, shell: ['/bin/sh', '-c'] };
    const files = {
      '/ch/metadata.json': JSON.stringify(metadata),
      '/ch/config.pulled.json': JSON.stringify(pulled),
    };
    const config = { entrypoint: ['/tini'], cmd: ['run'], env: [['A', 'new'], ['B', 'x']], workingDir: '/w', user: 'app' }; // biome-ignore format: one row
    expect(await readScriptConfig(reader(files))).toEqual(config);
    const { '/ch/metadata.json': built } = files;
    const shell = { ...config, entrypoint: [], cmd: ['/bin/sh'], user: '' };
    expect(await readScriptConfig(reader({ '/ch/metadata.json': built }))).toEqual(shell);
    await expect(readScriptConfig(reader({ '/ch/metadata.json': '{' }))).rejects.toMatchObject({
      code: 'ImageInspectError',
    });
  });

  it('runs a shell when it is just a directory', async () => {
    expect(await readScriptConfig(reader({}))).toEqual({ entrypoint: [], cmd: ['/bin/sh'], env: [], user: '' });
  });
});

describe('the user database of an image', () => {
  it('knows users and groups and leaves out what makes no sense', () => {
    const users = parseImageUsers(
      'root:x:0:0:root:/root:/bin/sh\nbad:x:abc:0::/:\njovyan:x:1000:100::/home/jovyan:\n\nnohome:x:7:7\n',
      'users:x:100:\nwheel:x:10:root,jovyan\nbroken\n',
    );
    expect(users.byId(0)).toMatchObject({ name: 'root', home: '/root' });
    expect(users.byName('jovyan')).toMatchObject({ uid: 1000, gid: 100 });
    expect(users.byId(7)).toMatchObject({ home: '/' });
    expect(users.byName('bad')).toBeUndefined();
    expect(users.groupId('users')).toBe(100);
    expect(users.groupsOf('jovyan')).toEqual([10]);
  });
});

describe('the description of an image', () => {
  it.each(['{', '{}', 'null', '{"layers":[]}', '{"layers":["relative"]}', '{"layers":"/a"}'])('%s is none', (text) => {
    expect(() => parseImageDescription(text)).toThrow(expect.objectContaining({ code: 'ImageInspectError' }));
  });

  it('comes back as it was written', () => {
    const text = renderImageDescription({ layers: ['/top', '/bottom'], config: { Cmd: ['x'] }, sizeBytes: 5 });
    expect(parseImageDescription(text)).toEqual({
      layers: ['/top', '/bottom'],
      config: { entrypoint: [], cmd: ['x'], env: [], user: '' },
      sizeBytes: 5,
    });
  });
});
