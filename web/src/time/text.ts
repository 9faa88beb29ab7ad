/** Moments as text: 24 hours, local time or UTC, no more of the date than is needed. */

export type Zone = 'local' | 'utc';

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function parts(ms: number, zone: Zone): Parts {
  const d = new Date(ms);
  return zone === 'utc'
    ? {
        year: d.getUTCFullYear(),
        month: d.getUTCMonth() + 1,
        day: d.getUTCDate(),
        hour: d.getUTCHours(),
        minute: d.getUTCMinutes(),
        second: d.getUTCSeconds(),
      }
    : {
        year: d.getFullYear(),
        month: d.getMonth() + 1,
        day: d.getDate(),
        hour: d.getHours(),
        minute: d.getMinutes(),
        second: d.getSeconds(),
      };
}

const two = (n: number) => String(n).padStart(2, '0');

/** `14:03:09` */
export function clock(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${two(p.hour)}:${two(p.minute)}:${two(p.second)}`;
}

/** `2026-11-21` */
export function date(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${p.year}-${two(p.month)}-${two(p.day)}`;
}

/** `2026-11-21 14:03:09` */
export function moment(ms: number, zone: Zone): string {
  return `${date(ms, zone)} ${clock(ms, zone)}`;
}

/** The text of one tick of a time axis: the date where a day begins, seconds only where ticks are that near. */
export function tick(ms: number, stepSeconds: number, zone: Zone): string {
  const p = parts(ms, zone);
  if (p.hour === 0 && p.minute === 0 && p.second === 0) return `${two(p.month)}-${two(p.day)}`;
  if (stepSeconds < 60) return `${two(p.hour)}:${two(p.minute)}:${two(p.second)}`;
  return `${two(p.hour)}:${two(p.minute)}`;
}

/** Both ends of a span, the date once if it is the same. */
export function span(from: number, to: number, zone: Zone): string {
  const end = date(from, zone) === date(to, zone) ? clock(to, zone) : moment(to, zone);
  return `${moment(from, zone)} → ${end}`;
}
