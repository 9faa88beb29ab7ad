/** A titled box of a page; around a chart it says what is wrong and leads to Explore. */

import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useStatus } from '../shell/connection';
import type { Asked } from '../shell/data';
import { useHistory } from '../shell/data';
import { Open } from '../shell/icons';
import { shared } from '../shell/search';
import { useZone } from '../shell/settings';
import { useTime } from '../shell/time';
import { moment } from '../time/text';
import { Chart, type ChartProps, type Line } from './Chart';
import classes from './Panel.module.css';

export function Panel(props: {
  title: string;
  note?: ReactNode;
  action?: ReactNode;
  children: ReactNode;
  className?: string;
}) {
  return (
    <section className={`${classes.panel} ${props.className ?? ''}`} aria-label={props.title}>
      <header className={classes.head}>
        <h2>{props.title}</h2>
        {props.note && <span className={classes.note}>{props.note}</span>}
        <span className={classes.action}>{props.action}</span>
      </header>
      {props.children}
    </section>
  );
}

/** A panel with a chart over the page's window, of the answers in `asked`. */
export function ChartPanel(
  props: Omit<ChartProps, 'window' | 'sync' | 'history' | 'onZoom' | 'onZoomOut'> & {
    asked: Asked[];
    note?: ReactNode;
    className?: string;
  },
) {
  const { asked, note, className, ...chart } = props;
  const time = useTime();
  const history = useHistory();
  const error = asked.find((one) => one.error && one.error.kind !== 'unreachable')?.error ?? null;
  const waiting = asked.every((one) => one.waiting);
  const window = asked.find((one) => one.frame)?.frame?.window ?? time.window;
  const empty = chart.lines.length === 0;
  const emptyWord = useEmptyWord(chart.emptyWord);
  return (
    <Panel
      title={chart.title}
      note={note}
      className={className}
      action={<ExploreLink exprs={asked.map((one) => one.expr)} />}
    >
      {error && empty ? (
        <p className={classes.error} style={{ height: (chart.height ?? 180) + 20 }} role="alert">
          {error.message}
        </p>
      ) : waiting && empty ? (
        <div className={classes.wait} style={{ height: (chart.height ?? 180) + 20 }} aria-busy="true">
          <span className="visually-hidden">waiting for data</span>
        </div>
      ) : (
        <Chart
          {...chart}
          emptyWord={emptyWord}
          window={window}
          sync="page"
          history={history}
          onZoom={time.zoom}
          onZoomOut={time.zoomOut}
        />
      )}
    </Panel>
  );
}

/** Why a chart is empty: that nothing was stored then is a better reason than any of its own. */
function useEmptyWord(own: string | undefined): string {
  const time = useTime();
  const zone = useZone();
  const store = useStatus()?.store;
  if (store && store.oldest_ms === null) return 'nothing is stored yet';
  if (store?.oldest_ms != null && time.window.end * 1000 < store.oldest_ms) {
    return `nothing is stored before ${moment(store.oldest_ms, zone)}`;
  }
  return own ?? 'nothing was collected in this time';
}

function ExploreLink({ exprs }: { exprs: string[] }) {
  if (exprs.length === 0) return null;
  return (
    <Link
      to="/explore"
      search={
        ((old: Record<string, unknown>) => ({
          ...shared(old),
          ...Object.fromEntries(exprs.map((expr, i) => [`g${i}.expr`, expr])),
        })) as never
      }
      preload={false}
      className={classes.link}
      aria-label="Open in Explore"
      title="Open in Explore"
    >
      <Open size={14} />
    </Link>
  );
}

/** The series of an answer with exactly one, as a line. */
export function single(asked: Asked, label: string, extra: Partial<Line> = {}): Line[] {
  const series = asked.frame?.series[0];
  return series ? [{ key: label, label, values: series.values, ...extra }] : [];
}
