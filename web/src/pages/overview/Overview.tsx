/** The machine at a glance: what it does, who does it, and what stands in the way. */

import { useMemo } from 'react';
import { ChartPanel, Panel, single } from '../../chart/Panel';
import { hue } from '../../chart/palette';
import { lastValue } from '../../chart/stack';
import { age, bytes, percent } from '../../format/units';
import * as query from '../../query/node';
import { useStatus } from '../../shell/connection';
import { useRange } from '../../shell/data';
import { PageHead } from '../../shell/Layout';
import { Meter } from '../../shell/Meter';
import { Notices } from '../../shell/Notices';
import { useScheme } from '../../shell/settings';
import { useTime } from '../../shell/time';
import { kernelName, whyMissing } from '../../shell/why';
import { busy, cpuLines, filesystems, memoryField, memoryLines, used } from './breakdown';
import classes from './Overview.module.css';
import { TopLists } from './TopLists';
import { Vitals } from './Vitals';

export function Overview() {
  const time = useTime();
  const scheme = useScheme();
  const status = useStatus();
  const cpu = useRange(query.cpuByMode);
  const cpus = useRange(query.cpuCount, { points: 12 });
  const memory = useRange(query.memory);
  const load = useRange(query.load);
  const pressures = {
    cpu: useRange((w) => query.pressure('cpu', w)),
    memory: useRange((w) => query.pressure('memory', w)),
    io: useRange((w) => query.pressure('io', w)),
  };
  const disk = { read: useRange(query.diskRead), written: useRange(query.diskWritten) };
  const net = { in: useRange(query.networkIn), out: useRange(query.networkOut) };
  const space = useRange(query.filesystems, { points: 12 });

  const count = lastValue(cpus.frame?.series[0]?.values ?? []);
  const total = lastValue(memoryField(memory.frame, 'MemTotal') ?? []);
  const cpuWindow = cpu.frame?.window;
  const cpuParts = useMemo(() => {
    const lines = cpuLines(cpu.frame, scheme);
    if (lines.length === 0 || count === null) return lines;
    const values = (lines[0]?.values ?? []).map(() => count);
    return [...lines, { key: 'cores', label: 'all cores', values, limit: true, color: hue('gray', scheme) }];
  }, [cpu.frame, scheme, count]);
  const memoryParts = useMemo(() => memoryLines(memory.frame, scheme), [memory.frame, scheme]);
  const loadParts = useMemo(
    () =>
      (load.frame?.series ?? [])
        .map((one) => ({
          key: one.labels.__name__ ?? '',
          label: `${(one.labels.__name__ ?? '').replace('node_load', '')} min`,
          values: one.values,
        }))
        .sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true })),
    [load.frame],
  );
  const pressureParts = useMemo(
    () => [
      ...single(pressures.cpu, 'CPU', { color: hue('blue', scheme) }),
      ...single(pressures.memory, 'memory', { color: hue('green', scheme) }),
      ...single(pressures.io, 'I/O', { color: hue('orange', scheme) }),
    ],
    [pressures.cpu, pressures.memory, pressures.io, scheme],
  );
  const diskParts = useMemo(
    () => [...single(disk.read, 'read'), ...single(disk.written, 'written')],
    [disk.read, disk.written],
  );
  const netParts = useMemo(
    () => [...single(net.in, 'received'), ...single(net.out, 'sent')],
    [net.in, net.out],
  );
  // Where nothing at all was collected, what a single chart could say of itself would be wrong.
  const alive = cpuParts.length > 0 || memoryParts.length > 0;
  const word = (collector: string, otherwise?: string) =>
    alive ? (whyMissing(status, 'node', collector) ?? otherwise) : undefined;
  const mounts = useMemo(() => filesystems(space.frame), [space.frame]);

  return (
    <>
      <PageHead title={status?.hostname ?? 'This machine'}>
        <span className={classes.facts}>
          {status && kernelName(status.kernel)}
          {status?.boot_ms != null && ` · up ${age((time.now() - status.boot_ms) / 1000)}`}
        </span>
      </PageHead>
      <Notices notices={status?.notices ?? []} />
      <Vitals
        busy={useMemo(() => busy(cpu.frame), [cpu.frame])}
        window={cpuWindow}
        cores={count}
        memory={memory.frame}
        load={loadParts}
        pressure={pressureParts}
        disk={diskParts}
        net={netParts}
      />
      <div className={classes.grid}>
        <ChartPanel
          className={classes.wide}
          title="CPU by mode"
          note={count === null ? undefined : `cores, of ${count}`}
          lines={cpuParts}
          unit="cores"
          stacked
          height={208}
          asked={[cpu]}
          emptyWord={word('cpu')}
        />
        <TopLists resource="cpu" className={classes.side} limit={count} />
        <ChartPanel
          className={classes.wide}
          title="Memory"
          note={total === null ? undefined : `of ${bytes(total)}`}
          lines={memoryParts}
          unit="bytes"
          stacked
          max={total ?? undefined}
          height={208}
          asked={[memory]}
          emptyWord={word('meminfo')}
        />
        <TopLists resource="memory" className={classes.side} limit={total} />
        <ChartPanel
          className={classes.third}
          title="Disk"
          lines={diskParts}
          unit="bytes/s"
          filled
          asked={[disk.read, disk.written]}
          emptyWord={word('diskstats', 'no disk that is not a part or a layer of another')}
        />
        <ChartPanel
          className={classes.third}
          title="Network"
          lines={netParts}
          unit="bytes/s"
          filled
          asked={[net.in, net.out]}
          emptyWord={word('netdev', 'no interface that leaves this machine')}
        />
        <ChartPanel
          className={classes.third}
          title="Pressure"
          note="share of time in which something waited"
          lines={pressureParts}
          unit="ratio"
          asked={[pressures.cpu, pressures.memory, pressures.io]}
          emptyWord={word('pressure', 'this kernel does not measure pressure (PSI)')}
        />
        <ChartPanel
          className={classes.third}
          title="Load"
          note="tasks that run or wait, mean over"
          lines={loadParts}
          unit="number"
          asked={[load]}
          emptyWord={word('loadavg')}
        />
        <Panel title="Filesystems" className={classes.rest}>
          {mounts.length === 0 ? (
            <p className={classes.none}>
              {space.error?.message ??
                (space.waiting
                  ? 'waiting for the first answer'
                  : (word('filesystem', 'no filesystem that keeps data') ??
                    'nothing was collected in this time'))}
            </p>
          ) : (
            <ul className={classes.mounts}>
              {mounts.slice(0, 10).map((one) => (
                <li key={one.mountpoint}>
                  <span className={classes.mount} title={`${one.device} (${one.fstype})`}>
                    {one.mountpoint}
                    <small>{one.fstype}</small>
                  </span>
                  <Meter wide ratio={used(one)} label={`${one.mountpoint}: ${percent(used(one))} used`} />
                  <span className={classes.amount}>
                    <b>{percent(used(one))}</b> {bytes(one.available)} free of {bytes(one.size)}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </Panel>
      </div>
    </>
  );
}
