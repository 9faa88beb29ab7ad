/**
 * The time of a page: the range from the URL, the window all charts share, and the beat at which
 * live pages ask again. One window for all, so that one crosshair means one moment everywhere.
 */

import { useNavigate, useSearch } from '@tanstack/react-router';
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import {
  autoStep,
  type Range,
  rangeFromSearch,
  rangeSeconds,
  rangeToSearch,
  rateWindow,
  type Window,
  windowOf,
} from '../time/range';
import { useConnection, useStatus } from './connection';

/** Points across a chart: enough for its pixels, few enough for a question every second. */
const POINTS = 360;

export interface Time {
  range: Range;
  /** The shared window; moves on with each beat while live. */
  window: Window;
  /** Window of `rate()` for this step, such as `4s`. */
  rate: string;
  /** Collection interval in seconds. */
  interval: number;
  /** The range follows the clock and is not paused. */
  live: boolean;
  paused: boolean;
  /** Counts the beats. */
  beat: number;
  setRange: (range: Range) => void;
  /** Shows a span of seconds. */
  zoom: (from: number, to: number) => void;
  /** Undoes the last zoom. */
  zoomOut: () => void;
  setPaused: (paused: boolean) => void;
  /** The server's time now, in ms. */
  now: () => number;
}

const Context = createContext<Time | null>(null);

export function TimeProvider({ children }: { children: ReactNode }) {
  const search = useSearch({ strict: false }) as {
    range?: string;
    from?: string;
    to?: string;
    paused?: boolean;
  };
  const navigate = useNavigate();
  const { connection, offset } = useConnection();
  const status = useStatus();
  const interval = (status?.interval_ms ?? 1000) / 1000;
  const range = useMemo(
    () => rangeFromSearch({ range: search.range, from: search.from, to: search.to }),
    [search.range, search.from, search.to],
  );
  const paused = search.paused === true;
  const step = autoStep(rangeSeconds(range), interval, POINTS);
  const now = useCallback(() => Date.now() + offset, [offset]);

  const live = range.kind === 'last' && !paused && connection.state === 'ready';
  const [beat, setBeat] = useState(0);
  useEffect(() => {
    if (!live) return;
    let timer: ReturnType<typeof setTimeout>;
    const period = Math.max(step, interval) * 1000;
    const next = () => {
      // Shortly after each step, when the samples of that moment are in the store.
      const wait = period - ((Date.now() + offset) % period) + Math.min(250, period / 4);
      timer = setTimeout(() => {
        if (!document.hidden) setBeat((n) => n + 1);
        next();
      }, wait);
    };
    next();
    const seen = () => {
      if (!document.hidden) setBeat((n) => n + 1);
    };
    document.addEventListener('visibilitychange', seen);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [live, step, interval, offset]);

  // A paused or lost page keeps the window of its last beat.
  const held = useRef<Window | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the beat is what moves the window
  const window = useMemo(() => {
    const next = windowOf(range, now(), step);
    const same =
      held.current?.step === step && held.current.end - held.current.start === next.end - next.start;
    if (range.kind === 'last' && !live && same && held.current) return held.current;
    held.current = next;
    return next;
  }, [range, step, beat, live, now]);

  const before = useRef<Range[]>([]);
  const setRange = useCallback(
    (next: Range) => {
      void navigate({
        to: '.',
        search: (old: Record<string, unknown>) => {
          const { range: _r, from: _f, to: _t, paused: _p, ...rest } = old;
          return { ...rest, ...rangeToSearch(next) };
        },
      } as never);
    },
    [navigate],
  );
  const time = useMemo<Time>(
    () => ({
      range,
      window,
      rate: rateWindow(interval, step),
      interval,
      live,
      paused,
      beat,
      now,
      setRange: (next) => {
        before.current = [];
        setRange(next);
      },
      zoom: (from, to) => {
        const least = Math.max(10, interval * 10);
        const middle = (from + to) / 2;
        const half = Math.max(to - from, least) / 2;
        before.current.push(range);
        setRange({ kind: 'between', from: (middle - half) * 1000, to: (middle + half) * 1000 });
      },
      zoomOut: () => {
        const last = before.current.pop();
        if (last) setRange(last);
        else if (range.kind === 'between') setRange({ kind: 'last', seconds: 900 });
      },
      setPaused: (next) => {
        void navigate({
          to: '.',
          replace: true,
          search: (old: Record<string, unknown>) => {
            const { paused: _p, ...rest } = old;
            return next ? { ...rest, paused: true } : rest;
          },
        } as never);
      },
    }),
    [range, window, interval, step, live, paused, beat, now, setRange, navigate],
  );
  return <Context.Provider value={time}>{children}</Context.Provider>;
}

export function useTime(): Time {
  const time = useContext(Context);
  if (!time) throw new Error('useTime outside of TimeProvider');
  return time;
}
