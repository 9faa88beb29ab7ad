/**
 * Whether the server answers, and what it says of itself. One question (`/status`) asked again and
 * again decides it for the whole page: the other questions stop while there is nobody to ask.
 */

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from 'react';
import { type ApiError, asApiError } from '../api/error';
import { getStatus, type Status } from '../api/vigil';

export type Connection =
  | { state: 'connecting'; status: null }
  | { state: 'ready'; status: Status }
  | { state: 'opening'; status: Status }
  /** `status` is the last one seen, if any. */
  | { state: 'lost'; status: Status | null; error: ApiError; since: number };

interface Known {
  connection: Connection;
  /** Milliseconds that the server's clock is ahead of this browser's. */
  offset: number;
  /** The server takes longer than it should. */
  slow: boolean;
  /** Asks at once, after another request failed. */
  check: () => void;
}

const Context = createContext<Known | null>(null);

const SLOW_MS = 2500;

export function ConnectionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const offset = useRef(0);
  const asked = useRef(0);
  const [slow, setSlow] = useState(false);
  const query = useQuery({
    queryKey: ['status'],
    queryFn: async ({ signal }) => {
      const before = Date.now();
      asked.current = before;
      const late = setTimeout(() => setSlow(true), SLOW_MS);
      try {
        const status = await getStatus(signal);
        offset.current = status.now_ms - (before + Date.now()) / 2;
        setSlow(Date.now() - before > SLOW_MS);
        return status;
      } finally {
        clearTimeout(late);
      }
    },
    retry: false,
    refetchOnWindowFocus: true,
    refetchInterval: (q) => (q.state.error ? 1500 : q.state.data?.opening ? 500 : 4000),
  });

  const lostSince = useRef<number | null>(null);
  if (query.error === null) lostSince.current = null;
  else lostSince.current ??= query.dataUpdatedAt || Date.now();

  const connection = useMemo<Connection>(() => {
    if (query.error) {
      const since = lostSince.current ?? Date.now();
      return { state: 'lost', status: query.data ?? null, error: asApiError(query.error), since };
    }
    if (!query.data) return { state: 'connecting', status: null };
    return { state: query.data.opening ? 'opening' : 'ready', status: query.data };
  }, [query.data, query.error]);

  // Back again, perhaps as another process with other data: ask everything anew.
  const ready = connection.state === 'ready';
  const wasReady = useRef(ready);
  useEffect(() => {
    if (ready && !wasReady.current) {
      void client.invalidateQueries({ predicate: (one) => one.queryKey[0] !== 'status' });
    }
    wasReady.current = ready;
  }, [ready, client]);

  const refetch = query.refetch;
  const known = useMemo<Known>(
    () => ({
      connection,
      offset: offset.current,
      slow,
      check: () => {
        if (Date.now() - asked.current > 500) void refetch({ cancelRefetch: false });
      },
    }),
    [connection, slow, refetch],
  );
  return <Context.Provider value={known}>{children}</Context.Provider>;
}

export function useConnection(): Known {
  const known = useContext(Context);
  if (!known) throw new Error('useConnection outside of ConnectionProvider');
  return known;
}

/** The newest status, also while the connection is lost. */
export function useStatus(): Status | null {
  return useConnection().connection.status;
}
