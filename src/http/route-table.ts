import { InterlinkError } from '../base/errors.ts';
import type { HttpHandler } from './handler.ts';

/** What stands at one path. */
export interface Route {
  /** Methods that are served; absent: every one. */
  readonly methods?: readonly string[];
  readonly handle: HttpHandler;
}

/**
 * A handler that looks the raw path up in `routes`, exactly: no decoding, no pattern, no trailing slash. What is not there goes to `fallback`, else
 * is NotFound; a method that the route does not serve is refused with 405.
 */
export function routeTable(routes: Readonly<Record<string, Route>>, fallback?: HttpHandler): HttpHandler {
  const table = new Map(Object.entries(routes));
  return async (request) => {
    const route = table.get(request.path);
    if (route === undefined) {
      if (fallback) return fallback(request);
      throw new InterlinkError('NotFound', `there is no ${JSON.stringify(request.path.slice(0, 100))} here`, {
        code: 'http.path',
      });
    }
    if (route.methods && !route.methods.includes(request.method))
      throw new InterlinkError('Invalid', `${request.path} takes ${route.methods.join(', ')}, not ${request.method}`, {
        code: 'http.method',
      });
    return route.handle(request);
  };
}
