/** An instant query's answer, row by row. */

import { Button } from '@mantine/core';
import { useMemo, useState } from 'react';
import { type HistogramValue, type InstantAnswer, type InstantRow, seriesName } from '../../api/prometheus';
import { plain } from '../../format/units';
import { useZone } from '../../shell/settings';
import { moment } from '../../time/text';
import classes from './Explore.module.css';
import { SeriesLabel } from './Graph';

const SHOWN = 500;
const NO_LABELS = new Map<string, string>();

export function AnswerTable({ answer, waiting }: { answer: InstantAnswer | null; waiting: boolean }) {
  const zone = useZone();
  const [sort, setSort] = useState<'none' | 'down' | 'up'>('none');
  const [all, setAll] = useState(false);
  const rows = useMemo(() => sorted(answer?.rows ?? [], sort), [answer, sort]);
  if (!answer)
    return <div className={classes.blank}>{waiting ? <span role="status">asking…</span> : null}</div>;
  if (rows.length === 0) {
    return <p className={classes.nothing}>The query has no answer at the end of this range.</p>;
  }
  const shown = all ? rows : rows.slice(0, SHOWN);
  const time = rows[0]?.time ?? 0;
  return (
    <div className={classes.answer}>
      <p className={classes.common}>
        {answer.type} at {moment(time * 1000, zone)}
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">{answer.type === 'vector' || answer.type === 'matrix' ? 'Series' : 'Result'}</th>
            <th
              scope="col"
              aria-sort={sort === 'none' ? undefined : sort === 'down' ? 'descending' : 'ascending'}
            >
              <button type="button" onClick={() => setSort(sort === 'down' ? 'up' : 'down')}>
                Value{sort === 'down' ? ' ↓' : sort === 'up' ? ' ↑' : ''}
              </button>
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={seriesName(row.labels)}>
              <td>
                <SeriesLabel labels={row.labels} without={NO_LABELS} />
              </td>
              <td title={row.value ?? undefined}>
                <Value row={row} text={answer.type === 'string'} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown.length && (
        <p className={classes.cap}>
          {SHOWN} of {rows.length.toLocaleString('en-US')} rows.{' '}
          <Button size="compact-xs" variant="light" onClick={() => setAll(true)}>
            Show all
          </Button>
        </p>
      )}
    </div>
  );
}

function sorted(rows: InstantRow[], sort: 'none' | 'down' | 'up'): InstantRow[] {
  if (sort === 'none') return rows;
  const value = (row: InstantRow) => Number(row.value ?? row.histogram?.count ?? Number.NaN);
  const sign = sort === 'down' ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return sign * (x - y);
  });
}

function Value({ row, text }: { row: InstantRow; text: boolean }) {
  if (row.histogram) return <Histogram value={row.histogram} />;
  if (row.points) {
    return (
      <details>
        <summary>{row.points.length} samples</summary>
        <pre>{row.points.map(([time, value]) => `${value} @${time}`).join('\n')}</pre>
      </details>
    );
  }
  if (text) return <>{row.value}</>;
  return <>{row.value === null ? '' : plain(Number(row.value))}</>;
}

function Histogram({ value }: { value: HistogramValue }) {
  return (
    <details>
      <summary>
        {plain(Number(value.count))} observations, sum {plain(Number(value.sum))}
      </summary>
      <table>
        <tbody>
          {(value.buckets ?? []).map(([rule, from, to, n]) => (
            <tr key={`${from} ${to}`}>
              <td>
                {rule === 0 || rule === 2 ? '(' : '['}
                {from}, {to}
                {rule === 0 || rule === 3 ? ']' : ')'}
              </td>
              <td>{n}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
