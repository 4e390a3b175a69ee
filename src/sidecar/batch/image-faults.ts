import { isKind, messageOf } from '../../base/errors.ts';
import { imageSource } from '../../contract/image-source.ts';
import type { RuntimeSettings } from '../../contract/job-directory.ts';
import type { Pod } from '../../kube/types.ts';

/**
 * The images of a pod that the site does not allow or nobody could fetch, each with its field and the rule. A name that is none at all is no fault: the
 * container waits with it, as on a kubelet.
 */
export function imageFaults({ spec }: Pod, runtime: RuntimeSettings): readonly string[] {
  if (runtime.name === 'process') return [];
  return (['initContainers', 'containers'] as const).flatMap((field) =>
    (spec?.[field] ?? []).flatMap(({ image = '' }, index) => {
      try {
        imageSource(image, runtime);
        return [];
      } catch (error) {
        if (!isKind(error, 'Invalid')) throw error;
        return error.code === 'image.refused' ? [`spec.${field}[${index}].image: ${messageOf(error)}`] : [];
      }
    }),
  );
}
