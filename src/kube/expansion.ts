/**
 * Replaces each `$(NAME)` by what `lookup` gives; an unknown name stays as it is, `$$` becomes `$`. The result is not expanded again.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/third_party/forked/golang/expansion/expand.go
 */
export function expandReferences(text: string, lookup: (name: string) => string | undefined): string {
  let result = '';
  let position = 0;
  while (position < text.length) {
    const dollar = text.indexOf('$', position);
    if (dollar === -1 || dollar === text.length - 1) break;
    result += text.slice(position, dollar);
    const next = text[dollar + 1];
    const end = next === '(' ? text.indexOf(')', dollar + 2) : -1;
    if (end !== -1) {
      const name = text.slice(dollar + 2, end);
      result += lookup(name) ?? `$(${name})`;
      position = end + 1;
    } else {
      result += next === '$' ? '$' : `$${next}`;
      position = dollar + 2;
    }
  }
  return result + text.slice(position);
}
