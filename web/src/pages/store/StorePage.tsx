/** What the store is filled with and who asks it: rankings of series, and the queries that run. */

import { Button, SegmentedControl } from '@mantine/core';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { asApiError } from '../../api/error';
import { type Counted, cancelQuery, getCardinality, getQueries, type RunningQuery } from '../../api/store';
import { Panel } from '../../chart/Panel';
import { bytes, count, duration, percent } from '../../format/units';
import { useConnection } from '../../shell/connection';
import { PageHead } from '../../shell/Layout';
import { shared } from '../../shell/search';
import { Word } from '../../shell/Word';
import { formatDuration } from '../../time/range';
import { ofMetric, ofPair, ofTarget } from './matchers';
import classes from './Store.module.css';

const LIMITS = ['10', '50', '200'];

export function StorePage() {
  const { connection } = useConnection();
  const ready = connection.state === 'ready';
  const [limit, setLimit] = useState('10');
  const { data, error } = useQuery({
    queryKey: ['cardinality', limit],
    queryFn: ({ signal }) => getCardinality(Number(limit), signal),
    enabled: ready,
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
    retry: false,
  });
  if (!data && error)
    return <Word title="The store tells nothing of itself">{asApiError(error).message}</Word>;
  if (!data) return <Word title="Counting series" />;
  const series = data.series ?? 0;
  return (
    <>
      <PageHead title="Store" time={false}>
        <span className={classes.lead}>
          {count(data.series)} series in memory, {count(data.labelPairs)} pairs of label and value
        </span>
        <SegmentedControl
          size="xs"
          aria-label="Places of each ranking"
          value={limit}
          onChange={setLimit}
          data={LIMITS}
        />
      </PageHead>
      <div className={classes.grid}>
        <Running ready={ready} />
        <div className={classes.columns}>
          <Ranking title="Series by metric" rows={data.byMetric} whole={series} expr={ofMetric} />
          <Ranking title="Series by target" rows={data.byTarget} whole={series} expr={ofTarget} />
          <Ranking title="Series by label" rows={data.byLabelPair} whole={series} expr={ofPair} />
          <Ranking
            title="Series begun"
            note="since the newest block, by metric"
            rows={data.created}
            expr={ofMetric}
          />
          <Ranking title="Values by label" rows={data.valuesByLabel} />
          <Ranking title="Bytes by label" note="of names and values" rows={data.bytesByLabel} show={bytes} />
        </div>
      </div>
    </>
  );
}

/** The largest first; each leads to its series in Explore where an expression finds them. */
function Ranking(props: {
  title: string;
  note?: string;
  rows: Counted[] | null;
  /** What all are together, for shares; else the largest is the measure. */
  whole?: number;
  expr?: (name: string) => string;
  show?: (value: number) => string;
}) {
  const { rows, whole, expr, show = count } = props;
  if (rows === null) return null;
  const largest = Math.max(...rows.map((row) => row.value), 1);
  return (
    <Panel title={props.title} note={props.note}>
      {rows.length === 0 ? (
        <p className={classes.quiet}>None yet.</p>
      ) : (
        <table className={classes.ranking}>
          <tbody>
            {rows.map((row) => (
              <tr key={row.name}>
                <th scope="row">
                  {expr ? <ExploreLink name={row.name} expr={expr(row.name)} /> : <code>{row.name}</code>}
                </th>
                <td className={classes.bar}>
                  <span aria-hidden="true" className={classes.share}>
                    <i style={{ width: `${(row.value / largest) * 100}%` }} />
                  </span>
                </td>
                <td data-numeric>{show(row.value)}</td>
                {whole !== undefined && (
                  <td data-numeric className={classes.dim}>
                    {percent(whole > 0 ? row.value / whole : null)}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function ExploreLink({ name, expr }: { name: string; expr: string }) {
  return (
    <Link
      to="/explore"
      search={
        ((old: Record<string, unknown>) => ({
          ...shared(old),
          'g0.expr': expr,
          'g0.tab': 'table',
        })) as never
      }
      preload={false}
    >
      <code>{name}</code>
    </Link>
  );
}

function Running({ ready }: { ready: boolean }) {
  const { data, error } = useQuery({
    queryKey: ['queries'],
    queryFn: ({ signal }) => getQueries(signal),
    enabled: ready,
    refetchInterval: 1000,
    retry: false,
  });
  const queries = data ?? [];
  return (
    <Panel title="Queries that run" note={queries.length === 0 ? undefined : String(queries.length)}>
      {error && !data ? (
        <p className={classes.quiet}>{asApiError(error).message}</p>
      ) : queries.length === 0 ? (
        <p className={classes.quiet}>None at the moment.</p>
      ) : (
        <div className={classes.scroll} role="region" aria-label="Queries that run" tabIndex={0}>
          <table className={classes.queries}>
            <thead>
              <tr>
                <th scope="col">Query</th>
                <th scope="col">Range</th>
                <th scope="col">From</th>
                <th scope="col" data-numeric>
                  For
                </th>
                <th scope="col">
                  <span className="visually-hidden">end it</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {queries.map((query) => (
                <Query key={query.id} query={query} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function Query({ query }: { query: RunningQuery }) {
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => cancelQuery(query.id),
    onSettled: () => client.invalidateQueries({ queryKey: ['queries'] }),
  });
  const range = (query.end_ms - query.start_ms) / 1000;
  const who = [query.user, query.client].filter((one) => one !== '').join(' at ');
  return (
    <tr>
      <th scope="row">
        <code>{query.query}</code>
        {cancel.error && <p className={classes.error}>{asApiError(cancel.error).message}</p>}
      </th>
      <td>
        {query.step_ms === 0
          ? 'instant'
          : `${formatDuration(range)} by ${formatDuration(query.step_ms / 1000)}`}
      </td>
      <td className={classes.dim}>{who}</td>
      <td data-numeric>{duration(query.seconds)}</td>
      <td>
        <Button
          size="compact-xs"
          variant="light"
          color="red"
          loading={cancel.isPending}
          onClick={() => cancel.mutate()}
        >
          End
        </Button>
      </td>
    </tr>
  );
}
