/** Grammars of Kubernetes names. @see https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ */

/** RFC 1123 label: namespaces, containers, volumes. */
export function isDnsLabel(text: unknown): text is string {
  return typeof text === 'string' && text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

/** RFC 1123 subdomain: pods, ConfigMaps, Secrets. */
export function isDnsSubdomain(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text.length <= 253 &&
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)
  );
}

/** Key of a ConfigMap or Secret, also a file name: no path, neither `.` nor `..` nor anything that begins with `..`. */
export function isDataKey(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text.length <= 253 &&
    /^[-._a-zA-Z0-9]+$/.test(text) &&
    text !== '.' &&
    !text.startsWith('..')
  );
}

/** Name of an environment variable: printable ASCII but `=`, as Kubernetes has it since 1.30. */
export function isEnvName(text: unknown): text is string {
  return typeof text === 'string' && /^[ -<>-~]+$/.test(text);
}

/** Relative path that stays below its directory: no leading slash, no `..` element, no NUL. */
export function isRelativePath(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text !== '' &&
    !text.startsWith('/') &&
    !text.includes('\0') &&
    !text.split('/').includes('..')
  );
}
