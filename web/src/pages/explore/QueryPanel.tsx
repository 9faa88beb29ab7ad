/** One query with its editor, and its answer as graph or table. */

import { ActionIcon, Button, Menu, SegmentedControl } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { type ApiError, asApiError } from '../../api/error';
import { type Frame, type QueryStats, queryInstant, queryRange } from '../../api/prometheus';
import { count, duration } from '../../format/units';
import { useConnection } from '../../shell/connection';
import { Clock, Copy, Cross } from '../../shell/icons';
import { useTime } from '../../shell/time';
import { windowOf } from '../../time/range';
import { AnswerTable } from './AnswerTable';
import { ExplainTree } from './ExplainTree';
import classes from './Explore.module.css';
import { Graph } from './Graph';
import { queryHistory } from './history';
import { type PanelState, pointAt } from './panels';

const Editor = lazy(() => import('./Editor'));
const Start = lazy(() => import('./Start'));

/** Heavy queries are not asked again and again: between two there are at least this many times the seconds one took. */
const REST = 8;

export function QueryPanel(props: {
  index: number;
  state: PanelState;
  step: number;
  only: boolean;
  onChange: (next: PanelState) => void;
  onRemove: () => void;
  onDuplicate: () => void;
}) {
  const { state, step, onChange, index } = props;
  const [draft, setDraft] = useState(state.expr);
  useEffect(() => setDraft(state.expr), [state.expr]);
  const answer = useAnswer(state, step);
  const run = () => {
    if (draft !== state.expr) onChange({ ...state, expr: draft });
    else answer.again();
  };
  const label = `Query ${index + 1}`;
  return (
    <section className={classes.panel} aria-label={label}>
      <div className={classes.query}>
        <div className={classes.editor} data-error={answer.error?.kind === 'query' || undefined}>
          <Suspense fallback={<pre className={classes.fallback}>{draft || ' '}</pre>}>
            <Editor
              value={draft}
              label={label}
              autoFocus={props.only && state.expr === ''}
              onChange={setDraft}
              onRun={run}
            />
          </Suspense>
        </div>
        <Button size="sm" onClick={run} loading={answer.fetching && answer.slow}>
          Run
        </Button>
      </div>
      <div className={classes.tools}>
        <SegmentedControl
          size="xs"
          aria-label="Show as"
          value={state.tab}
          onChange={(tab) => onChange({ ...state, tab: tab as PanelState['tab'] })}
          data={[
            { value: 'graph', label: 'Graph' },
            { value: 'table', label: 'Table' },
            { value: 'explain', label: 'Explain' },
          ]}
        />
        {state.tab === 'graph' && (
          <SegmentedControl
            size="xs"
            aria-label="Draw as"
            value={state.mode}
            onChange={(mode) => onChange({ ...state, mode: mode === 'stacked' ? 'stacked' : 'lines' })}
            data={[
              { value: 'lines', label: 'Lines' },
              { value: 'stacked', label: 'Stacked' },
            ]}
          />
        )}
        <Figures
          stats={answer.stats}
          series={answer.series}
          step={state.tab === 'table' ? null : step}
          fetching={answer.fetching}
        />
        <span className={classes.actions}>
          <HistoryMenu onChoose={(expr) => onChange({ ...state, expr })} />
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="Duplicate this panel"
            title="Duplicate this panel"
            onClick={props.onDuplicate}
          >
            <Copy />
          </ActionIcon>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="Remove this panel"
            title="Remove this panel"
            onClick={props.onRemove}
          >
            <Cross />
          </ActionIcon>
        </span>
      </div>
      <Words words={answer.warnings} tone="warn" />
      <Words words={answer.infos} tone="info" />
      {answer.error ? (
        <Failure error={answer.error} expr={state.expr} />
      ) : state.expr === '' ? (
        <Suspense fallback={<div className={classes.blank} />}>
          <Start onChoose={(expr) => onChange({ ...state, expr })} />
        </Suspense>
      ) : state.tab === 'graph' ? (
        <Graph frame={answer.graph} mode={state.mode} title={state.expr} waiting={answer.fetching} />
      ) : state.tab === 'explain' ? (
        <ExplainTree root={answer.explain} waiting={answer.fetching} />
      ) : (
        <AnswerTable answer={answer.table} waiting={answer.fetching} />
      )}
    </section>
  );
}

function useAnswer(state: PanelState, step: number) {
  const time = useTime();
  const { connection, check } = useConnection();
  const window = windowOf(time.range, time.range.kind === 'last' ? time.window.end * 1000 : time.now(), step);
  const place = time.range.kind === 'between' ? `${time.range.from}-${time.range.to}` : time.range.seconds;
  const ready = connection.state === 'ready' && state.expr.trim() !== '';
  const newest = useRef(window);
  newest.current = window;
  const options = {
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 120_000,
    retry: false,
  };
  const graph = useQuery({
    queryKey: ['graph', state.expr, place, step],
    queryFn: ({ signal }) => queryRange(state.expr, newest.current, { signal, stats: true }),
    enabled: ready && state.tab === 'graph',
    ...options,
  });
  const table = useQuery({
    queryKey: ['table', state.expr, place],
    queryFn: ({ signal }) => queryInstant(state.expr, newest.current.end, { signal, stats: true }),
    enabled: ready && state.tab === 'table',
    ...options,
  });
  const explained = useQuery({
    queryKey: ['explain', state.expr, place, step],
    queryFn: ({ signal }) => queryRange(state.expr, newest.current, { signal, stats: true, explain: true }),
    enabled: ready && state.tab === 'explain',
    ...options,
  });
  const query = state.tab === 'graph' ? graph : state.tab === 'table' ? table : explained;
  const stats: QueryStats | null = query.data?.stats ?? null;

  const refetch = query.refetch;
  const last = query.dataUpdatedAt;
  const pause = Math.max(1, (stats?.seconds ?? 0) * REST) * 1000;
  const failed = query.error !== null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each beat asks once
  useEffect(() => {
    if (!time.live || !ready || failed || last === 0 || Date.now() - last < pause) return;
    void refetch({ cancelRefetch: false });
  }, [time.beat]);

  const [slow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (!query.isFetching) return;
    const timer = setTimeout(() => setSlow(true), 400);
    return () => clearTimeout(timer);
  }, [query.isFetching]);

  const error: ApiError | null = query.error && ready ? asApiError(query.error) : null;
  useEffect(() => {
    if (error?.kind === 'unreachable' || error?.kind === 'unauthorized') check();
  }, [error?.kind, check]);
  return {
    graph: graph.data ?? null,
    table: table.data ?? null,
    explain: explained.data?.explain ?? null,
    error,
    stats: ready ? stats : null,
    series: !ready
      ? null
      : state.tab === 'table'
        ? (table.data?.rows.length ?? null)
        : seriesOf(state.tab === 'graph' ? graph.data : explained.data),
    warnings: ready ? (query.data?.warnings ?? []) : [],
    infos: ready ? (query.data?.infos ?? []) : [],
    fetching: query.isFetching,
    slow,
    again: () => void refetch({ cancelRefetch: false }),
  };
}

function seriesOf(frame: Frame | undefined): number | null {
  return frame ? frame.series.length + frame.histograms : null;
}

/** What the query cost. */
function Figures(props: {
  stats: QueryStats | null;
  series: number | null;
  step: number | null;
  fetching: boolean;
}) {
  const { stats, series } = props;
  if (series === null) return <span className={classes.figures} />;
  const words = [
    `${count(series)} series`,
    stats?.seconds != null ? duration(stats.seconds) : null,
    stats?.samples != null ? `${count(stats.samples)} samples read` : null,
    stats?.peakSamples != null ? `${count(stats.peakSamples)} at once` : null,
  ].filter((one) => one !== null);
  return (
    <span className={classes.figures} role="status">
      {words.join(' · ')}
    </span>
  );
}

function HistoryMenu({ onChoose }: { onChoose: (expr: string) => void }) {
  const [list, setList] = useState<string[]>([]);
  return (
    <Menu
      position="bottom-end"
      width={520}
      onOpen={() => setList(queryHistory())}
      withinPortal={false}
      shadow="md"
    >
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label="Queries run before" title="Queries run before">
          <Clock />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown className={classes.history}>
        {list.length === 0 && <Menu.Label>No query was run in this browser yet</Menu.Label>}
        {list.map((expr) => (
          <Menu.Item key={expr} onClick={() => onChoose(expr)}>
            <code>{expr}</code>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Words({ words, tone }: { words: string[]; tone: 'warn' | 'info' }) {
  if (words.length === 0) return null;
  return (
    <ul className={classes.words} data-tone={tone}>
      {words.map((word) => (
        <li key={word}>
          <strong>{tone === 'warn' ? 'Warning' : 'Note'}</strong> {word}
        </li>
      ))}
    </ul>
  );
}

function Failure({ error, expr }: { error: ApiError; expr: string }) {
  const place = error.position ? pointAt(expr, error.position) : null;
  const head =
    error.kind === 'query'
      ? 'The query cannot be run'
      : error.kind === 'timeout'
        ? 'The query took too long'
        : error.kind === 'overload'
          ? 'The query is larger than the server allows'
          : error.kind === 'unreachable'
            ? 'The server does not answer'
            : 'The query failed';
  return (
    <div className={classes.failure} role="alert">
      <strong>{head}</strong>
      <p>{error.message}</p>
      {place && (
        <pre>
          {place.line}
          {'\n'}
          {place.caret}
        </pre>
      )}
    </div>
  );
}
