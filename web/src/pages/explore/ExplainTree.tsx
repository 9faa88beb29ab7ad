/** Where the time of a query went: its expressions, and below each what it worked on. */

import type { Explained } from '../../api/prometheus';
import { count, duration, percent } from '../../format/units';
import styles from './Explain.module.css';
import classes from './Explore.module.css';

interface Row {
  key: string;
  depth: number;
  expr: string;
  seconds: number;
  /** Without what it worked on. */
  own: number;
  series: number;
  samples: number;
}

export function ExplainTree({ root, waiting }: { root: Explained | null; waiting: boolean }) {
  if (!root)
    return <div className={classes.blank}>{waiting ? <span role="status">asking…</span> : null}</div>;
  const rows = flattened(root);
  const slowest = Math.max(...rows.map((row) => row.own), Number.MIN_VALUE);
  return (
    <div className={styles.scroll} role="region" aria-label="Explain" tabIndex={0}>
      <table className={styles.tree}>
        <thead>
          <tr>
            <th scope="col">Expression, and what it works on</th>
            <th scope="col" data-numeric>
              Time
            </th>
            <th scope="col" data-numeric>
              Its own
            </th>
            <th scope="col">
              <span className="visually-hidden">share of the slowest</span>
            </th>
            <th scope="col" data-numeric>
              Series
            </th>
            <th scope="col" data-numeric>
              Samples read
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key}>
              <th scope="row" style={{ paddingInlineStart: row.depth * 18 }}>
                <code title={row.expr}>{row.depth === 0 ? 'the query' : row.expr}</code>
              </th>
              <td data-numeric>{duration(row.seconds)}</td>
              <td data-numeric>{duration(row.own)}</td>
              <td>
                <span
                  className={styles.share}
                  title={`${percent(root.seconds > 0 ? row.own / root.seconds : null)} of the whole`}
                >
                  <i style={{ width: `${(row.own / slowest) * 100}%` }} />
                </span>
              </td>
              <td data-numeric>{count(row.series)}</td>
              <td data-numeric>{row.samples === 0 ? '' : count(row.samples)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The tree, parents first. */
export function flattened(root: Explained): Row[] {
  const rows: Row[] = [];
  const visit = (node: Explained, depth: number, key: string) => {
    const below = node.children.reduce((sum, child) => sum + child.seconds, 0);
    const { expr, seconds, series, samples } = node;
    rows.push({ key, depth, expr, seconds, own: Math.max(0, seconds - below), series, samples });
    node.children.forEach((child, i) => {
      visit(child, depth + 1, `${key}.${i}`);
    });
  };
  visit(root, 0, '0');
  return rows;
}
