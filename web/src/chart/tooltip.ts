/** The box beside the crosshair: the time, and every series by size, written straight into the page. */

import type uPlot from 'uplot';
import { format } from '../format/units';
import { moment, type Zone } from '../time/text';
import type { Scene } from './Chart';

const MOST_ROWS = 16;

export function paintTooltip(
  tip: HTMLDivElement,
  u: uPlot | null,
  scene: Scene,
  index: number | null,
  zone: Zone,
): void {
  if (!u || index === null) {
    tip.hidden = true;
    return;
  }
  const time = u.data[0][index];
  if (time === undefined) {
    tip.hidden = true;
    return;
  }
  tip.replaceChildren(...contents(u, scene, index, time, zone));
  tip.hidden = false;
  place(tip, u);
}

function contents(u: uPlot, scene: Scene, index: number, time: number, zone: Zone): Node[] {
  const head = element('div', 'tip-time', moment(time * 1000, zone));
  const gap = scene.gaps.find((one) => time >= one.gap.from && time <= one.gap.to);
  if (gap) return [head, element('div', 'tip-word', `no data: ${gap.reason}`)];
  const rows = scene.lines
    .map((line, i) => ({ line, i, value: line.values[index] ?? null }))
    .filter(({ i }) => u.series[i + 1]?.show);
  const measured = rows.filter((row) => row.value !== null);
  if (measured.length === 0) return [head, element('div', 'tip-word', 'no sample at this time')];
  measured.sort(
    (a, b) =>
      Number(a.line.limit ?? false) - Number(b.line.limit ?? false) || (b.value ?? 0) - (a.value ?? 0),
  );
  const near = nearest(u, index);
  const table = document.createElement('table');
  for (const { line, i, value } of measured.slice(0, MOST_ROWS)) {
    table.append(
      row(line.label, format(value, scene.unit), scene.colors[i], i === near && measured.length > 2),
    );
  }
  const nodes: Node[] = [head, table];
  if (scene.stacked && measured.length > 1) {
    const sum = measured
      .filter(({ line }) => !line.limit)
      .reduce((total, { value }) => total + (value ?? 0), 0);
    const total = row('together', format(sum, scene.unit), undefined, false);
    total.className = 'tip-total';
    table.append(total);
  }
  if (measured.length > MOST_ROWS)
    nodes.push(element('div', 'tip-word', `and ${measured.length - MOST_ROWS} more`));
  return nodes;
}

/** Index of the drawn line that is nearest to the pointer. */
function nearest(u: uPlot, index: number): number {
  const y = u.cursor.top ?? 0;
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 1; i < u.data.length; i++) {
    const value = u.data[i]?.[index];
    if (value === null || value === undefined || !u.series[i]?.show) continue;
    const distance = Math.abs(u.valToPos(value, 'y') - y);
    if (distance < least) {
      least = distance;
      best = i - 1;
    }
  }
  return best;
}

function element(tag: string, className: string, text: string): HTMLElement {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function row(label: string, value: string, color: string | undefined, strong: boolean): HTMLTableRowElement {
  const tr = document.createElement('tr');
  if (strong) tr.className = 'tip-near';
  const sign = document.createElement('td');
  if (color) {
    const swatch = document.createElement('i');
    swatch.style.backgroundColor = color;
    sign.append(swatch);
  }
  tr.append(sign, element('td', 'tip-label', label), element('td', 'tip-value', value));
  return tr;
}

/** Beside the crosshair, on the side with room, never over the edge of the window. */
function place(tip: HTMLDivElement, u: uPlot): void {
  const left = u.cursor.left ?? 0;
  const offset = u.over.offsetLeft;
  const room = u.over.clientWidth;
  const wide = tip.offsetWidth;
  const right = left + 14 + wide <= room || left < wide + 14;
  let x = right ? offset + left + 14 : offset + left - wide - 14;
  const frame = u.root.getBoundingClientRect();
  x = Math.min(x, document.documentElement.clientWidth - frame.left - wide - 8);
  x = Math.max(x, 8 - frame.left);
  const below = frame.top + tip.offsetHeight + 8 <= document.documentElement.clientHeight;
  const y = below ? 6 : document.documentElement.clientHeight - frame.top - tip.offsetHeight - 8;
  tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
}
