/** uPlot's options for a chart: scales, axes, series, bands, and the hooks that paint gaps and limits. */

import type uPlot from 'uplot';
import { format } from '../format/units';
import { tick, type Zone } from '../time/text';
import { timeStep, timeTicks, upperEnd, valueTicks } from './axis';
import type { Scene } from './Chart';
import { fade, type Scheme } from './palette';
import { type Column, lonely } from './stack';

export interface OptionInput {
  scene: () => Scene;
  visible: boolean[];
  filled: boolean;
  width: number;
  height: number;
  zone: Zone;
  scheme: Scheme;
  sync: string | undefined;
  /** `mine` is false when another chart of the page moved the crosshair. */
  onCursor: (index: number | null, mine: boolean) => void;
  onSelect: (from: number, to: number) => void;
  onDoubleClick: () => void;
}

const INK = {
  light: { text: '#566270', grid: '#e6e9ee', hatch: '#9aa5b1', edge: '#c9d0d8' },
  dark: { text: '#98a5b3', grid: '#222b35', hatch: '#5a6775', edge: '#364250' },
} as const;

/** Width of the value axis: the same on all charts, so that times stand below each other. */
const VALUE_AXIS = 62;

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export function buildOptions(input: OptionInput): uPlot.Options {
  const scene = input.scene();
  const ink = INK[input.scheme];
  return {
    width: input.width,
    height: input.height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    focus: { alpha: 1 },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false },
      points: { size: 6, width: 1.5, show: scene.lines.length <= 30 },
      ...(input.sync ? { sync: { key: input.sync, scales: ['x', null] } } : {}),
      bind: {
        dblclick: () => () => {
          input.onDoubleClick();
          return null;
        },
      },
    },
    scales: {
      x: { time: false, range: () => [input.scene().window.start, input.scene().window.end] },
      y: { range: () => yRange(input.scene()) },
    },
    axes: [timeAxis(input, ink), valueAxis(input, ink)],
    series: [{}, ...scene.lines.map((_, i) => seriesOf(input, i))],
    bands: scene.stacked ? bandsOf(input) : [],
    hooks: {
      drawClear: [(u) => paintGaps(u, input.scene(), ink, input.scheme)],
      draw: [(u) => paintFarLimits(u, input)],
      setCursor: [(u) => onCursor(u, input)],
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          const from = u.posToVal(u.select.left, 'x');
          const to = u.posToVal(u.select.left + u.select.width, 'x');
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          input.onSelect(from, to);
        },
      ],
    },
  };
}

function yRange(scene: Scene): [number, number] {
  if (scene.max !== undefined) return [0, Math.max(scene.max, scene.top)];
  let least = 0;
  if (!scene.stacked) {
    for (const line of scene.lines) {
      for (const value of line.values) if (value !== null && value < least) least = value;
    }
  }
  return [least < 0 ? least * 1.08 : 0, upperEnd(scene.top, scene.unit)];
}

function timeAxis(input: OptionInput, ink: (typeof INK)[Scheme]): uPlot.Axis {
  return {
    stroke: ink.text,
    font: FONT,
    size: 26,
    gap: 4,
    grid: { stroke: () => (input.scene().empty ? 'transparent' : ink.grid), width: 1 },
    ticks: { show: false },
    border: { show: true, stroke: ink.edge, width: 1 },
    splits: (u, _axis, min, max) => {
      const offset = input.zone === 'utc' ? 0 : -new Date(max * 1000).getTimezoneOffset() * 60;
      return timeTicks(min, max, timeStep(max - min, u.bbox.width / devicePixelRatio), offset);
    },
    values: (u, splits) => {
      const step = splits.length > 1 ? (splits[1] ?? 0) - (splits[0] ?? 0) : 60;
      // A text at the very edge would be cut off.
      const { end } = input.scene().window;
      const room = Math.max(36, u.width - VALUE_AXIS);
      const edge = end - (18 / room) * (end - input.scene().window.start);
      return splits.map((t) => (t > edge ? '' : tick(t * 1000, step, input.zone)));
    },
  };
}

function valueAxis(input: OptionInput, ink: (typeof INK)[Scheme]): uPlot.Axis {
  return {
    stroke: ink.text,
    font: FONT,
    size: VALUE_AXIS,
    gap: 6,
    grid: { stroke: () => (input.scene().empty ? 'transparent' : ink.grid), width: 1 },
    ticks: { show: false },
    splits: (u, _axis, min, max) =>
      valueTicks(min, max, u.bbox.height / devicePixelRatio, input.scene().unit),
    // Numbers beside an empty chart would look like a measurement of zero.
    values: (_u, splits) =>
      splits.map((value) => (input.scene().empty ? '' : format(value, input.scene().unit))),
  };
}

function seriesOf(input: OptionInput, index: number): uPlot.Series {
  const scene = input.scene();
  const line = scene.lines[index];
  const color = scene.colors[index] ?? '#888888';
  if (!line) return {};
  const area = !line.limit && (scene.stacked || input.filled);
  return {
    show: input.visible[index] ?? true,
    stroke: color,
    width: line.limit ? 1.25 : scene.stacked ? 1 : 1.5,
    ...(line.limit ? { dash: line.dash ?? [5, 4] } : line.dash ? { dash: line.dash } : {}),
    ...(area ? { fill: fade(color, scene.stacked ? (input.scheme === 'dark' ? 0.5 : 0.42) : 0.14) } : {}),
    spanGaps: false,
    // uPlot draws no point for a value between two gaps: show just those.
    points: {
      show: true,
      size: 4,
      width: 0,
      fill: color,
      filter: (u, i) => lonely(u.data[i] as Column),
    },
  };
}

function bandsOf(input: OptionInput): uPlot.Band[] {
  const members = input
    .scene()
    .lines.map((line, i) => ({ line, i }))
    .filter(({ line, i }) => !line.limit && input.visible[i]);
  const bands: uPlot.Band[] = [];
  for (let k = 1; k < members.length; k++) {
    bands.push({ series: [(members[k]?.i ?? 0) + 1, (members[k - 1]?.i ?? 0) + 1] });
  }
  return bands;
}

/** Hatches the spans without data and writes the reason where it fits. */
function paintGaps(u: uPlot, scene: Scene, ink: (typeof INK)[Scheme], scheme: Scheme): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  for (const { gap, reason } of scene.gaps) {
    const half = scene.window.step / 2;
    const left = Math.max(bbox.left, u.valToPos(gap.from - half, 'x', true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(gap.to + half, 'x', true));
    if (right - left < 2) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = fade(ink.hatch, scheme === 'dark' ? 0.35 : 0.3);
    ctx.lineWidth = ratio;
    ctx.beginPath();
    const space = 8 * ratio;
    for (let x = Math.floor((left - bbox.height) / space) * space; x < right; x += space) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    paintReason(ctx, reason, left, right, bbox.top + bbox.height / 2, ink.text, scheme);
    ctx.restore();
  }
}

function paintReason(
  ctx: CanvasRenderingContext2D,
  text: string,
  left: number,
  right: number,
  middle: number,
  color: string,
  scheme: Scheme,
): void {
  const ratio = devicePixelRatio;
  ctx.font = `${11 * ratio}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
  const wide = ctx.measureText(text).width;
  if (wide + 20 * ratio > right - left) return;
  const x = (left + right) / 2;
  ctx.fillStyle = scheme === 'dark' ? '#161d25' : '#ffffff';
  ctx.fillRect(x - wide / 2 - 6 * ratio, middle - 9 * ratio, wide + 12 * ratio, 18 * ratio);
  ctx.fillStyle = color;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.fillText(text, x, middle);
}

/** A limit far above what is used stays out of the axis: its word stands at the upper edge instead. */
function paintFarLimits(u: uPlot, input: OptionInput): void {
  const scene = input.scene();
  const upper = u.scales.y?.max ?? 0;
  const ratio = devicePixelRatio;
  scene.lines.forEach((line, i) => {
    if (!line.limit || !input.visible[i]) return;
    const last = line.values.findLast((value) => value !== null);
    if (last === undefined || last === null) return;
    const { ctx, bbox } = u;
    const above = last > upper;
    const y = above ? bbox.top + 2 * ratio : u.valToPos(last, 'y', true);
    const text = above ? `${line.label} ${format(last, scene.unit)} ↑` : line.label;
    ctx.save();
    ctx.font = `${10.5 * ratio}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
    ctx.fillStyle = scene.colors[i] ?? '#888888';
    ctx.textAlign = 'right';
    ctx.textBaseline = above || y - bbox.top < 14 * ratio ? 'top' : 'bottom';
    // A rim in the colour of the paper keeps the word readable on top of lines.
    ctx.strokeStyle = input.scheme === 'dark' ? '#141b22' : '#ffffff';
    ctx.lineWidth = 3 * ratio;
    ctx.lineJoin = 'round';
    ctx.strokeText(
      text,
      bbox.left + bbox.width - 4 * ratio,
      y + (above || y - bbox.top < 14 * ratio ? 2 : -2) * ratio,
    );
    ctx.fillText(
      text,
      bbox.left + bbox.width - 4 * ratio,
      y + (above || y - bbox.top < 14 * ratio ? 2 : -2) * ratio,
    );
    ctx.restore();
  });
}

function onCursor(u: uPlot, input: OptionInput): void {
  const { left, idx } = u.cursor;
  const index =
    left === undefined || left === null || left < 0 || idx === null || idx === undefined ? null : idx;
  // An event of the pointer or of our own keys, and not one passed on from another chart.
  const mine = u.cursor.event != null || document.activeElement === u.root.parentElement;
  input.onCursor(
    index,
    mine && (u.over.matches(':hover') || document.activeElement === u.root.parentElement),
  );
}
