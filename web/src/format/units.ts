/**
 * Numbers as people read them. Every function takes a plain number in base units (bytes, seconds,
 * cores, ratio) and gives a short text. `null` and NaN give an em dash: unknown is never shown as zero.
 */

export const UNKNOWN = '–';

export type Unit =
  | 'bytes'
  | 'bytes/s'
  | 'cores'
  | 'ratio'
  | 'seconds'
  | 'count'
  | 'count/s'
  | 'number'
  | 'none';

const IEC = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
const SI = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

function known(value: number | null | undefined): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** Up to three significant digits, without an exponent between 0.001 and 1000. */
function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return trim(value.toFixed(1));
  if (size >= 0.1) return trim(value.toFixed(2));
  if (size >= 0.001) return trim(value.toFixed(3));
  return value.toExponential(1).replace('e+', 'e');
}

function trim(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function scaled(value: number, base: number, words: string[]): string {
  let size = Math.abs(value);
  let index = 0;
  // 999.5 would be printed as 1000: step up before that.
  while (size >= base * 0.9995 && index < words.length - 1) {
    size /= base;
    index += 1;
  }
  const number = digits(Math.sign(value) * size);
  const word = words[index] ?? '';
  return word === '' ? number : `${number} ${word}`;
}

/** Bytes with IEC words: `1.5 GiB`. */
export function bytes(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (Math.abs(value) > 0 && Math.abs(value) < 1) return `${digits(value)} B`;
  return scaled(value, 1024, IEC);
}

/** Bytes a second: `12 KiB/s`. */
export function bytesPerSecond(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (Math.abs(value) < 0.5) return '0 B/s';
  return `${scaled(value, 1024, IEC)}/s`;
}

/** CPU in cores with a floor below which it says so: `0.042`, `1.5`, `<0.001`. */
export function cores(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.001) return '<0.001';
  if (size < 0.1) return trim(value.toFixed(3));
  if (size < 10) return trim(value.toFixed(2));
  return trim(value.toFixed(1));
}

/** A ratio as per cent: `4.2 %`. */
export function percent(ratio: number | null | undefined): string {
  if (!known(ratio)) return UNKNOWN;
  const value = ratio * 100;
  const size = Math.abs(value);
  if (size === 0) return '0 %';
  if (size < 0.01) return '<0.01 %';
  if (size < 1) return `${trim(value.toFixed(2))} %`;
  if (size < 10) return `${trim(value.toFixed(1))} %`;
  return `${value.toFixed(0)} %`;
}

/** A plain count, with SI letters from ten thousand on: `9,999`, `12.3k`. */
export function count(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (Number.isInteger(value) && Math.abs(value) < 10_000) return value.toLocaleString('en-US');
  return scaled(value, 1000, SI).replace(' ', '');
}

/** A length of time in seconds: `850 µs`, `12 ms`, `3.2 s`, `4m 10s`, `2h 5m`, `3d 4h`. */
export function duration(seconds: number | null | undefined): string {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds === 0) return '0 s';
  if (seconds < 1e-6) return `${digits(seconds * 1e9)} ns`;
  if (seconds < 1e-3) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 60) return `${digits(seconds)} s`;
  return age(seconds);
}

/** How old something is, in two steps at most: `42s`, `5m 3s`, `2h 5m`, `3d 4h`. */
export function age(seconds: number | null | undefined): string {
  if (!known(seconds)) return UNKNOWN;
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first === -1) return '0s';
  const shown = parts.slice(first, first + 2).filter(([n]) => n > 0);
  return shown.map(([n, word]) => `${n}${word}`).join(' ');
}

/** The text of `value` in `unit`. */
export function format(value: number | null | undefined, unit: Unit): string {
  switch (unit) {
    case 'bytes':
      return bytes(value);
    case 'bytes/s':
      return bytesPerSecond(value);
    case 'cores':
      return cores(value);
    case 'ratio':
      return percent(value);
    case 'seconds':
      return duration(value);
    case 'count':
      return count(value);
    case 'count/s':
      return known(value) ? `${count(value)}/s` : UNKNOWN;
    case 'number':
      return known(value) ? digits(value) : UNKNOWN;
    case 'none':
      return plain(value);
  }
}

/** A value of unknown unit with the digits that matter: the table and graph of Explore. */
export function plain(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1e15 || size < 1e-4) return value.toExponential(3);
  if (size >= 1e6) return scaled(value, 1000, SI).replace(' ', '');
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  return Number(value.toPrecision(5)).toLocaleString('en-US', { maximumSignificantDigits: 5 });
}

/**
 * Steps between the ticks of an axis that give round texts in `unit`: powers of 1024 for bytes,
 * sixties for seconds, powers of ten for the rest.
 */
export function tickStep(range: number, ticks: number, unit: Unit): number {
  const rough = range / Math.max(1, ticks);
  if (!(rough > 0)) return 1;
  if ((unit === 'bytes' || unit === 'bytes/s') && rough > 1) {
    const power = 1024 ** Math.floor(Math.log(rough) / Math.log(1024));
    const nice = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 512, 1024];
    return power * (nice.find((n) => n * power >= rough) ?? 1024);
  }
  if (unit === 'seconds' && rough > 1) {
    const nice = [2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
    const found = nice.find((n) => n >= rough);
    if (found !== undefined) return found;
  }
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((n) => n * power >= rough * 0.999) ?? 10) * power;
  return unit === 'count' ? Math.max(1, Math.ceil(step)) : step;
}
