/** The columns of the list: what each shows and by what it sorts. */

import type { ReactNode } from 'react';
import type { Container } from '../../api/vigil';
import { Sparkline } from '../../chart/Sparkline';
import type { Column as Values } from '../../chart/stack';
import { age, bytes, bytesPerSecond, cores, count, percent, UNKNOWN } from '../../format/units';
import { Meter } from '../../shell/Meter';
import classes from './Containers.module.css';

export interface RowContext {
  nowMs: number;
  cpu: Map<string, Values>;
  memory: Map<string, Values>;
  colors: { cpu: string; memory: string };
}

export interface Column {
  key: string;
  head: string;
  /** In full, for the title of the head. */
  means: string;
  width: number;
  numeric: boolean;
  sort: (container: Container) => number | string | null;
  cell: (container: Container, context: RowContext) => ReactNode;
}

/** The reason for an unknown value, where the server gives one. */
function unknown(container: Container, what: string): ReactNode {
  const reason = container.missing.find((one) => one.what === what || one.what.startsWith(what));
  return (
    <span className={classes.unknown} title={reason ? `${reason.what}: ${reason.why}` : 'not known'}>
      {UNKNOWN}
      {reason && <span className="visually-hidden">{reason.why}</span>}
    </span>
  );
}

function number(
  container: Container,
  what: string,
  value: number | null | undefined,
  text: (v: number) => string,
): ReactNode {
  if (value === null || value === undefined) return unknown(container, what);
  return <span className={value === 0 ? classes.zero : undefined}>{text(value)}</span>;
}

/** A value, and where there is a limit a bar and the share of it. */
function limited(
  container: Container,
  what: 'cpu' | 'memory',
  value: number | null,
  limit: number | null,
  text: (v: number | null) => string,
): ReactNode {
  if (value === null) return <span className={classes.limited}>{unknown(container, what)}</span>;
  if (limit === null || limit <= 0) {
    return (
      <span className={classes.limited}>
        <span>{text(value)}</span>
      </span>
    );
  }
  const ratio = value / limit;
  return (
    <span className={classes.limited} title={`${text(value)} of ${text(limit)}`}>
      <span>{text(value)}</span>
      <small>{percent(ratio)}</small>
      <Meter ratio={ratio} label={`${percent(ratio)} of the limit of ${text(limit)}`} />
    </span>
  );
}

const history = (which: 'cpu' | 'memory', name: string) => (container: Container, context: RowContext) => {
  const values = context[which].get(container.id);
  return values ? (
    <Sparkline
      values={values}
      width={88}
      height={20}
      color={context.colors[which]}
      label={`${name} of ${container.title}`}
    />
  ) : null;
};

export const COLUMNS: Column[] = [
  {
    key: 'cpu',
    head: 'CPU',
    means: 'CPU in cores; share of the limit where one is set',
    width: 112,
    numeric: true,
    sort: (one) => one.cpu.usage_cores,
    cell: (one) => limited(one, 'cpu', one.cpu.usage_cores, one.cpu.limit_cores, cores),
  },
  {
    key: 'cpu-history',
    head: '',
    means: 'CPU over the time shown',
    width: 104,
    numeric: false,
    sort: (one) => one.cpu.usage_cores,
    cell: history('cpu', 'CPU'),
  },
  {
    key: 'throttled',
    head: 'Throttled',
    means: 'Share of periods in which the CPU limit held it up',
    width: 84,
    numeric: true,
    sort: (one) => one.cpu.throttled_ratio,
    cell: (one) =>
      one.cpu.throttled_ratio === null && one.cpu.limit_cores === null ? (
        <span className="visually-hidden">no CPU limit</span>
      ) : (
        <span data-alarm={(one.cpu.throttled_ratio ?? 0) > 0.25 || undefined} className={classes.alarm}>
          {number(one, 'throttling', one.cpu.throttled_ratio, percent)}
        </span>
      ),
  },
  {
    key: 'memory',
    head: 'Memory',
    means: 'Working set; share of the limit where one is set',
    width: 136,
    numeric: true,
    sort: (one) => one.memory.working_set_bytes,
    cell: (one) => limited(one, 'memory', one.memory.working_set_bytes, one.memory.limit_bytes, bytes),
  },
  {
    key: 'memory-history',
    head: '',
    means: 'Memory over the time shown',
    width: 104,
    numeric: false,
    sort: (one) => one.memory.working_set_bytes,
    cell: history('memory', 'memory'),
  },
  {
    key: 'oom',
    head: 'OOM',
    means: 'Processes killed for want of memory',
    width: 58,
    numeric: true,
    sort: (one) => one.memory.oom_kills,
    cell: (one) => (
      <span data-alarm={(one.memory.oom_kills ?? 0) > 0 || undefined} className={classes.alarm}>
        {number(one, 'oom', one.memory.oom_kills, count)}
      </span>
    ),
  },
  {
    key: 'read',
    head: 'Read',
    means: 'Bytes a second read from disks',
    width: 88,
    numeric: true,
    sort: (one) => one.io.read_bytes_per_second,
    cell: (one) => number(one, 'io', one.io.read_bytes_per_second, bytesPerSecond),
  },
  {
    key: 'write',
    head: 'Write',
    means: 'Bytes a second written to disks',
    width: 88,
    numeric: true,
    sort: (one) => one.io.write_bytes_per_second,
    cell: (one) => number(one, 'io', one.io.write_bytes_per_second, bytesPerSecond),
  },
  {
    key: 'receive',
    head: 'Received',
    means: 'Bytes a second received',
    width: 92,
    numeric: true,
    sort: (one) => one.network?.receive_bytes_per_second ?? null,
    cell: (one) => number(one, 'network', one.network?.receive_bytes_per_second, bytesPerSecond),
  },
  {
    key: 'transmit',
    head: 'Sent',
    means: 'Bytes a second sent',
    width: 92,
    numeric: true,
    sort: (one) => one.network?.transmit_bytes_per_second ?? null,
    cell: (one) => number(one, 'network', one.network?.transmit_bytes_per_second, bytesPerSecond),
  },
  {
    key: 'processes',
    head: 'Procs',
    means: 'Processes',
    width: 58,
    numeric: true,
    sort: (one) => one.processes,
    cell: (one) => number(one, 'processes', one.processes, count),
  },
  {
    key: 'age',
    head: 'Age',
    means: 'Time since its start; for an ended one, how long it ran',
    width: 82,
    numeric: true,
    sort: (one) => (one.started_ms === null ? null : -one.started_ms),
    cell: (one, { nowMs }) =>
      number(
        one,
        'start',
        one.started_ms === null ? null : ((one.ended_ms ?? nowMs) - one.started_ms) / 1000,
        age,
      ),
  },
];
