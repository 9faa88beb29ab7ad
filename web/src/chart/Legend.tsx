/** The row above a chart: colour, name, and the value at the crosshair or the newest one. */

import { format, type Unit } from '../format/units';
import type { Line } from './Chart';
import classes from './Chart.module.css';
import { lastValue } from './stack';

export function Legend(props: {
  lines: Line[];
  colors: string[];
  unit: Unit;
  at: number | null;
  stacked: boolean;
}) {
  const { lines, colors, unit, at, stacked } = props;
  // In a stack the uppermost comes first, as the eye meets it.
  const order = lines.map((_, i) => i);
  if (stacked) order.reverse();
  return (
    <ul className={classes.legend} aria-hidden="true">
      {order.map((i) => {
        const line = lines[i];
        if (!line) return null;
        const value = at === null ? lastValue(line.values, 5) : (line.values[at] ?? null);
        return (
          <li key={line.key}>
            <i
              className={line.limit || line.dash ? classes.dashed : undefined}
              style={{ color: colors[i] }}
            />
            <span>{line.label}</span>
            <b>{format(value, unit)}</b>
          </li>
        );
      })}
    </ul>
  );
}
