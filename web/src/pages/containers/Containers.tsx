/** Every container and system service: as the tree of control groups, or as a flat list to sort. */

import { Button, CloseButton, SegmentedControl, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useEffect, useMemo, useState } from 'react';
import type { Container, Kind } from '../../api/vigil';
import { hue } from '../../chart/palette';
import * as query from '../../query/container';
import { useStatus } from '../../shell/connection';
import { useContainers, useRange } from '../../shell/data';
import { useKeys } from '../../shell/keys';
import { PageHead } from '../../shell/Layout';
import { useScheme } from '../../shell/settings';
import { useTime } from '../../shell/time';
import { Word } from '../../shell/Word';
import classes from './Containers.module.css';
import { COLUMNS, type RowContext } from './columns';
import { GroupTable } from './GroupTable';
import { byNumber, type Choice, rowsOf } from './tree';

const KINDS: { word: string; kinds: Kind[] }[] = [
  { word: 'containers', kinds: ['container', 'sandbox'] },
  { word: 'pods', kinds: ['pod'] },
  { word: 'services', kinds: ['service'] },
  { word: 'scopes', kinds: ['scope'] },
  { word: 'slices', kinds: ['slice', 'machine'] },
  { word: 'others', kinds: ['group'] },
];

interface ListSearch {
  view?: string;
  sort?: string;
  filter?: string;
  kind?: string;
  ended?: string;
}

export function ContainersPage() {
  const search = useSearch({ strict: false }) as ListSearch;
  const navigate = useNavigate();
  const time = useTime();
  const scheme = useScheme();
  const status = useStatus();
  const { data, error } = useContainers();
  const cpu = useRange((w) => query.all('cpu', w), { points: 60 });
  const memory = useRange((w) => query.all('memory', w), { points: 60 });
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());

  const set = useCallback(
    (change: ListSearch) =>
      void navigate({
        to: '.',
        replace: true,
        search: (old: Record<string, unknown>) => ({ ...old, ...change }),
      } as never),
    [navigate],
  );
  const view = search.view === 'flat' ? 'flat' : 'tree';
  const sort = search.sort ?? (view === 'flat' ? '-cpu' : 'name');
  const chosen = useMemo(() => (search.kind ? search.kind.split(',') : []), [search.kind]);
  const choice = useMemo<Choice>(
    () => ({
      view,
      text: search.filter ?? '',
      kinds:
        chosen.length === 0
          ? null
          : new Set(KINDS.filter((one) => chosen.includes(one.word)).flatMap((one) => one.kinds)),
      ended: search.ended !== 'no',
      compare: comparison(sort),
      closed,
    }),
    [view, search.filter, chosen, search.ended, sort, closed],
  );
  const rows = useMemo(() => rowsOf(data?.containers ?? [], choice), [data, choice]);
  const context: RowContext = {
    nowMs: data?.time_ms ?? time.now(),
    cpu: useMemo(() => columnsById(cpu.frame), [cpu.frame]),
    memory: useMemo(() => columnsById(memory.frame), [memory.frame]),
    colors: { cpu: hue('blue', scheme), memory: hue('green', scheme) },
  };
  useKeys(
    useMemo(
      () => ({
        t: () => set({ view: view === 'flat' ? undefined : 'flat', sort: undefined }),
        e: () => set({ ended: search.ended === 'no' ? undefined : 'no' }),
      }),
      [set, view, search.ended],
    ),
  );
  const counts = useMemo(() => countKinds(data?.containers ?? []), [data]);
  const ended = data?.containers.filter((one) => one.ended_ms !== null).length ?? 0;

  return (
    <>
      <PageHead title="Containers and services">
        <span className={classes.count} role="status">
          {data && `${rows.length} of ${data.containers.length} groups`}
        </span>
      </PageHead>
      <div className={classes.bar}>
        <Filter text={search.filter ?? ''} onChange={(filter) => set({ filter: filter || undefined })} />
        <SegmentedControl
          size="xs"
          aria-label="View"
          value={view}
          onChange={(next) => set({ view: next === 'flat' ? 'flat' : undefined, sort: undefined })}
          data={[
            { value: 'tree', label: 'Tree' },
            { value: 'flat', label: 'Flat' },
          ]}
        />
        <div className={classes.kinds} role="group" aria-label="Kinds shown">
          {KINDS.filter((one) => (counts.get(one.word) ?? 0) > 0 || chosen.includes(one.word)).map(
            ({ word }) => (
              <Button
                key={word}
                size="compact-xs"
                variant={chosen.includes(word) ? 'filled' : 'default'}
                aria-pressed={chosen.includes(word)}
                onClick={() => {
                  const next = chosen.includes(word)
                    ? chosen.filter((one) => one !== word)
                    : [...chosen, word];
                  set({ kind: next.join(',') || undefined });
                }}
              >
                {word} {counts.get(word) ?? 0}
              </Button>
            ),
          )}
          {ended > 0 && (
            <Button
              size="compact-xs"
              variant={search.ended === 'no' ? 'default' : 'light'}
              aria-pressed={search.ended !== 'no'}
              onClick={() => set({ ended: search.ended === 'no' ? undefined : 'no' })}
            >
              ended {ended}
            </Button>
          )}
        </div>
      </div>
      {rows.length > 0 ? (
        <GroupTable
          rows={rows}
          columns={COLUMNS}
          context={context}
          tree={view === 'tree'}
          sort={sort}
          onSort={(next) => set({ sort: next })}
          onToggle={(id) =>
            setClosed((old) => {
              const next = new Set(old);
              if (!next.delete(id)) next.add(id);
              return next;
            })
          }
        />
      ) : (
        <Nothing
          error={error?.message ?? null}
          all={data?.containers.length ?? null}
          why={status?.collectors.find((one) => one.job === 'cadvisor' && one.error)?.error ?? null}
          onClear={() => set({ filter: undefined, kind: undefined, ended: undefined })}
        />
      )}
    </>
  );
}

function Nothing(props: {
  error: string | null;
  all: number | null;
  why: string | null;
  onClear: () => void;
}) {
  if (props.error)
    return (
      <Word title="The list could not be read" tone="bad">
        {props.error}
      </Word>
    );
  if (props.all === null) return <Word title="Waiting for the first answer" />;
  if (props.all === 0) {
    return (
      <Word title="No control group is measured here" tone="warn">
        {props.why ??
          'The kernel shows no control groups to this process, or the first round is not over yet. The page Status says what is collected.'}
      </Word>
    );
  }
  return (
    <Word title="Nothing matches">
      There are {props.all} groups in all.{' '}
      <Button size="compact-sm" variant="light" onClick={props.onClear}>
        Show all
      </Button>
    </Word>
  );
}

/** The text field keeps its own text while someone types; the address follows after a moment. */
function Filter({ text, onChange }: { text: string; onChange: (text: string) => void }) {
  const [value, setValue] = useState(text);
  useEffect(() => setValue(text), [text]);
  useEffect(() => {
    if (value === text) return;
    const timer = setTimeout(() => onChange(value), 150);
    return () => clearTimeout(timer);
  }, [value, text, onChange]);
  return (
    <TextInput
      size="xs"
      className={classes.filter}
      data-find
      aria-label="Filter"
      placeholder="Filter by name, image, label, path  ( / )"
      value={value}
      onChange={(event) => setValue(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === 'Escape') {
          setValue('');
          event.currentTarget.blur();
        } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
          event.preventDefault();
          document.querySelector<HTMLElement>('[data-row]')?.focus();
        }
      }}
      rightSection={
        value !== '' ? (
          <CloseButton size="xs" aria-label="Clear the filter" onClick={() => setValue('')} />
        ) : undefined
      }
    />
  );
}

function comparison(sort: string): (a: Container, b: Container) => number {
  const descending = sort.startsWith('-');
  const key = descending ? sort.slice(1) : sort;
  const column = COLUMNS.find((one) => one.key === key);
  const byTitle = (a: Container, b: Container) =>
    a.title.localeCompare(b.title, 'en', { numeric: true }) || (a.id < b.id ? -1 : 1);
  // Those that are there come before those that are gone: on a busy machine most are.
  const byEnd = (a: Container, b: Container) => Number(a.ended_ms !== null) - Number(b.ended_ms !== null);
  if (!column) return (a, b) => byEnd(a, b) || (descending ? byTitle(b, a) : byTitle(a, b));
  return (a, b) =>
    byNumber(column.sort(a) as number | null, column.sort(b) as number | null, descending) ||
    byEnd(a, b) ||
    byTitle(a, b);
}

function columnsById(
  frame: { series: { labels: Record<string, string>; values: (number | null)[] }[] } | null,
) {
  return new Map((frame?.series ?? []).map((one) => [one.labels.id ?? '', one.values]));
}

function countKinds(containers: Container[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { word, kinds } of KINDS) {
    counts.set(word, containers.filter((one) => kinds.includes(one.kind)).length);
  }
  return counts;
}
