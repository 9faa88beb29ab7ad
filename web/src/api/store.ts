/** What the store holds by name, label and target, and the queries that run, as docs/api.md gives them. */

import { ask, remove } from './http';

/** One place of a ranking. */
export interface Counted {
  name: string;
  value: number;
}

export interface Cardinality {
  series: number | null;
  labelPairs: number | null;
  byMetric: Counted[];
  byLabelPair: Counted[];
  /** Null where the server does not tell. */
  byTarget: Counted[] | null;
  created: Counted[] | null;
  valuesByLabel: Counted[];
  bytesByLabel: Counted[];
}

interface Answer {
  data: {
    headStats: { numSeries: number; numLabelPairs: number };
    seriesCountByMetricName: Counted[];
    seriesCountByLabelValuePair: Counted[];
    seriesCountByTarget?: Counted[];
    seriesCreatedByMetricName?: Counted[];
    labelValueCountByLabelName: Counted[];
    memoryInBytesByLabelName: Counted[];
  };
}

/** The largest `limit` of each ranking, over the series in memory. */
export async function getCardinality(limit: number, signal?: AbortSignal): Promise<Cardinality> {
  const { data } = await ask<Answer>('/api/v1/status/tsdb', { limit: String(limit) }, { signal });
  return {
    series: data.headStats.numSeries,
    labelPairs: data.headStats.numLabelPairs,
    byMetric: data.seriesCountByMetricName,
    // Names of metrics have a ranking of their own.
    byLabelPair: data.seriesCountByLabelValuePair.filter((pair) => !pair.name.startsWith('__name__=')),
    byTarget: data.seriesCountByTarget ?? null,
    created: data.seriesCreatedByMetricName ?? null,
    valuesByLabel: data.labelValueCountByLabelName,
    bytesByLabel: data.memoryInBytesByLabelName,
  };
}

export interface RunningQuery {
  id: number;
  query: string;
  start_ms: number;
  end_ms: number;
  step_ms: number;
  began_ms: number;
  seconds: number;
  client: string;
  user: string;
  path: string;
}

export async function getQueries(signal?: AbortSignal): Promise<RunningQuery[]> {
  const { queries } = await ask<{ queries: RunningQuery[] }>('/api/vigil/v1/queries', {}, { signal });
  return queries;
}

/** Ends a query as if its client had gone away; one that is over already is no error. */
export async function cancelQuery(id: number): Promise<void> {
  await remove(`/api/vigil/v1/queries/${id}`);
}
