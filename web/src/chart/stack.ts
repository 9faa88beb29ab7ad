/** Columns of a stacked chart: each the sum of itself and all below it. Pure. */

export type Column = (number | null)[];

/**
 * Cumulated columns, the first at the bottom. A point at which no column has a value stays a gap;
 * where only some have one, the others add nothing.
 */
export function stack(columns: Column[]): Column[] {
  const length = columns[0]?.length ?? 0;
  const present = new Array<boolean>(length).fill(false);
  for (const column of columns) {
    for (let i = 0; i < length; i++) if (column[i] !== null && column[i] !== undefined) present[i] = true;
  }
  const sum = new Array<number>(length).fill(0);
  return columns.map((column) => {
    const out: Column = new Array(length).fill(null);
    for (let i = 0; i < length; i++) {
      if (!present[i]) continue;
      sum[i] = (sum[i] ?? 0) + (column[i] ?? 0);
      out[i] = sum[i] ?? null;
    }
    return out;
  });
}

/** Index, minimum, maximum, mean and last value of a column, nulls left out; null when it is empty. */
export function summary(column: Column): { min: number; max: number; mean: number; last: number } | null {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let n = 0;
  let last = 0;
  for (const value of column) {
    if (value === null || value === undefined) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    n += 1;
    last = value;
  }
  return n === 0 ? null : { min, max, mean: sum / n, last };
}

/** The newest value among the last `within` points. */
export function lastValue(column: Column, within = column.length): number | null {
  for (let i = column.length - 1; i >= Math.max(0, column.length - within); i--) {
    const value = column[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** Indices of points with a gap on both sides, which a line alone would not show. */
export function lonely(column: Column): number[] {
  const out: number[] = [];
  for (let i = 0; i < column.length; i++) {
    if (column[i] == null) continue;
    if (column[i - 1] == null && column[i + 1] == null) out.push(i);
  }
  return out;
}
