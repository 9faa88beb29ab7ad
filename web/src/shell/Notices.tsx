/** What the server wants people to know: what root would add, clock steps, quarantine. */

import { useState } from 'react';
import type { Notice } from '../api/vigil';
import { Cross, Info, Warning } from './icons';
import classes from './Notices.module.css';
import { recall, remember } from './settings';

const KEY = 'kubevigil.notices';

/** Notices that were put away in this browser come again when their words change. */
function putAway(): string[] {
  try {
    const list: unknown = JSON.parse(recall(KEY) ?? '[]');
    return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

export function Notices({ notices }: { notices: Notice[] }) {
  const [away, setAway] = useState(putAway);
  const shown = notices.filter((one) => one.severity !== 'info' && !away.includes(one.what));
  if (shown.length === 0) return null;
  return (
    <ul className={classes.notices}>
      {shown.map((one) => (
        <li key={one.what} data-tone={one.severity}>
          <NoticeText notice={one} />
          <button
            type="button"
            aria-label={`Put away: ${one.what}`}
            title="Put away (Status keeps it)"
            onClick={() => {
              const next = [...away.slice(-50), one.what];
              remember(KEY, JSON.stringify(next));
              setAway(next);
            }}
          >
            <Cross size={12} />
          </button>
        </li>
      ))}
    </ul>
  );
}

export function NoticeText({ notice }: { notice: Notice }) {
  return (
    <>
      <span className={classes.sign}>{notice.severity === 'info' ? <Info /> : <Warning />}</span>
      <p>
        <span className="visually-hidden">{notice.severity}: </span>
        <strong>{notice.what}</strong> {notice.why}
        {notice.remedy && <span className={classes.remedy}>{notice.remedy}</span>}
      </p>
    </>
  );
}
