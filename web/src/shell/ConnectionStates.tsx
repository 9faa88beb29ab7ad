/** What the page says while the server cannot answer: opening, refused, unreachable. */

import { type ReactNode, useEffect, useState } from 'react';
import { age, count } from '../format/units';
import { clock } from '../time/text';
import classes from './ConnectionStates.module.css';
import { useConnection } from './connection';
import { Warning } from './icons';
import { useZone } from './settings';
import { Word } from './Word';

/** Shows the page once the server can answer; a page that had data keeps it when the server goes away. */
export function Gate({ children }: { children: ReactNode }) {
  const { connection } = useConnection();
  switch (connection.state) {
    case 'connecting':
      return <Connecting />;
    case 'opening':
      return <Opening opening={connection.status.opening ?? { what: 'opening', done: 0, total: 0 }} />;
    case 'lost':
      if (connection.error.kind === 'unauthorized') return <Unauthorized />;
      if (connection.error.kind === 'opening')
        return <Opening opening={{ what: 'starting', done: 0, total: 0 }} />;
      if (connection.status) return <div className={classes.stale}>{children}</div>;
      return (
        <Word
          title={
            connection.error.kind === 'unreachable' ? 'Kubevigil does not answer' : 'Kubevigil cannot answer'
          }
          tone="bad"
        >
          {connection.error.kind === 'unreachable' ? (
            <>
              Nothing listens at <code>{location.host}</code>, or the way there is cut. Start it with{' '}
              <code>kubevigil</code>; this page tries again by itself.
            </>
          ) : (
            <>{connection.error.message}. This page tries again by itself.</>
          )}
        </Word>
      );
    case 'ready':
      return children;
  }
}

function Connecting() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 1500);
    return () => clearTimeout(timer);
  }, []);
  return late ? (
    <Word title="Waiting for the first answer">The server at {location.host} takes its time.</Word>
  ) : null;
}

function Unauthorized() {
  return (
    <Word title="Not signed in" tone="warn">
      This server asks for a name and a password (its <code>--web.config.file</code>). Reload the page to be
      asked by the browser; whoever runs Kubevigil can tell you the password.
    </Word>
  );
}

function Opening({ opening }: { opening: { what: string; done: number; total: number } }) {
  const known = opening.total > 0;
  const share = known ? Math.min(1, opening.done / opening.total) : 0;
  return (
    <Word title="Opening the data folder">
      <div className={classes.opening}>
        <progress max={1} value={known ? share : undefined} aria-label={opening.what} />
        <p>
          {opening.what}
          {known && `: ${count(opening.done)} of ${count(opening.total)}`}
        </p>
        <p>Collection goes on once this is done; the page opens by itself.</p>
      </div>
    </Word>
  );
}

/** The line below the header while the server is away. What stands on the page is the last that it said. */
export function ConnectionBanner() {
  const { connection } = useConnection();
  const zone = useZone();
  const [now, setNow] = useState(Date.now());
  const lost =
    connection.state === 'lost' && connection.status !== null && connection.error.kind !== 'unauthorized';
  useEffect(() => {
    if (!lost) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [lost]);
  if (!lost || connection.state !== 'lost') return null;
  const away = age(Math.max(0, (now - connection.since) / 1000));
  return (
    <div className={classes.banner} role="alert">
      <Warning />
      <p>
        <strong>
          {connection.error.kind === 'unreachable'
            ? `Kubevigil at ${location.host} does not answer`
            : `Kubevigil cannot answer: ${connection.error.message}`}
        </strong>{' '}
        What you see is from {clock(connection.since, zone)}, {away} ago. Trying again by itself.
      </p>
    </div>
  );
}
