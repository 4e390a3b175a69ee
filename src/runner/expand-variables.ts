/**
 * `text` with each `$(NAME)` replaced by `lookup(NAME)`. `$$` gives `$`, so `$$(NAME)` stays as `$(NAME)`; an unknown name and anything else
 * after a `$` stay as they are.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/third_party/forked/golang/expansion/expand.go
 */
export function expandVariables(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (match, name: string | undefined) =>
    name === undefined ? '$' : (lookup(name) ?? match),
  );
}
