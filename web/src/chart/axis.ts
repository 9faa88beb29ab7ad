/** Ticks of a chart's axes: round in the unit shown. Pure. */

import { format, tickStep, type Unit } from '../format/units';

/** Ticks of the value axis between `min` and `max`, about one for each `space` of `height` pixels. */
export function valueTicks(min: number, max: number, height: number, unit: Unit): number[] {
  const wanted = Math.max(2, Math.floor(height / 36));
  const step = tickStep(max - min, wanted, unit);
  const ticks: number[] = [];
  const first = Math.ceil(min / step - 1e-9);
  for (let i = first; i * step <= max + step * 1e-9 && ticks.length < 30; i++) {
    // Multiplying, not adding up, so that 0.3 is not 0.30000000000000004 times over.
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

/** The upper end of the value axis: a little above the largest value, on no particular tick. */
export function upperEnd(max: number, unit: Unit): number {
  if (max > 0) return max * 1.08;
  return unit === 'bytes' || unit === 'bytes/s' ? 1024 : unit === 'ratio' ? 0.01 : unit === 'cores' ? 0.1 : 1;
}

const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800,
  345600, 604800, 1209600, 2592000,
];

/** Step between the ticks of a time axis of `width` pixels, in seconds. */
export function timeStep(span: number, width: number): number {
  const wanted = Math.max(2, Math.floor(width / 90));
  return TIME_STEPS.find((step) => span / step <= wanted) ?? 2592000;
}

/** Times (s) of the ticks; aligned to local midnight by `offset` (s to add to UTC to get local time). */
export function timeTicks(start: number, end: number, step: number, offset: number): number[] {
  const ticks: number[] = [];
  for (let t = Math.ceil((start + offset) / step) * step - offset; t <= end && ticks.length < 60; t += step) {
    ticks.push(t);
  }
  return ticks;
}

export function tickText(value: number, unit: Unit): string {
  return format(value, unit);
}
