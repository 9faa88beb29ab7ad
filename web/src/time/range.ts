/**
 * The time range of a page: how it stands in the URL, and how a range becomes the window
 * (start, end, step) of a query. Pure: the time of day is an argument.
 */

/** Either the last so many seconds, or a fixed span in milliseconds since the epoch. */
export type Range = { kind: 'last'; seconds: number } | { kind: 'between'; from: number; to: number };

/** Start and end are multiples of the step, so that points do not move while time goes on. Seconds. */
export interface Window {
  start: number;
  end: number;
  step: number;
}

export const DEFAULT_RANGE: Range = { kind: 'last', seconds: 900 };

export const PRESETS = ['5m', '15m', '1h', '3h', '6h', '12h', '1d', '2d', '7d', '15d'];

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

/** Reads a Prometheus duration (`1h30m`, `500ms`) into seconds; null when it is not one. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) {
    const plain = Number(trimmed);
    return plain > 0 ? plain : null;
  }
  if (!/^(\d+(ms|[smhdwy]))+$/.test(trimmed)) return null;
  let sum = 0;
  for (const [, n, word] of trimmed.matchAll(/(\d+)(ms|[smhdwy])/g)) {
    sum += Number(n) * (SECONDS[word ?? ''] ?? 0);
  }
  return sum > 0 ? sum : null;
}

/** The shortest Prometheus duration for `seconds`: 5400 gives `1h30m`. */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds * 1000);
  if (rest <= 0) return '0s';
  let text = '';
  for (const [word, ms] of [
    ['d', 86400000],
    ['h', 3600000],
    ['m', 60000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    const n = Math.floor(rest / ms);
    if (n > 0) text += `${n}${word}`;
    rest -= n * ms;
  }
  return text;
}

/** A moment from the URL: ISO 8601, or a number of seconds or milliseconds since the epoch. */
export function parseMoment(value: unknown): number | null {
  if (typeof value === 'number' && Number.isFinite(value)) {
    return value > 1e11 ? value : value * 1000;
  }
  if (typeof value !== 'string' || value === '') return null;
  if (/^\d+(\.\d+)?$/.test(value)) return parseMoment(Number(value));
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

export interface RangeSearch {
  range?: string;
  from?: string;
  to?: string;
}

/** The range that the URL asks for; anything that cannot be read falls back to the default. */
export function rangeFromSearch(search: { range?: unknown; from?: unknown; to?: unknown }): Range {
  const from = parseMoment(search.from);
  const to = parseMoment(search.to);
  if (from !== null && to !== null && to > from) return { kind: 'between', from, to };
  if (typeof search.range === 'string' || typeof search.range === 'number') {
    const seconds = parseDuration(String(search.range));
    if (seconds !== null && seconds >= 10 && seconds <= 10 * 31536000) return { kind: 'last', seconds };
  }
  return DEFAULT_RANGE;
}

export function rangeToSearch(range: Range): RangeSearch {
  if (range.kind === 'between') {
    return { from: isoSeconds(range.from), to: isoSeconds(range.to) };
  }
  return range.seconds === (DEFAULT_RANGE as { seconds: number }).seconds
    ? {}
    : { range: formatDuration(range.seconds) };
}

function isoSeconds(ms: number): string {
  return new Date(Math.round(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

export function rangeSeconds(range: Range): number {
  return range.kind === 'last' ? range.seconds : (range.to - range.from) / 1000;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** A round step in seconds that gives at most `points` points and is not below the collection interval. */
export function autoStep(seconds: number, interval: number, points: number): number {
  const least = Math.max(interval, seconds / points);
  const round = STEPS.find((step) => step >= least - 1e-9) ?? Math.ceil(least / 86400) * 86400;
  // A collection interval that is no round number itself (7 s) is kept when it is the limit.
  return least === interval && round !== interval ? interval : round;
}

/** The window of a range at the time `now` (ms). */
export function windowOf(range: Range, now: number, step: number): Window {
  if (range.kind === 'between') {
    const start = Math.floor(range.from / 1000 / step) * step;
    return { start, end: Math.max(start + step, Math.ceil(range.to / 1000 / step) * step), step };
  }
  const end = Math.floor(now / 1000 / step) * step;
  const points = Math.max(1, Math.round(range.seconds / step));
  return { start: end - points * step, end, step };
}

/**
 * The window of `rate()` and its kin: wide enough for four samples, and one sample wider than the
 * step, so that what is counted between two neighbouring windows is lost to neither.
 */
export function rateWindow(interval: number, step: number): string {
  return formatDuration(Math.max(4 * interval, step + interval));
}

/** Moves a range by half of its length into the past (-1) or the future (1). */
export function shift(range: Range, direction: -1 | 1, now: number): Range {
  const span = rangeSeconds(range) * 1000;
  const to = (range.kind === 'between' ? range.to : now) + (direction * span) / 2;
  if (to >= now) return { kind: 'last', seconds: span / 1000 };
  return { kind: 'between', from: to - span, to };
}

/** Twice the range around the same middle, never into the future. */
export function widen(range: Range, now: number): Range {
  const span = rangeSeconds(range) * 1000;
  if (range.kind === 'last') return { kind: 'last', seconds: (span * 2) / 1000 };
  const to = Math.min(now, range.to + span / 2);
  return { kind: 'between', from: to - 2 * span, to };
}
