/** Keys that work on every page, and the list of all keys that `?` shows. */

import { useEffect } from 'react';

export interface Key {
  keys: string;
  does: string;
}

export const KEYS: { where: string; keys: Key[] }[] = [
  {
    where: 'Everywhere',
    keys: [
      { keys: 'g o', does: 'Overview' },
      { keys: 'g c', does: 'Containers' },
      { keys: 'g e', does: 'Explore' },
      { keys: 'g d', does: 'Store' },
      { keys: 'g s', does: 'Status' },
      { keys: 'p', does: 'pause or go on' },
      { keys: '[ ]', does: 'half a range back, forth' },
      { keys: '-', does: 'zoom out' },
      { keys: '/', does: 'to the filter or the query' },
      { keys: '?', does: 'this list' },
    ],
  },
  {
    where: 'On a chart',
    keys: [
      { keys: '← →', does: 'walk over the points (Shift: by ten)' },
      { keys: '+', does: 'zoom in around the crosshair' },
      { keys: '-', does: 'zoom out' },
      { keys: 'Esc', does: 'put the crosshair away' },
    ],
  },
  {
    where: 'In the list of containers',
    keys: [
      { keys: 'j k ↑ ↓', does: 'next, previous row' },
      { keys: 'Enter', does: 'open' },
      { keys: '← →', does: 'close, open a branch' },
      { keys: 't', does: 'tree or flat' },
    ],
  },
  {
    where: 'In the query editor',
    keys: [
      { keys: 'Enter', does: 'run' },
      { keys: 'Shift Enter', does: 'new line' },
      { keys: 'Ctrl Space', does: 'complete' },
    ],
  },
];

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  );
}

/** Calls the action of a key, or of two pressed one after the other (`g o`), unless someone is typing. */
export function useKeys(actions: Record<string, () => void>): void {
  useEffect(() => {
    let first = '';
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target))
        return;
      const word = first === '' ? event.key : `${first} ${event.key}`;
      clearTimeout(timer);
      first = '';
      const action = actions[word] ?? actions[event.key];
      if (action) {
        event.preventDefault();
        action();
      } else if (Object.keys(actions).some((key) => key.startsWith(`${event.key} `))) {
        first = event.key;
        timer = setTimeout(() => {
          first = '';
        }, 900);
      }
    };
    document.addEventListener('keydown', onKey);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('keydown', onKey);
    };
  }, [actions]);
}
