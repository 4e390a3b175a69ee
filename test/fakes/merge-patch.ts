type Json = Record<string, unknown>;

/** RFC 7386, or with `strategic` lists of objects merged by `type` or `name` and `$patch: replace` honoured, which is what node and pod statuses need. */
export function mergePatch(target: unknown, patch: unknown, strategic: boolean): unknown {
  if (Array.isArray(patch)) return strategic ? mergeLists(target, patch) : patch;
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    // Statuses of containers are replaced as a whole.
    else if (key.toLowerCase().endsWith('containerstatuses')) result[key] = value;
    else result[key] = mergePatch(result[key], value, strategic);
  }
  return result;
}

function mergeLists(target: unknown, patch: unknown[]): unknown[] {
  if (patch.some((item) => isObject(item) && item.$patch === 'replace'))
    return patch.filter((item) => !(isObject(item) && '$patch' in item));
  const key = ['type', 'name'].find((name) => patch.every((item) => isObject(item) && name in item));
  if (key === undefined || !Array.isArray(target)) return patch;
  const merged = [...target];
  for (const item of patch as Json[]) {
    const index = merged.findIndex((one) => isObject(one) && one[key] === item[key]);
    if (item.$patch === 'delete') merged.splice(index, index < 0 ? 0 : 1);
    else if (index < 0) merged.push(item);
    else merged[index] = mergePatch(merged[index], item, true);
  }
  return merged;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
