/** One container, service or other control group: its graphs with limits drawn in, and what is known of it. */

import { Link, useParams } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import type { Container } from '../../api/vigil';
import type { Line } from '../../chart/Chart';
import { ChartPanel, Panel, single } from '../../chart/Panel';
import { hue } from '../../chart/palette';
import { age, bytes, cores, count, duration, percent, UNKNOWN } from '../../format/units';
import * as query from '../../query/container';
import { type Asked, useContainers, useRange } from '../../shell/data';
import { PageHead } from '../../shell/Layout';
import { containerPath, shared } from '../../shell/search';
import { useScheme, useZone } from '../../shell/settings';
import { useTime } from '../../shell/time';
import { Word } from '../../shell/Word';
import { moment } from '../../time/text';
import classes from './ContainerPage.module.css';
import { KindTag } from './KindTag';
import { ancestors } from './tree';

export function ContainerPage() {
  const { _splat } = useParams({ strict: false }) as { _splat?: string };
  const id = `/${_splat ?? ''}`;
  const { data, error } = useContainers();
  const container = data?.containers.find((one) => one.id === id) ?? null;
  const above = useMemo(() => ancestors(data?.containers ?? [], id), [data, id]);
  const below = useMemo(() => (data?.containers ?? []).filter((one) => one.parent === id), [data, id]);
  return (
    <>
      <nav className={classes.path} aria-label="Control groups above">
        <Link to="/containers" search={shared as never}>
          Containers
        </Link>
        {above
          .filter((one) => one.id !== '/')
          .map((one) => (
            <Link key={one.id} to={containerPath(one.id) as never} search={shared as never}>
              {one.title}
            </Link>
          ))}
      </nav>
      <PageHead title={<Title container={container} id={id} />} />
      {data && !container && <Gone id={id} />}
      {error && !data && (
        <Word small title="Nothing is known about it yet" tone="bad">
          {error.message}
        </Word>
      )}
      {container && <Facts container={container} />}
      <Graphs id={id} container={container} />
      {below.length > 0 && <Below groups={below} />}
    </>
  );
}

function Title({ container, id }: { container: Container | null; id: string }) {
  return (
    <span className={classes.title}>
      <span>{container?.title ?? id.split('/').at(-1)}</span>
      {container && <KindTag container={container} />}
    </span>
  );
}

/** Not in the newest round: ended some time ago, or never there. The graphs tell what is stored. */
function Gone({ id }: { id: string }) {
  return (
    <p className={classes.gone}>
      <strong>Not there now.</strong> <code>{id}</code> is not among the control groups of the newest round.
      The graphs show what is stored of it in the time chosen; choose an earlier time if they are empty.
    </p>
  );
}

function Facts({ container }: { container: Container }) {
  const zone = useZone();
  const time = useTime();
  const { cpu, memory } = container;
  const facts: [string, ReactNode][] = [];
  const add = (name: string, value: ReactNode) => {
    if (value !== null && value !== '' && value !== undefined) facts.push([name, value]);
  };
  if (container.ended_ms !== null) {
    add('Ended', `${moment(container.ended_ms, zone)}, ${age((time.now() - container.ended_ms) / 1000)} ago`);
  }
  if (container.started_ms !== null) {
    const ran = ((container.ended_ms ?? time.now()) - container.started_ms) / 1000;
    add(
      'Started',
      `${moment(container.started_ms, zone)} (${container.ended_ms === null ? '' : 'ran '}${age(ran)})`,
    );
  }
  add(
    'CPU',
    cpu.usage_cores === null && cpu.limit_cores === null
      ? 'not measured'
      : `${cores(cpu.usage_cores)} ${cpu.limit_cores === null ? 'cores, no limit' : `of ${cores(cpu.limit_cores)} cores`}`,
  );
  if (cpu.limit_cores !== null) {
    add(
      'Throttled',
      `${percent(cpu.throttled_ratio)} of periods, ${duration(cpu.throttled_seconds_total)} in all`,
    );
  }
  add(
    'Memory',
    memory.working_set_bytes === null
      ? 'not measured'
      : `${bytes(memory.working_set_bytes)}${memory.limit_bytes === null ? ', no limit' : ` of ${bytes(memory.limit_bytes)}`}`,
  );
  add(
    'OOM kills',
    memory.oom_kills === null ? null : <Alarm on={memory.oom_kills > 0}>{count(memory.oom_kills)}</Alarm>,
  );
  add(
    'Processes',
    container.processes === null
      ? null
      : `${count(container.processes)}${container.threads === null ? '' : ` with ${count(container.threads)} threads`}`,
  );
  add('Image', container.image && <code>{container.image}</code>);
  add('Pod', container.pod && `${container.namespace}/${container.pod}`);
  add('Name', container.name && container.name !== container.title ? <code>{container.name}</code> : null);
  add('Control group', <code>{container.id}</code>);
  const labels = Object.entries(container.labels);
  return (
    <>
      {container.ended_ms !== null && (
        <p className={classes.gone} role="status">
          <strong>Ended</strong> {moment(container.ended_ms, zone)}. Numbers are those of its last reading.
        </p>
      )}
      <dl className={classes.facts}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {labels.length > 0 && (
        <details className={classes.labels}>
          <summary>{labels.length} labels</summary>
          <ul>
            {labels.sort().map(([key, value]) => (
              <li key={key}>
                <code>
                  {key}=<b>{value}</b>
                </code>
              </li>
            ))}
          </ul>
        </details>
      )}
      {container.missing.length > 0 && (
        <ul className={classes.missing}>
          {container.missing.map((one) => (
            <li key={one.what}>
              <strong>{one.what}</strong>: {one.why}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Alarm({ on, children }: { on: boolean; children: ReactNode }) {
  return <span className={on ? classes.alarm : undefined}>{children}</span>;
}

/** Lines named by a label, such as the device or the interface. */
function byLabel(asked: Asked, label: string, word: string, dash?: number[]): Line[] {
  const series = asked.frame?.series ?? [];
  return series.map((one) => {
    const name = one.labels[label] ?? '';
    const text = series.length > 1 && name !== '' ? `${word} ${name}` : word;
    return { key: `${word} ${name}`, label: text, values: one.values, dash };
  });
}

function Graphs({ id, container }: { id: string; container: Container | null }) {
  const scheme = useScheme();
  const user = useRange((w) => query.cpu(id, 'user', w));
  const system = useRange((w) => query.cpu(id, 'system', w));
  const cpuLimit = useRange((w) => query.cpuLimit(id, w));
  const throttled = useRange((w) => query.throttled(id, w));
  const workingSet = useRange((w) => query.memoryGauge(id, 'working_set_bytes', w));
  const rss = useRange((w) => query.memoryGauge(id, 'rss', w));
  const cache = useRange((w) => query.memoryGauge(id, 'cache', w));
  const swap = useRange((w) => query.memoryGauge(id, 'swap', w));
  const memoryLimit = useRange((w) => query.memoryLimit(id, w));
  const oom = useRange((w) => query.oomKills(id, w));
  const read = useRange((w) => query.io(id, 'reads', w));
  const written = useRange((w) => query.io(id, 'writes', w));
  const received = useRange((w) => query.network(id, 'receive', w));
  const sent = useRange((w) => query.network(id, 'transmit', w));
  const pressures = [
    useRange((w) => query.pressure(id, 'cpu', w)),
    useRange((w) => query.pressure(id, 'memory', w)),
    useRange((w) => query.pressure(id, 'io', w)),
  ] as const;
  const processes = useRange((w) => query.tasks(id, 'processes', w));
  const threads = useRange((w) => query.tasks(id, 'threads', w));
  const limit = { limit: true, color: hue('red', scheme) };
  const why = (what: string, otherwise: string) => {
    const reason = container?.missing.find((one) => one.what.startsWith(what));
    return reason ? reason.why : otherwise;
  };
  const oomLines = single(oom, 'killed', { color: hue('red', scheme) });
  const swapLines = single(swap, 'swap', { color: hue('orange', scheme) }).filter((one) =>
    one.values.some((v) => (v ?? 0) > 0),
  );
  return (
    <div className={classes.grid}>
      <ChartPanel
        title="CPU"
        note="cores"
        unit="cores"
        stacked
        height={200}
        asked={[user, system, cpuLimit]}
        lines={[
          ...single(user, 'user', { color: hue('blue', scheme) }),
          ...single(system, 'system', { color: hue('orange', scheme) }),
          ...single(cpuLimit, 'limit', limit),
        ]}
        emptyWord={why('cpu', 'no CPU time was counted in this time')}
      />
      <ChartPanel
        title="Memory"
        unit="bytes"
        height={200}
        asked={[workingSet, rss, cache, memoryLimit]}
        lines={[
          ...single(workingSet, 'working set', { color: hue('blue', scheme) }),
          ...single(rss, 'anonymous', { color: hue('green', scheme) }),
          ...single(cache, 'cache', { color: hue('gray', scheme) }),
          ...swapLines,
          ...single(memoryLimit, 'limit', limit),
        ]}
        emptyWord={why('memory', 'no memory was measured in this time')}
      />
      <ChartPanel
        title="Throttling"
        note="share of periods in which the limit held it up"
        unit="ratio"
        filled
        asked={[throttled]}
        lines={single(throttled, 'throttled', { color: hue('red', scheme) })}
        emptyWord={
          container && container.cpu.limit_cores === null
            ? 'no CPU limit is set, so nothing throttles it'
            : why('throttling', 'no CPU limit in this time')
        }
      />
      <ChartPanel
        title="Pressure"
        note="share of time in which something waited"
        unit="ratio"
        asked={[...pressures]}
        lines={[
          ...single(pressures[0], 'CPU', { color: hue('blue', scheme) }),
          ...single(pressures[1], 'memory', { color: hue('green', scheme) }),
          ...single(pressures[2], 'I/O', { color: hue('orange', scheme) }),
        ]}
        emptyWord={why('pressure', 'this kernel does not measure pressure for groups')}
      />
      <ChartPanel
        title="Disk"
        unit="bytes/s"
        asked={[read, written]}
        lines={[...byLabel(read, 'device', 'read'), ...byLabel(written, 'device', 'written')]}
        emptyWord={why('io', 'no disk was read or written in this time')}
      />
      <ChartPanel
        title="Network"
        unit="bytes/s"
        asked={[received, sent]}
        lines={[...byLabel(received, 'interface', 'received'), ...byLabel(sent, 'interface', 'sent')]}
        emptyWord={why('network', 'no network of its own')}
      />
      <ChartPanel
        title="Processes and threads"
        unit="count"
        asked={[processes, threads]}
        lines={[...single(processes, 'processes'), ...single(threads, 'threads')]}
        emptyWord={why('processes', 'not counted in this time')}
      />
      <ChartPanel
        title="OOM kills"
        note="processes killed for want of memory"
        unit="count"
        filled
        asked={[oom]}
        lines={oomLines}
        emptyWord={why('oom', 'not counted in this time')}
      />
    </div>
  );
}

function Below({ groups }: { groups: Container[] }) {
  return (
    <Panel title="Groups inside" note={String(groups.length)} className={classes.below}>
      <ul>
        {groups.map((one) => (
          <li key={one.id}>
            <Link to={containerPath(one.id) as never} search={shared as never}>
              {one.title}
            </Link>
            <KindTag container={one} />
            <span>{one.cpu.usage_cores === null ? UNKNOWN : `${cores(one.cpu.usage_cores)} cores`}</span>
            <span>{bytes(one.memory.working_set_bytes)}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
