/** Fields of a log line; values are data, never secrets. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Passed to whoever logs, never imported as a value. `message` is a constant lower-case phrase; what varies goes to `fields`.
 * error: somebody must act. warn: degraded but handled, once per change of state. info: start, stop, phase changes.
 * debug: each request and command.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}

/** A logger that drops everything: the default of tests and of one-shot commands. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
