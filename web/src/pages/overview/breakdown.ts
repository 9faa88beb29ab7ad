/** From node exporter's series to the parts that the Overview draws. Pure. */

import type { Frame } from '../../api/prometheus';
import type { Line } from '../../chart/Chart';
import { type Hue, hue, type Scheme } from '../../chart/palette';
import type { Column } from '../../chart/stack';

/** CPU modes from the bottom of the stack up; `idle` is what is left. */
const MODES: [mode: string, hue: Hue][] = [
  ['user', 'blue'],
  ['system', 'orange'],
  ['nice', 'green'],
  ['iowait', 'pink'],
  ['irq', 'olive'],
  ['softirq', 'sky'],
  ['steal', 'red'],
];

/** Modes as lines; those that never rose above a thousandth of a core are left out but for user and system. */
export function cpuLines(frame: Frame | null, scheme: Scheme): Line[] {
  if (!frame) return [];
  const lines: Line[] = [];
  for (const [mode, name] of MODES) {
    const series = frame.series.find((one) => one.labels.mode === mode);
    if (!series) continue;
    const quiet = series.values.every((value) => value === null || value < 0.001);
    if (quiet && mode !== 'user' && mode !== 'system') continue;
    lines.push({ key: mode, label: mode, values: series.values, color: hue(name, scheme) });
  }
  return lines;
}

/** Busy cores: all modes but idle and iowait. */
export function busy(frame: Frame | null): Column {
  if (!frame) return [];
  const columns = frame.series
    .filter((one) => one.labels.mode !== 'idle' && one.labels.mode !== 'iowait')
    .map((one) => one.values);
  return combine(columns, (values) => values.reduce((sum, value) => sum + value, 0));
}

/** A column from several, with a gap where any of them has one. */
export function combine(columns: Column[], fold: (values: number[]) => number): Column {
  const length = columns[0]?.length ?? 0;
  const out: Column = new Array(length).fill(null);
  for (let i = 0; i < length; i++) {
    const values: number[] = [];
    for (const column of columns) {
      const value = column[i];
      if (value !== null && value !== undefined) values.push(value);
    }
    if (values.length === columns.length) out[i] = fold(values);
  }
  return out;
}

/** The column of `node_memory_<field>_bytes`. */
export function memoryField(frame: Frame | null, field: string): Column | null {
  return frame?.series.find((one) => one.labels.__name__ === `node_memory_${field}_bytes`)?.values ?? null;
}

/**
 * Memory as `free` tells it apart: what programs hold, shared memory (which the kernel counts as
 * cache), and cache that can be given back. Together with what is free they are the whole.
 */
export function memoryLines(frame: Frame | null, scheme: Scheme): Line[] {
  const fields = ['MemTotal', 'MemFree', 'Buffers', 'Cached', 'SReclaimable', 'Shmem'].map((f) =>
    memoryField(frame, f),
  );
  if (fields.some((one) => one === null)) return [];
  const columns = fields as Column[];
  const at = (values: number[], i: number) => values[i] ?? 0;
  const cache = (v: number[]) => at(v, 2) + at(v, 3) + at(v, 4);
  const used = combine(columns, (v) => Math.max(0, at(v, 0) - at(v, 1) - cache(v)));
  const shmem = combine(columns, (v) => at(v, 5));
  const buffers = combine(columns, (v) => Math.max(0, cache(v) - at(v, 5)));
  return [
    { key: 'used', label: 'programs', values: used, color: hue('blue', scheme) },
    { key: 'shared', label: 'shared', values: shmem, color: hue('pink', scheme) },
    { key: 'cache', label: 'cache', values: buffers, color: hue('green', scheme) },
  ];
}

export interface Filesystem {
  mountpoint: string;
  device: string;
  fstype: string;
  size: number;
  available: number;
}

/** Filesystems as of the newest point, the fullest first, each device once. */
export function filesystems(frame: Frame | null): Filesystem[] {
  if (!frame) return [];
  const found = new Map<string, Filesystem>();
  for (const series of frame.series) {
    const { mountpoint = '', device = '', fstype = '', __name__: name } = series.labels;
    const value = series.values.findLast((one) => one !== null);
    if (value === undefined || value === null) continue;
    const known = found.get(mountpoint) ?? { mountpoint, device, fstype, size: 0, available: 0 };
    if (name === 'node_filesystem_size_bytes') known.size = value;
    else known.available = value;
    found.set(mountpoint, known);
  }
  const devices = new Set<string>();
  return [...found.values()]
    .filter((one) => one.size > 0)
    .sort((a, b) => a.mountpoint.length - b.mountpoint.length)
    .filter((one) => {
      const seen = devices.has(one.device);
      devices.add(one.device);
      return !seen;
    })
    .sort((a, b) => used(b) - used(a));
}

export function used(one: Filesystem): number {
  return one.size > 0 ? 1 - one.available / one.size : 0;
}
