/** Whether the image is to come from a registry on this machine, which nobody expects to have a certificate. */
export function isLoopbackRegistry(url: string): boolean {
  return /^[a-z]+:\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?\//.test(url);
}
