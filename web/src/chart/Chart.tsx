/**
 * A time-series chart on uPlot: lines or a stack over the window of the page, gaps hatched with their
 * reason, limits as dashed lines, a crosshair shared by all charts of the page, a tooltip with all
 * series by size, drag to zoom, arrow keys to walk. Draws what it is given and asks for nothing.
 */

import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import { format, type Unit } from '../format/units';
import { useScheme, useZone } from '../shell/settings';
import type { Window } from '../time/range';
import { span } from '../time/text';
import classes from './Chart.module.css';
import { findGaps, type Gap, type History, reasonOf } from './gaps';
import { Legend } from './Legend';
import { buildOptions } from './options';
import { nth } from './palette';
import { type Column, stack, summary } from './stack';
import { paintTooltip } from './tooltip';

export interface Line {
  /** Tells the series apart from one answer to the next. */
  key: string;
  label: string;
  values: Column;
  /** A colour of this chart's scheme; the palette's next where it is missing. */
  color?: string;
  dash?: number[];
  /** A limit: dashed, outside of the stack, and it does not blow up the axis. */
  limit?: boolean;
}

export interface ChartProps {
  title: string;
  lines: Line[];
  window: Window;
  unit: Unit;
  height?: number;
  stacked?: boolean;
  /** Filled below the line even if not stacked. */
  filled?: boolean;
  /** Fixed upper end of the axis, such as the number of cores. */
  max?: number;
  /** Charts with the same name share the crosshair. */
  sync?: string;
  legend?: 'values' | 'none';
  history?: History;
  /** Keys of lines that are not drawn. */
  hidden?: ReadonlySet<string>;
  /** Stands in an empty chart. */
  emptyWord?: string;
  onZoom?: (from: number, to: number) => void;
  onZoomOut?: () => void;
}

const NO_HISTORY: History = { oldestMs: null, startedMs: null, bootMs: null, retentionMs: null };
const NONE: ReadonlySet<string> = new Set();

/** What the hooks of uPlot read: always of the newest render. */
export interface Scene {
  title: string;
  lines: Line[];
  colors: string[];
  unit: Unit;
  stacked: boolean;
  window: Window;
  gaps: { gap: Gap; reason: string }[];
  max: number | undefined;
  top: number;
  empty: boolean;
}

export function Chart(props: ChartProps) {
  const {
    window,
    unit,
    stacked = false,
    filled = false,
    height = 180,
    history = NO_HISTORY,
    hidden = NONE,
  } = props;
  const scheme = useScheme();
  const zone = useZone();
  const host = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const summaryId = useId();
  const [width, setWidth] = useState(0);
  const [cursor, setCursor] = useState<number | null>(null);

  const colors = useMemo(
    () => props.lines.map((line, i) => line.color ?? nth(i, scheme).color),
    [props.lines, scheme],
  );
  const visible = useMemo(() => props.lines.map((line) => !hidden.has(line.key)), [props.lines, hidden]);
  const columns = useMemo(() => drawnColumns(props.lines, visible, stacked), [props.lines, visible, stacked]);
  const gaps = useMemo(() => {
    const measured = props.lines.filter((line) => !line.limit).map((line) => line.values);
    if (measured.length === 0) return [];
    return findGaps(measured, window).map((gap) => ({
      gap,
      reason: reasonOf(gap, history, window.end * 1000 + 60_000),
    }));
  }, [props.lines, window, history]);
  const top = useMemo(() => topOf(props.lines, columns, visible), [props.lines, columns, visible]);
  const empty = props.lines.every((line) => line.limit || line.values.every((value) => value === null));
  const scene = useRef<Scene>(null as unknown as Scene);
  scene.current = {
    title: props.title,
    lines: props.lines,
    colors,
    unit,
    stacked,
    window,
    gaps,
    max: props.max,
    top,
    empty,
  };
  const zoom = useRef({ in: props.onZoom, out: props.onZoomOut });
  zoom.current = { in: props.onZoom, out: props.onZoomOut };

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(element);
    setWidth(Math.floor(element.clientWidth));
    return () => observer.disconnect();
  }, []);

  // What cannot be changed on a living plot; anything else is given to it below.
  const shape = JSON.stringify([
    props.lines.map((line, i) => [line.key, colors[i], line.dash, line.limit, visible[i]]),
    unit,
    stacked,
    filled,
    scheme,
    zone,
    props.sync,
  ]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for all that the options are built from
  useLayoutEffect(() => {
    if (!host.current || width < 40) return;
    const u = new uPlot(
      buildOptions({
        scene: () => scene.current,
        visible,
        filled,
        width,
        height,
        zone,
        scheme,
        sync: props.sync,
        onCursor: (index, mine) => {
          setCursor(index);
          if (tip.current) paintTooltip(tip.current, plot.current, scene.current, mine ? index : null, zone);
        },
        onSelect: (from, to) => zoom.current.in?.(from, to),
        onDoubleClick: () => zoom.current.out?.(),
      }),
      [gridOf(window), ...columns] as uPlot.AlignedData,
      host.current,
    );
    plot.current = u;
    return () => {
      plot.current = null;
      u.destroy();
    };
  }, [shape, width > 40]);

  useLayoutEffect(() => {
    plot.current?.setData([gridOf(window), ...columns] as uPlot.AlignedData);
  }, [columns, window]);

  useLayoutEffect(() => {
    const u = plot.current;
    if (u && (u.width !== width || u.height !== height) && width > 40) u.setSize({ width, height });
  }, [width, height]);

  useEffect(() => () => setCursor(null), []);

  return (
    <figure className={classes.chart}>
      {props.legend !== 'none' && (
        <Legend lines={empty ? [] : props.lines} colors={colors} unit={unit} at={cursor} stacked={stacked} />
      )}
      <div
        ref={host}
        className={classes.plot}
        style={{ height }}
        role="img"
        aria-label={`${props.title}: chart`}
        aria-describedby={summaryId}
        tabIndex={empty ? undefined : 0}
        onKeyDown={(event) => walk(event, plot.current, scene.current, zoom.current)}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      >
        <div ref={tip} className={classes.tip} aria-hidden="true" hidden />
        {empty && <p className={classes.empty}>{props.emptyWord ?? 'nothing in this time'}</p>}
      </div>
      <figcaption id={summaryId} className="visually-hidden">
        {summaryText(props, gaps, zone)}
      </figcaption>
    </figure>
  );
}

function gridOf(window: Window): number[] {
  const length = Math.round((window.end - window.start) / window.step) + 1;
  return Array.from({ length }, (_, i) => window.start + i * window.step);
}

/** The columns as uPlot draws them: cumulated where stacked, hidden ones empty. */
function drawnColumns(lines: Line[], visible: boolean[], stacked: boolean): Column[] {
  if (!stacked) return lines.map((line) => line.values);
  const members = lines.map((line, i) => ({ line, i })).filter(({ line, i }) => !line.limit && visible[i]);
  const sums = stack(members.map(({ line }) => line.values));
  const out = lines.map((line) => line.values);
  members.forEach(({ i }, position) => {
    out[i] = sums[position] ?? [];
  });
  return out;
}

/** The largest value drawn, limits apart: a limit counts only while it is near what is used. */
function topOf(lines: Line[], columns: Column[], visible: boolean[]): number {
  let top = 0;
  let limit = 0;
  lines.forEach((line, i) => {
    if (!visible[i]) return;
    const s = summary(columns[i] ?? []);
    if (!s) return;
    if (line.limit) limit = Math.max(limit, s.max);
    else top = Math.max(top, s.max);
  });
  return limit <= top * 4 ? Math.max(top, limit) : top;
}

function walk(
  event: React.KeyboardEvent,
  u: uPlot | null,
  scene: Scene,
  zoom: { in?: (from: number, to: number) => void; out?: () => void },
): void {
  if (!u) return;
  const last = u.data[0].length - 1;
  const at = u.cursor.idx ?? last;
  const jump = event.shiftKey ? 10 : 1;
  const goals: Record<string, number> = {
    ArrowLeft: at - jump,
    ArrowRight: at + jump,
    Home: 0,
    End: last,
  };
  const goal = goals[event.key];
  if (goal !== undefined) {
    event.preventDefault();
    const index = Math.min(last, Math.max(0, goal));
    const left = u.valToPos(u.data[0][index] ?? 0, 'x');
    u.setCursor({ left, top: u.over.clientHeight / 3 });
  } else if (event.key === 'Escape') {
    u.setCursor({ left: -10, top: -10 });
  } else if (event.key === '+' || event.key === '=') {
    const { start, end } = scene.window;
    const middle = u.cursor.idx != null ? (u.data[0][u.cursor.idx] ?? end) : (start + end) / 2;
    zoom.in?.(Math.max(start, middle - (end - start) / 4), Math.min(end, middle + (end - start) / 4));
  } else if (event.key === '-') {
    zoom.out?.();
  }
}

/** The chart in words, for those who do not see it. */
function summaryText(props: ChartProps, gaps: Scene['gaps'], zone: 'local' | 'utc'): string {
  const { lines, unit, window } = props;
  const head = `${span(window.start * 1000, window.end * 1000, zone)}. `;
  const measured = lines.filter((line) => summary(line.values));
  if (measured.length === 0) return `${head}${props.emptyWord ?? 'Nothing in this time.'}`;
  const words = measured.slice(0, 12).map((line) => {
    const s = summary(line.values);
    return s
      ? `${line.label}: last ${format(s.last, unit)}, least ${format(s.min, unit)}, most ${format(s.max, unit)}.`
      : '';
  });
  const rest = measured.length > 12 ? ` And ${measured.length - 12} more.` : '';
  const holes = gaps.map(
    ({ gap, reason }) => ` No data ${span(gap.from * 1000, gap.to * 1000, zone)}: ${reason}.`,
  );
  return `${head}${words.join(' ')}${rest}${holes.join('')}`;
}
