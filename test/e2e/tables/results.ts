import { stateOf } from '../support/pod.ts';
import type { PodCase } from '../support/pod-table.ts';
import { COMPLETED, FAILED, UNREADY } from './endings.ts';

const reasonOf = (...of: Parameters<typeof stateOf>): string | undefined =>
  (stateOf(...of).waiting as { reason?: string } | undefined)?.reason;

/** Sections 3 and 4 of what a pod may expect: how containers ended, why they did not start. */
export const results: readonly PodCase[] = [
  {
    pod: 'messages',
    shows: 'termination messages come from the file or the log, and are cut',
    expected: [
      'Failed',
      FAILED,
      'default: 1 Error "to the default"',
      'last-words: 2 Error "in the log\n"',
      'own-path: 0 Completed "result\n"',
      // 4096 bytes, and no more than 12 KiB for all containers together.
      `too-long: 0 Completed "${'m'.repeat(3072)}"`,
    ],
  },
  {
    pod: 'out-of-memory',
    shows: 'a container over its memory is OOMKilled',
    expected: ['Failed', FAILED, 'c: 137 OOMKilled'],
  },
  {
    pod: 'killed',
    shows: 'another SIGKILL, and another signal, are no lack of memory',
    expected: ['Failed', FAILED, 'sigkill: 137 Error', 'sigsegv: 139 Error'],
  },
  {
    pod: 'cannot-run',
    shows: 'a command that is not there is a StartError with code 128, beside containers that run',
    expected: [
      'Failed',
      FAILED,
      /^directory: 128 StartError ".*\/etc.*permission denied.*"$/,
      'fine: 0 Completed',
      /^missing: 128 StartError ".*\/no\/such\/program.*no such file or directory.*"$/,
    ],
    events: [/^Failed missing: Error: .*\/no\/such\/program/],
  },
  {
    pod: 'cannot-run-again',
    shows: 'under OnFailure a command that is not there is tried again: RunContainerError, StartError in lastState',
    until: (pod) => ['RunContainerError', 'CrashLoopBackOff'].includes(reasonOf(pod, 'c') ?? ''),
    expected: [
      'Running',
      UNREADY('c'),
      /^c: waiting (RunContainerError|CrashLoopBackOff) ".*", (restarts \d, )?last 128 StartError ".*\/no\/such\/program.*", id$/,
    ],
  },
  {
    pod: 'no-such-image',
    shows: 'images that are absent, misnamed or refused each tell why',
    until: (pod) =>
      reasonOf(pod, 'absent') === 'ErrImageNeverPull' &&
      reasonOf(pod, 'odd') === 'InvalidImageName' &&
      reasonOf(pod, 'refused') === 'ImagePullBackOff',
    expected: [
      'Pending',
      UNREADY('absent odd refused'),
      'absent: waiting ErrImageNeverPull "Container image "localhost/absent:1" is not present with pull policy of Never"',
      /^odd: waiting InvalidImageName "Failed to apply default image tag "UPPER\/Case:tag": .*repository name \(Case\) must be lowercase"$/,
      /^refused: waiting ImagePullBackOff "Back-off pulling image "127.0.0.1:1\/no\/image:1": ErrImagePull: .*connection refused.*"$/s,
    ],
    events: ['Failed absent: Error: ErrImageNeverPull', 'Failed odd: Error: InvalidImageName'],
  },
  {
    pod: 'image-command',
    shows: "the image's own command, or none but args, with $(VAR) and $$(VAR)",
    expected: ['Succeeded', COMPLETED, 'args: 0 Completed', 'c: 0 Completed'],
    logs: { c: '', args: "odd 'value' $(WORD)\n" },
  },
];
