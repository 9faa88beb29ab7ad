/** Where a chart has nothing to draw, and why. Pure. */

import type { Window } from '../time/range';

/** Seconds; both ends are grid times without data. */
export interface Gap {
  from: number;
  to: number;
}

/** What is known about the store and the program, to put a reason to a gap. Milliseconds. */
export interface History {
  oldestMs: number | null;
  startedMs: number | null;
  bootMs: number | null;
  retentionMs: number | null;
}

/** The spans of the grid in which no series has a value, longer than one missing point. */
export function findGaps(columns: (number | null)[][], window: Window): Gap[] {
  const length = Math.round((window.end - window.start) / window.step) + 1;
  const gaps: Gap[] = [];
  let open = -1;
  for (let i = 0; i <= length; i++) {
    const empty = i < length && columns.every((column) => column[i] === null || column[i] === undefined);
    if (empty && open === -1) open = i;
    if (!empty && open !== -1) {
      // The newest point may simply not be collected yet, and a single hole is drawn as a break in the line.
      const atEnd = i === length;
      if (i - open > (atEnd ? 3 : 1) || (open === 0 && i > 1)) {
        gaps.push({ from: window.start + open * window.step, to: window.start + (i - 1) * window.step });
      }
      open = -1;
    }
  }
  return gaps;
}

/** The reason for a gap, in a few words. */
export function reasonOf(gap: Gap, history: History, nowMs: number): string {
  const from = gap.from * 1000;
  const to = gap.to * 1000;
  if (from > nowMs) return 'in the future';
  if (history.oldestMs !== null && to <= history.oldestMs + 60_000) {
    if (history.bootMs !== null && to <= history.bootMs) return 'before this machine was started';
    if (history.retentionMs !== null && to < nowMs - history.retentionMs) return 'older than what is kept';
    return 'before collection began';
  }
  if (history.startedMs !== null && from <= history.startedMs && to <= history.startedMs + 60_000) {
    if (history.bootMs !== null && from <= history.bootMs && history.bootMs <= to + 60_000) {
      return 'the machine was off or Kubevigil was not running';
    }
    return 'Kubevigil was not running';
  }
  return 'not collected';
}
