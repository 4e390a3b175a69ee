import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

const LEVELS: Readonly<Record<string, readonly [text: string, style: Style]>> = {
  debug: ['debug', 'dim'],
  info: ['info ', 'green'],
  warn: ['warn ', 'yellow'],
  error: ['error', 'red'],
};

/** One JSON log line as people read it: `15:04:05.123 info  node registered node=hpc`. Anything that is no such line is given back as it is. */
export function renderLogLine(line: string, colour: boolean): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { time, level, message, ...fields } = record;
  const paint = (style: Style, text: string): string =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const [label, style] = LEVELS[String(level)] ?? [String(level), 'reset'];
  const words = [
    paint('dim', String(time).slice(11, 23)),
    paint(style, label),
    printable(String(message)),
    ...Object.entries(fields).map(([key, value]) => `${paint('dim', `${key}=`)}${renderValue(value)}`),
  ];
  return `${words.join(' ')}\n`;
}

function renderValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@%+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? String(value);
}

/** Control characters would let a remote text repaint the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}
