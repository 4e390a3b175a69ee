import { kubectl } from '../support/kubectl.ts';
import type { PodCase } from '../support/pod-table.ts';
import { COMPLETED, FAILED } from './endings.ts';

/** Sections 5 and 6 of what a pod may expect: volumes and identity. */
export const surroundings: readonly PodCase[] = [
  {
    pod: 'emptydirs',
    shows: 'an emptyDir outlives a restart, and one in memory is a tmpfs of its size',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed, restarts 1, last 1 Error'],
    logs: {
      'c --previous': '777\ntmpfs\nfull\n1048576\n',
      c: '777\ntmpfs\nfull\n1048576\nkept\n',
    },
  },
  {
    pod: 'volume-files',
    shows: 'ConfigMap, Secret, projected and downward API volumes have contents, modes and groups',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    logs: {
      c: 'uid=1000 gid=1000 groups=1000,2000\nhello\nopen sesame\n640 2000\n440 2000\nname\nother\ntoken\nword\nvolume-files\ntoken\nhelloread only\n',
    },
  },
  {
    pod: 'live-volumes',
    shows: 'a changed ConfigMap and annotation are seen by the running process within 5 s',
    async act(pod) {
      await pod.untilLog('c', 'up\n');
      const from = performance.now();
      const changed = JSON.stringify({ data: { word: 'new' } });
      await kubectl(['-n', pod.stack.namespace, 'patch', 'configmap', 'changing', '--type=merge', '-p', changed]);
      await pod.patch({ metadata: { annotations: { 'example.org/state': 'yes' } } });
      await pod.untilLog('c', 'changed\n');
      const seconds = (performance.now() - from) / 1000;
      return seconds < 5 ? 'in time' : `after ${seconds} s`;
    },
    heard: 'in time',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
  },
  {
    pod: 'unsupported-volume',
    shows: 'a volume that the site cannot give is refused by its name',
    expected: [/^Failed UnexpectedAdmissionError ".*\bfar\b.*"$/, FAILED, 'c: waiting ContainerCreating'],
  },
  {
    pod: 'names',
    shows: 'host name, hosts, resolver, addresses, Services and /dev/shm',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    logs: {
      c: 'h\n1\n192.0.2.10\tone.example\ttwo.example\nsearch a.example\nnameserver 192.0.2.53\noptions ndots:2\nhost\nnode\n250\nservice\n/dev/shm\nshm\n',
    },
  },
  {
    pod: 'shared-processes',
    shows: 'containers that share processes can signal each other',
    expected: ['Failed', FAILED, 'a: 143 Error', 'b: 0 Completed'],
    logs: { b: 'found\nsent\n' },
  },
  {
    pod: 'confined',
    shows: 'user, read-only root, no capability and no new privileges',
    expected: ['Succeeded', COMPLETED, 'c: 0 Completed'],
    logs: { c: '1234\ntouch: /x: Read-only file system\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n' },
  },
  {
    pod: 'host-network',
    shows: 'a security setting that cannot be met is refused by its name',
    expected: [/^Failed UnexpectedAdmissionError ".*hostPID.*"$/, FAILED, 'c: waiting ContainerCreating'],
  },
];
