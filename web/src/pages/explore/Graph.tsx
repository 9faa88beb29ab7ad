/** A range query's answer as a chart, with a legend that names every series and switches them on and off. */

import { Button } from '@mantine/core';
import { type MouseEvent, useMemo, useState } from 'react';
import { type Frame, type Labels, seriesName } from '../../api/prometheus';
import { Chart, type Line } from '../../chart/Chart';
import { nth } from '../../chart/palette';
import { summary } from '../../chart/stack';
import { format, type Unit } from '../../format/units';
import { useHistory } from '../../shell/data';
import { useScheme } from '../../shell/settings';
import { useTime } from '../../shell/time';
import classes from './Explore.module.css';
import { guessUnit } from './unit';

/** As many lines as a person can tell apart, and a browser draws at once. */
const DRAWN = 100;
const MOST = 2000;

export function Graph(props: {
  frame: Frame | null;
  mode: 'lines' | 'stacked';
  title: string;
  waiting: boolean;
}) {
  const { frame, mode, title } = props;
  const time = useTime();
  const scheme = useScheme();
  const history = useHistory();
  const [all, setAll] = useState(false);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const total = frame?.series.length ?? 0;
  const cap = all ? MOST : DRAWN;
  const unit = useMemo(() => guessUnit(title), [title]);
  const { lines, labels } = useMemo(() => linesOf(frame, cap, scheme), [frame, cap, scheme]);

  if (!frame) {
    return <div className={classes.blank}>{props.waiting ? <span role="status">asking…</span> : null}</div>;
  }
  if (total === 0) {
    return (
      <p className={classes.nothing}>
        {frame.histograms > 0
          ? `The answer has ${frame.histograms} native histograms: the table shows them, a graph cannot.`
          : 'The query has no answer at any time of this range. The names may be wrong, or nothing was collected then.'}
      </p>
    );
  }
  return (
    <>
      <Chart
        title={title}
        lines={lines}
        window={frame.window}
        unit={unit}
        stacked={mode === 'stacked'}
        filled={total === 1}
        height={300}
        sync="page"
        legend="none"
        history={history}
        hidden={hidden}
        onZoom={time.zoom}
        onZoomOut={time.zoomOut}
      />
      {total > lines.length && (
        <p className={classes.cap} role="status">
          The {lines.length} largest of {total.toLocaleString('en-US')} series are drawn.{' '}
          <Button size="compact-xs" variant="light" onClick={() => setAll(true)}>
            Draw {total > MOST ? `${MOST.toLocaleString('en-US')}` : 'all'}
          </Button>
        </p>
      )}
      {frame.histograms > 0 && (
        <p className={classes.cap}>
          {frame.histograms} native histograms are left out: the table shows them.
        </p>
      )}
      <Legend
        lines={lines}
        labels={labels}
        unit={unit}
        hidden={hidden}
        onToggle={(key, alone) => setHidden(toggled(hidden, lines, key, alone))}
        onAll={() => setHidden(new Set())}
      />
    </>
  );
}

/** Series as lines; where there are more than are drawn, those with the largest values. */
function linesOf(
  frame: Frame | null,
  cap: number,
  scheme: 'light' | 'dark',
): { lines: Line[]; labels: Labels[] } {
  let series = frame?.series ?? [];
  if (series.length > cap) {
    const peak = new Map(
      series.map((one) => [one, Math.max(...one.values.map((value) => Math.abs(value ?? 0)))]),
    );
    series = [...series].sort((a, b) => (peak.get(b) ?? 0) - (peak.get(a) ?? 0)).slice(0, cap);
  }
  const lines = series.map((one, i) => {
    const name = seriesName(one.labels);
    return { key: name, label: name, values: one.values, ...nth(i, scheme) };
  });
  return { lines, labels: series.map((one) => one.labels) };
}

function toggled(
  hidden: ReadonlySet<string>,
  lines: Line[],
  key: string,
  alone: boolean,
): ReadonlySet<string> {
  if (alone) {
    const others = lines.filter((line) => line.key !== key).map((line) => line.key);
    const isAlone = !hidden.has(key) && others.every((other) => hidden.has(other));
    return isAlone ? new Set() : new Set(others);
  }
  const next = new Set(hidden);
  if (!next.delete(key)) next.add(key);
  return next;
}

function Legend(props: {
  lines: Line[];
  labels: Labels[];
  unit: Unit;
  hidden: ReadonlySet<string>;
  onToggle: (key: string, alone: boolean) => void;
  onAll: () => void;
}) {
  const { lines, unit, hidden } = props;
  const common = useMemo(() => sharedLabels(props.labels), [props.labels]);
  return (
    <div className={classes.legend}>
      {common.size > 0 && lines.length > 1 && (
        <p className={classes.common}>
          all:{' '}
          <code>
            {[...common].map(([key, value]) => (key === '__name__' ? value : `${key}="${value}"`)).join(' ')}
          </code>
        </p>
      )}
      <table>
        <thead>
          <tr>
            <th scope="col">
              Series{' '}
              {hidden.size > 0 && (
                <button type="button" onClick={props.onAll}>
                  show all
                </button>
              )}
            </th>
            <th scope="col">last</th>
            <th scope="col">least</th>
            <th scope="col">mean</th>
            <th scope="col">most</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line, i) => {
            const s = summary(line.values);
            const off = hidden.has(line.key);
            return (
              <tr key={line.key} data-off={off || undefined}>
                <td>
                  <button
                    type="button"
                    aria-pressed={!off}
                    title="Click: on or off. Ctrl-click: this one alone."
                    onClick={(event: MouseEvent) => props.onToggle(line.key, event.ctrlKey || event.metaKey)}
                  >
                    <i style={{ color: line.color, borderTopStyle: line.dash ? 'dashed' : 'solid' }} />
                    <SeriesLabel
                      labels={props.labels[i] ?? {}}
                      without={lines.length > 1 ? common : new Map()}
                    />
                  </button>
                </td>
                <td>{s ? format(s.last, unit) : ''}</td>
                <td>{s ? format(s.min, unit) : ''}</td>
                <td>{s ? format(s.mean, unit) : ''}</td>
                <td>{s ? format(s.max, unit) : ''}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** Labels that are the same in all series: said once above them. */
function sharedLabels(all: Labels[]): Map<string, string> {
  const first = all[0];
  if (!first) return new Map();
  return new Map(Object.entries(first).filter(([key, value]) => all.every((one) => one[key] === value)));
}

export function SeriesLabel({ labels, without }: { labels: Labels; without: ReadonlyMap<string, string> }) {
  const name = without.has('__name__') ? '' : (labels.__name__ ?? '');
  const rest = Object.keys(labels)
    .filter((key) => key !== '__name__' && !without.has(key))
    .sort();
  return (
    <code className={classes.series}>
      {name}
      {rest.length > 0 && name !== '' && '{'}
      {rest.map((key, i) => (
        <span key={key}>
          {i > 0 && ', '}
          <span className={classes.labelName}>{key}</span>="{labels[key]}"
        </span>
      ))}
      {rest.length > 0 && name !== '' && '}'}
      {rest.length === 0 && name === '' && (without.size > 0 ? 'the one series' : '{}')}
    </code>
  );
}
