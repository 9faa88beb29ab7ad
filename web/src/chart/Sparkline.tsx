/** A line the size of a word, for lists. Gaps stay gaps; a single point is a dot. */

import { memo } from 'react';
import { type Column, summary } from './stack';

interface SparklineProps {
  values: Column;
  width?: number;
  height?: number;
  color?: string;
  /** Upper end of the scale; the largest value where it is missing. */
  max?: number;
  label: string;
}

export const Sparkline = memo(function Sparkline(props: SparklineProps) {
  const { values, width = 96, height = 22, color = 'currentColor', label } = props;
  const s = summary(values);
  if (!s) return <span className="visually-hidden">no history yet</span>;
  const top = Math.max(props.max ?? 0, s.max, Number.MIN_VALUE) * 1.05;
  const { line, area } = paths(values, width, height, top);
  return (
    <svg
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={label}
      style={{ display: 'block', overflow: 'visible' }}
    >
      <path d={area} fill={color} fillOpacity={0.16} />
      <path
        d={line}
        fill="none"
        stroke={color}
        strokeWidth={1.25}
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
});

function paths(values: Column, width: number, height: number, top: number): { line: string; area: string } {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let line = '';
  let area = '';
  let from = -1;
  const x = (i: number) => (i * step).toFixed(1);
  const close = (until: number) => {
    if (from === -1) return;
    if (from === until) line += 'h0.01';
    area += `L${x(until)} ${height}L${x(from)} ${height}Z`;
    from = -1;
  };
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      close(i - 1);
      return;
    }
    const y = (height - 1 - (value / top) * (height - 2)).toFixed(1);
    const op = from === -1 ? 'M' : 'L';
    if (from === -1) from = i;
    line += `${op}${x(i)} ${y}`;
    area += `${op}${x(i)} ${y}`;
  });
  close(values.length - 1);
  return { line, area };
}
