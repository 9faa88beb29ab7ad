/** Queries that were run in this browser, the newest first. */

import { recall, remember } from '../../shell/settings';

const KEY = 'kubevigil.queries';
const MOST = 60;

export function queryHistory(): string[] {
  try {
    const list: unknown = JSON.parse(recall(KEY) ?? '[]');
    return Array.isArray(list) ? list.filter((one): one is string => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

export function addToHistory(query: string): void {
  if (query.trim() === '') return;
  const rest = queryHistory().filter((one) => one !== query);
  remember(KEY, JSON.stringify([query, ...rest].slice(0, MOST)));
}
