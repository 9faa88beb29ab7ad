/** PromQL over everything that is stored: panels of a query each, as graph or as table. */

import { Button, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Plus } from '../../shell/icons';
import { PageHead } from '../../shell/Layout';
import { useTime } from '../../shell/time';
import { formatDuration, parseDuration, rangeSeconds } from '../../time/range';
import classes from './Explore.module.css';
import { addToHistory } from './history';
import { type PanelState, panelsFromSearch, panelsToSearch, rangeOfPrometheusLink } from './panels';
import { QueryPanel } from './QueryPanel';

/** A server refuses more points than this for a series. */
const MOST_POINTS = 11_000;

export function ExplorePage() {
  const search = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const time = useTime();
  const panels = useMemo(() => panelsFromSearch(search), [search]);
  const ids = usePanelIds(panels.length);
  const setPanels = useCallback(
    (next: PanelState[], replace = false) => {
      void navigate({
        to: '.',
        replace,
        search: (old: Record<string, unknown>) => panelsToSearch(next, old),
      } as never);
    },
    [navigate],
  );

  // A link from Prometheus names its range in its own words: say it in ours.
  const foreign = rangeOfPrometheusLink(search).range;
  useEffect(() => {
    if (foreign === undefined) return;
    void navigate({
      to: '.',
      replace: true,
      search: (old: Record<string, unknown>) => ({
        ...panelsToSearch(panelsFromSearch(old), old),
        range: old.range ?? foreign,
      }),
    } as never);
  }, [foreign, navigate]);

  const wanted = typeof search.step === 'string' ? parseDuration(search.step) : null;
  const least = rangeSeconds(time.range) / MOST_POINTS;
  const step = wanted === null ? time.window.step : Math.max(wanted, least);

  return (
    <>
      <PageHead title="Explore" step={false}>
        <StepField
          text={typeof search.step === 'string' ? search.step : ''}
          used={step}
          raised={wanted !== null && wanted < least}
          onChange={(next) =>
            void navigate({
              to: '.',
              search: (old: Record<string, unknown>) => ({ ...old, step: next || undefined }),
            } as never)
          }
        />
      </PageHead>
      <div className={classes.panels}>
        {panels.map((panel, i) => (
          <QueryPanel
            key={ids.list[i]}
            index={i}
            state={panel}
            step={step}
            only={panels.length === 1}
            onChange={(next) => {
              if (next.expr !== panel.expr) addToHistory(next.expr);
              setPanels(panels.map((one, k) => (k === i ? next : one)));
            }}
            onRemove={() => {
              ids.remove(i);
              setPanels(
                panels.length === 1
                  ? [{ expr: '', tab: 'graph', mode: 'lines' }]
                  : panels.filter((_, k) => k !== i),
              );
            }}
            onDuplicate={() => {
              ids.insert(i + 1);
              setPanels([...panels.slice(0, i + 1), { ...panel }, ...panels.slice(i + 1)]);
            }}
          />
        ))}
      </div>
      <Button
        variant="default"
        size="xs"
        leftSection={<Plus size={13} />}
        onClick={() => setPanels([...panels, { expr: '', tab: 'graph', mode: 'lines' }])}
      >
        Add a panel
      </Button>
    </>
  );
}

/** Names for the panels that stay when one before them is removed, so that no editor gets another's text. */
function usePanelIds(count: number): {
  list: number[];
  remove: (at: number) => void;
  insert: (at: number) => void;
} {
  const ids = useRef<number[]>([]);
  const next = useRef(0);
  while (ids.current.length < count) ids.current.push(next.current++);
  ids.current.length = count;
  const list = [...ids.current];
  return {
    list,
    remove: (at) => {
      ids.current.splice(at, 1);
    },
    insert: (at) => {
      ids.current.splice(at, 0, next.current++);
    },
  };
}

function StepField(props: { text: string; used: number; raised: boolean; onChange: (text: string) => void }) {
  const [value, setValue] = useState(props.text);
  useEffect(() => setValue(props.text), [props.text]);
  const bad = value !== '' && parseDuration(value) === null;
  const apply = () => {
    if (!bad && value !== props.text) props.onChange(value);
  };
  return (
    <form
      className={classes.step}
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <TextInput
        size="xs"
        aria-label="Step"
        placeholder={`step: auto (${formatDuration(props.used)})`}
        value={value}
        error={bad}
        onChange={(event) => setValue(event.currentTarget.value)}
        onBlur={apply}
      />
      {bad && <span role="alert">a duration such as 15s or 5m</span>}
      {props.raised && (
        <span role="status">raised to {formatDuration(props.used)}: at most 11,000 points</span>
      )}
    </form>
  );
}
