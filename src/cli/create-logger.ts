import { type Logger as PinoLogger, pino } from 'pino';
import { kindOf } from '../base/errors.ts';
import type { LogFields, Logger } from '../base/logger.ts';
import type { CliOutput } from './cli-io.ts';
import { renderLogLine } from './render-log-line.ts';

/** What `--log-level` and `--log-format` say, and where lines go. */
export interface LoggerOptions {
  readonly level: string;
  /** Undefined: text on a terminal, else JSON. */
  readonly format: 'text' | 'json' | undefined;
  readonly output: CliOutput;
  readonly colour: boolean;
}

/**
 * A logger that writes one line per message: JSON (`time`, `level`, `message`, fields) or text. Errors in fields are written with kind, code, details
 * and causes; a `Secret` shows as `[redacted]`. Writing never throws.
 */
export function createLogger({ level, format, output, colour }: LoggerOptions): Logger {
  const text = format === undefined ? output.isTTY === true : format === 'text';
  const destination = {
    write: (line: string): void => void output.write(text ? renderLogLine(line, colour) : line),
  };
  return wrap(
    pino(
      {
        level,
        base: null,
        messageKey: 'message',
        // Ours has done its work before pino's own would.
        serializers: { err: (value: unknown) => value },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }), log: serializeErrors },
      },
      destination,
    ),
    {},
  );
}

/** Fields of children are merged here, as pino would write a key twice that a child sets anew. */
function wrap(logger: PinoLogger, bound: LogFields): Logger {
  const all = (fields: LogFields | undefined): LogFields => ({ ...bound, ...fields });
  return {
    debug: (message, fields) => logger.debug(all(fields), message),
    info: (message, fields) => logger.info(all(fields), message),
    warn: (message, fields) => logger.warn(all(fields), message),
    error: (message, fields) => logger.error(all(fields), message),
    child: (fields) => wrap(logger, all(fields)),
  };
}

function serializeErrors(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? serializeError(value) : value]),
  );
}

/** The stack only for faults of our own making; elsewhere the message says what happened. */
function serializeError(error: Error): LogFields {
  const { code, details } = error as { code?: unknown; details?: object };
  return {
    message: error.message,
    kind: kindOf(error),
    ...(code === undefined ? {} : { code }),
    ...(details === undefined || Object.keys(details).length === 0 ? {} : { details }),
    ...(error.cause instanceof Error ? { cause: serializeError(error.cause) } : {}),
    ...(kindOf(error) === 'Internal' ? { stack: error.stack } : {}),
  };
}
