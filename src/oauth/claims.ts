type Claims = Readonly<Record<string, unknown>>;

/**
 * The value of a claim. The literal key comes first, because `wlcg.groups` has a dot in its name; else dots separate keys, and `["a.b"]` is one
 * key with a dot: `realm_access.roles`, `resource_access["my.client"].roles`. Undefined when there is none.
 */
export function lookUpClaim(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const key of pathOf(name)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Claims)[key];
  }
  return value;
}

/** The texts of a claim: one text is a list of one, `scope` is split at spaces; anything else holds none. */
export function listClaim(claims: Claims, name: string): readonly string[] {
  const value = lookUpClaim(claims, name);
  if (typeof value === 'string') return name === 'scope' ? value.split(' ').filter((item) => item !== '') : [value];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

function pathOf(name: string): readonly string[] {
  return [...name.matchAll(/\["([^"]*)"\]|([^.[\]]+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}
