/** The row of numbers on top: each of them now (or at the end of the time shown), against what there is. */

import type { ReactNode } from 'react';
import type { Frame } from '../../api/prometheus';
import type { Line } from '../../chart/Chart';
import { type Column, lastValue } from '../../chart/stack';
import { bytes, bytesPerSecond, cores, format, percent, UNKNOWN } from '../../format/units';
import { Meter } from '../../shell/Meter';
import type { Window } from '../../time/range';
import { memoryField } from './breakdown';
import classes from './Vitals.module.css';

/** The newest value counts while it is one of the last points: older ones would pass for now. */
const RECENT = 5;

export function Vitals(props: {
  busy: Column;
  window: Window | undefined;
  cores: number | null;
  memory: Frame | null;
  load: Line[];
  pressure: Line[];
  disk: Line[];
  net: Line[];
}) {
  const used = lastValue(props.busy, RECENT);
  const total = lastValue(memoryField(props.memory, 'MemTotal') ?? [], RECENT);
  const available = lastValue(memoryField(props.memory, 'MemAvailable') ?? [], RECENT);
  const swapTotal = lastValue(memoryField(props.memory, 'SwapTotal') ?? [], RECENT);
  const swapFree = lastValue(memoryField(props.memory, 'SwapFree') ?? [], RECENT);
  const taken = total !== null && available !== null ? total - available : null;
  const of = (lines: Line[], key: string) =>
    lastValue(lines.find((one) => one.key === key)?.values ?? [], RECENT);
  const cpuRatio = used !== null && props.cores ? used / props.cores : null;
  const memoryRatio = taken !== null && total ? taken / total : null;
  const swap = swapTotal !== null && swapFree !== null && swapTotal > 0 ? swapTotal - swapFree : null;
  return (
    <dl className={classes.vitals}>
      <Vital name="CPU" value={percent(cpuRatio)} meter={cpuRatio}>
        {used === null ? 'no sample yet' : `${cores(used)} of ${props.cores ?? UNKNOWN} cores busy`}
      </Vital>
      <Vital name="Memory" value={percent(memoryRatio)} meter={memoryRatio}>
        {taken === null ? 'no sample yet' : `${bytes(taken)} of ${bytes(total)}`}
        {swap !== null && `, swap ${bytes(swap)}`}
      </Vital>
      <Vital name="Load" value={format(of(props.load, 'node_load1'), 'number')}>
        {format(of(props.load, 'node_load5'), 'number')} · {format(of(props.load, 'node_load15'), 'number')}{' '}
        in 5 · 15 min
      </Vital>
      <Vital name="Pressure" value={pressureWord(props.pressure)}>
        {props.pressure.length === 0
          ? used === null
            ? 'no sample yet'
            : 'not measured here'
          : props.pressure.map((one) => `${one.label} ${percent(lastValue(one.values, RECENT))}`).join(' · ')}
      </Vital>
      <Vital name="Disk" value={bytesPerSecond(sum(of(props.disk, 'read'), of(props.disk, 'written')))}>
        {bytesPerSecond(of(props.disk, 'read'))} read · {bytesPerSecond(of(props.disk, 'written'))} written
      </Vital>
      <Vital name="Network" value={bytesPerSecond(sum(of(props.net, 'received'), of(props.net, 'sent')))}>
        {bytesPerSecond(of(props.net, 'received'))} in · {bytesPerSecond(of(props.net, 'sent'))} out
      </Vital>
    </dl>
  );
}

function sum(a: number | null, b: number | null): number | null {
  return a === null && b === null ? null : (a ?? 0) + (b ?? 0);
}

/** The largest of the three pressures. */
function pressureWord(lines: Line[]): string {
  const values = lines.map((one) => lastValue(one.values, RECENT)).filter((one) => one !== null);
  return values.length === 0 ? UNKNOWN : percent(Math.max(...values));
}

function Vital(props: { name: string; value: string; meter?: number | null; children: ReactNode }) {
  return (
    <div className={classes.vital}>
      <dt>{props.name}</dt>
      <dd>
        <strong>{props.value}</strong>
        {props.meter != null && <Meter ratio={props.meter} label={`${props.name} ${props.value}`} />}
        <span>{props.children}</span>
      </dd>
    </div>
  );
}
