/** Who uses most of a resource: containers and services with their way over the time shown. */

import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import type { Container } from '../../api/vigil';
import { Panel } from '../../chart/Panel';
import { hue } from '../../chart/palette';
import { Sparkline } from '../../chart/Sparkline';
import { type Column, summary } from '../../chart/stack';
import { bytes, cores, percent } from '../../format/units';
import * as query from '../../query/container';
import { useContainers, useRange } from '../../shell/data';
import { containerPath, shared } from '../../shell/search';
import { useScheme } from '../../shell/settings';
import { useTime } from '../../shell/time';
import { workers } from '../containers/tree';
import classes from './TopLists.module.css';

const ROWS = 8;

interface Entry {
  container: Container;
  value: number;
  history: Column;
}

export function TopLists(props: { resource: query.Resource; className?: string; limit: number | null }) {
  const { resource, limit } = props;
  const time = useTime();
  const scheme = useScheme();
  const { data, error } = useContainers();
  const history = useRange((w) => query.all(resource, w), { points: 60 });
  const past = time.range.kind === 'between';
  const entries = useMemo(() => {
    const columns = new Map((history.frame?.series ?? []).map((one) => [one.labels.id ?? '', one.values]));
    return topOf(workers(data?.containers ?? []), columns, resource, past).slice(0, ROWS);
  }, [data, history.frame, resource, past]);
  const top = Math.max(...entries.map((one) => summary(one.history)?.max ?? 0), 0);
  const name = resource === 'cpu' ? 'CPU' : 'memory';
  const color = hue(resource === 'cpu' ? 'blue' : 'green', scheme);
  return (
    <Panel
      title={`Most ${name}`}
      note={past ? 'mean of the time shown' : 'containers and services, now'}
      className={props.className}
      action={
        <Link
          to="/containers"
          search={
            ((old: Record<string, unknown>) => ({
              ...shared(old),
              sort: `-${resource}`,
              view: 'flat',
            })) as never
          }
          className={classes.all}
        >
          all
        </Link>
      }
    >
      {entries.length === 0 ? (
        <p className={classes.none}>
          {error
            ? error.message
            : data
              ? 'no container or service is measured here; Status says why'
              : 'waiting for the first answer'}
        </p>
      ) : (
        <ol className={classes.list}>
          {entries.map(({ container, value, history: values }) => (
            <li key={container.id}>
              <Link
                to={containerPath(container.id) as never}
                search={shared as never}
                className={classes.name}
                title={container.id}
              >
                {container.title}
              </Link>
              <span>
                <Sparkline
                  values={values}
                  max={top}
                  color={color}
                  width={84}
                  height={20}
                  label={`${name} of ${container.title}`}
                />
              </span>
              <span className={classes.value}>{resource === 'cpu' ? cores(value) : bytes(value)}</span>
              <span className={classes.share}>{limit ? percent(value / limit) : ''}</span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function topOf(
  all: Container[],
  columns: Map<string, Column>,
  resource: query.Resource,
  past: boolean,
): Entry[] {
  const entries: Entry[] = [];
  for (const container of all) {
    const history = columns.get(container.id) ?? [];
    const now = resource === 'cpu' ? container.cpu.usage_cores : container.memory.working_set_bytes;
    const value = past ? (summary(history)?.mean ?? null) : container.ended_ms === null ? now : null;
    if (value !== null && value > 0) entries.push({ container, value, history });
  }
  return entries.sort((a, b) => b.value - a.value);
}
