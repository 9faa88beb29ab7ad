/** Hooks that ask the server in step with the page's time. */

import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useRef } from 'react';
import { type ApiError, asApiError } from '../api/error';
import { appendFrame, type Frame, queryRange } from '../api/prometheus';
import { type Containers, getContainers } from '../api/vigil';
import type { History } from '../chart/gaps';
import { autoStep, rangeSeconds, rateWindow, type Window, windowOf } from '../time/range';
import { useConnection, useStatus } from './connection';
import { useTime } from './time';

export interface Asked {
  frame: Frame | null;
  error: ApiError | null;
  /** No answer yet for this question. */
  waiting: boolean;
  expr: string;
}

/** Newest points are asked for again: their samples may have been on the way. */
const OVERLAP = 3;

/** Values of `expr(rate window)` over the page's window. While live only the newest part is asked for. */
export function useRange(expr: (rate: string) => string, options: { points?: number } = {}): Asked {
  const time = useTime();
  const client = useQueryClient();
  const { connection, check } = useConnection();
  const step =
    options.points === undefined
      ? time.window.step
      : autoStep(rangeSeconds(time.range), time.interval, options.points);
  const text = expr(rateWindow(time.interval, step));
  const window = useRef<Window>(time.window);
  window.current =
    step === time.window.step ? time.window : windowOf(time.range, time.window.end * 1000, step);
  const place = time.range.kind === 'between' ? `${time.range.from}-${time.range.to}` : time.range.seconds;
  const key = ['range', text, place, step] as const;

  const query = useQuery({
    queryKey: key,
    enabled: connection.state === 'ready',
    queryFn: async ({ signal }) => {
      const next = window.current;
      const old = client.getQueryData<Frame>(key);
      const tailFrom = old ? old.window.end - OVERLAP * next.step : Number.NEGATIVE_INFINITY;
      if (!old || tailFrom <= next.start) return queryRange(text, next, { signal });
      const tail = await queryRange(text, { ...next, start: Math.min(tailFrom, next.end) }, { signal });
      return appendFrame(old, tail, next);
    },
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    retry: false,
  });

  const end = window.current.end;
  const asked = useRef(end);
  useEffect(() => {
    if (!time.live || asked.current === end) return;
    asked.current = end;
    // Never one on top of another: a slow server gets the next question after its answer.
    void query.refetch({ cancelRefetch: false });
  }, [time.live, end, query.refetch]);

  const error = query.error ? asApiError(query.error) : null;
  useEffect(() => {
    if (error?.kind === 'unreachable' || error?.kind === 'unauthorized' || error?.kind === 'opening') check();
  }, [error?.kind, check]);

  return { frame: query.data ?? null, error, waiting: query.isPending, expr: text };
}

/** The control groups of the newest round, again with each beat. */
export function useContainers(): { data: Containers | null; error: ApiError | null } {
  const time = useTime();
  const { connection, check } = useConnection();
  const query = useQuery({
    queryKey: ['containers'],
    queryFn: ({ signal }) => getContainers(signal),
    enabled: connection.state === 'ready',
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    refetchInterval: time.paused ? false : Math.max(1000, time.interval * 1000),
    placeholderData: keepPreviousData,
  });
  const error = query.error ? asApiError(query.error) : null;
  useEffect(() => {
    if (error?.kind === 'unreachable' || error?.kind === 'unauthorized') check();
  }, [error?.kind, check]);
  return { data: query.data ?? null, error };
}

/** What is known of the store's past, to name the reason of a gap. */
export function useHistory(): History {
  const status = useStatus();
  const oldest = status?.store?.oldest_ms ?? null;
  const started = status?.started_ms ?? null;
  const boot = status?.boot_ms ?? null;
  const retention = status?.store?.retention_ms ?? null;
  return useMemo(
    () => ({ oldestMs: oldest, startedMs: started, bootMs: boot, retentionMs: retention }),
    [oldest, started, boot, retention],
  );
}
