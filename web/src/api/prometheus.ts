/**
 * The Prometheus HTTP API, as far as the pages ask it: instant and range queries. Answers become
 * frames: one column of values for each series over one grid of times, with null where nothing is.
 */

import type { Window } from '../time/range';
import { ask } from './http';

export type Labels = Record<string, string>;

export interface Series {
  labels: Labels;
  /** One value for each step of the window; null is a gap. */
  values: (number | null)[];
}

export interface QueryStats {
  seconds: number | null;
  samples: number | null;
  peakSamples: number | null;
}

/** What an expression of a query did, or the store for it; times and samples with those of the children. */
export interface Explained {
  expr: string;
  seconds: number;
  series: number;
  samples: number;
  children: Explained[];
}

export interface Frame {
  window: Window;
  series: Series[];
  /** Series of native histograms, which a graph cannot show. */
  histograms: number;
  warnings: string[];
  infos: string[];
  stats: QueryStats;
  /** Where the time went, where that was asked for. */
  explain: Explained | null;
}

type Point = [number, string];

interface Answer<R> {
  status: string;
  data: { resultType: string; result: R; stats?: Stats; explain?: Explained };
  warnings?: string[];
  infos?: string[];
}

interface Stats {
  timings?: { evalTotalTime?: number; execTotalTime?: number; execQueueTime?: number };
  samples?: { totalQueryableSamples?: number; peakSamples?: number };
}

export interface HistogramValue {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][];
}

export interface InstantRow {
  labels: Labels;
  time: number;
  value: string | null;
  histogram: HistogramValue | null;
  /** All samples where the query gives a range vector. */
  points: Point[] | null;
}

export interface InstantAnswer {
  type: string;
  rows: InstantRow[];
  warnings: string[];
  infos: string[];
  stats: QueryStats;
}

function statsOf(stats: Stats | undefined): QueryStats {
  return {
    seconds: stats?.timings?.execTotalTime ?? stats?.timings?.evalTotalTime ?? null,
    samples: stats?.samples?.totalQueryableSamples ?? null,
    peakSamples: stats?.samples?.peakSamples ?? null,
  };
}

/** A sample's text as a number that can be drawn; NaN and infinities are gaps. */
function drawable(text: string): number | null {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** Puts points on the grid of a window: the index is the nearest step. */
export function onGrid(points: Point[], window: Window): (number | null)[] {
  const length = Math.round((window.end - window.start) / window.step) + 1;
  const values: (number | null)[] = new Array(length).fill(null);
  for (const [time, text] of points) {
    const index = Math.round((time - window.start) / window.step);
    if (index >= 0 && index < length) values[index] = drawable(text);
  }
  return values;
}

/** The times of a window's grid, in seconds. */
export function gridTimes(window: Window): number[] {
  const length = Math.round((window.end - window.start) / window.step) + 1;
  return Array.from({ length }, (_, i) => window.start + i * window.step);
}

export async function queryRange(
  query: string,
  window: Window,
  options: { signal?: AbortSignal; stats?: boolean; explain?: boolean } = {},
): Promise<Frame> {
  const parameters: Record<string, string> = {
    query,
    start: String(window.start),
    end: String(window.end),
    step: String(window.step),
  };
  if (options.stats) parameters.stats = 'all';
  if (options.explain) parameters.explain = 'true';
  const answer = await ask<Answer<{ metric: Labels; values?: Point[]; histograms?: unknown[] }[]>>(
    '/api/v1/query_range',
    parameters,
    { signal: options.signal, post: true },
  );
  const rows = answer.data.result ?? [];
  return {
    window,
    series: rows
      .filter((row) => row.values !== undefined && row.values.length > 0)
      .map((row) => ({ labels: row.metric, values: onGrid(row.values ?? [], window) })),
    histograms: rows.filter((row) => (row.histograms?.length ?? 0) > 0).length,
    warnings: answer.warnings ?? [],
    infos: answer.infos ?? [],
    stats: statsOf(answer.data.stats),
    explain: answer.data.explain ?? null,
  };
}

type VectorRow = { metric: Labels; value?: Point; histogram?: [number, HistogramValue]; values?: Point[] };

export async function queryInstant(
  query: string,
  time: number | null,
  options: { signal?: AbortSignal; stats?: boolean } = {},
): Promise<InstantAnswer> {
  const parameters: Record<string, string> = { query };
  if (time !== null) parameters.time = String(time);
  if (options.stats) parameters.stats = 'all';
  const answer = await ask<Answer<VectorRow[] | Point>>('/api/v1/query', parameters, {
    signal: options.signal,
    post: true,
  });
  const { resultType, result } = answer.data;
  return {
    type: resultType,
    rows: rowsOf(resultType, result),
    warnings: answer.warnings ?? [],
    infos: answer.infos ?? [],
    stats: statsOf(answer.data.stats),
  };
}

function rowsOf(type: string, result: VectorRow[] | Point): InstantRow[] {
  if (type === 'scalar' || type === 'string') {
    const [time, value] = result as Point;
    return [{ labels: {}, time, value, histogram: null, points: null }];
  }
  return (result as VectorRow[]).map((row) => ({
    labels: row.metric,
    time: row.value?.[0] ?? row.histogram?.[0] ?? row.values?.at(-1)?.[0] ?? 0,
    value: row.value?.[1] ?? null,
    histogram: row.histogram?.[1] ?? null,
    points: row.values ?? null,
  }));
}

/** `name{a="b"}`, labels sorted, as the Prometheus text format writes a series. */
export function seriesName(labels: Labels): string {
  const name = labels.__name__ ?? '';
  const rest = Object.keys(labels)
    .filter((key) => key !== '__name__')
    .sort()
    .map((key) => `${key}=${JSON.stringify(labels[key])}`);
  return rest.length === 0 ? name || '{}' : `${name}{${rest.join(', ')}}`;
}

/**
 * Puts the newest part of a range behind what is already there: `tail` covers the end of `next`,
 * `old` the time before. Both are on the same grid. A series absent from the tail has a gap there.
 */
export function appendFrame(old: Frame, tail: Frame, next: Window): Frame {
  const length = Math.round((next.end - next.start) / next.step) + 1;
  const tailAt = Math.round((tail.window.start - next.start) / next.step);
  const oldAt = Math.round((old.window.start - next.start) / next.step);
  const byName = new Map<string, Series>();
  const place = (series: Series, at: number, from: number, until: number) => {
    const key = seriesName(series.labels);
    let target = byName.get(key);
    if (!target) {
      target = { labels: series.labels, values: new Array(length).fill(null) };
      byName.set(key, target);
    }
    for (let i = Math.max(from, at); i < Math.min(until, at + series.values.length); i++) {
      target.values[i] = series.values[i - at] ?? null;
    }
  };
  for (const series of old.series) place(series, oldAt, 0, tailAt);
  for (const series of tail.series) place(series, tailAt, tailAt, length);
  const series = [...byName.values()].filter((one) => one.values.some((value) => value !== null));
  return { ...tail, window: next, series };
}

export interface Metric {
  name: string;
  type: string;
  help: string;
}

/** Every metric name that is stored, with type and meaning where they are known. */
export async function getMetrics(signal?: AbortSignal): Promise<Metric[]> {
  const [names, metadata] = await Promise.all([
    ask<{ data: string[] }>('/api/v1/label/__name__/values', {}, { signal }),
    ask<{ data: Record<string, { type: string; help: string }[]> }>('/api/v1/metadata', {}, { signal }),
  ]);
  const known = metadata.data ?? {};
  return (names.data ?? []).map((name) => {
    const about = (known[name] ?? known[name.replace(/_(total|bucket|sum|count)$/, '')])?.[0];
    return { name, type: about?.type ?? 'unknown', help: about?.help ?? '' };
  });
}
