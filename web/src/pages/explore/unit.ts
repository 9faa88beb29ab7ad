/** The unit of a query's answer, guessed from the names in it as Prometheus's naming rules allow. Pure. */

import type { Unit } from '../../format/units';

/** `none` where anything is in doubt: a wrong unit is worse than a bare number. */
export function guessUnit(expr: string): Unit {
  const names = [...expr.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*(?=\s*[{[]|\s*[),]|\s*$)/g)]
    .map(([name]) => name)
    .filter((name) => name.includes('_'));
  if (
    names.length === 0 ||
    /[-+*/^%](?![^{]*})/.test(expr.replace(/"[^"]*"/g, '""')) ||
    /\b(count|absent|changes|resets|group)\b/.test(expr)
  ) {
    return 'none';
  }
  const units = new Set(names.map((name) => unitOf(name)));
  if (units.size !== 1) return 'none';
  const [unit] = units;
  const rate = /\b(rate|irate)\s*\(/.test(expr);
  if (unit === 'bytes') return rate ? 'bytes/s' : 'bytes';
  // Seconds a second are a share; of CPU time they are cores.
  if (unit === 'seconds')
    return rate ? (names.every((name) => name.includes('cpu')) ? 'cores' : 'ratio') : 'seconds';
  return unit ?? 'none';
}

function unitOf(name: string): Unit {
  const bare = name.replace(/_(total|sum|bucket)$/, '');
  if (bare.endsWith('_bytes') || /_memory_(rss|cache|swap)$/.test(bare)) return 'bytes';
  if (bare.endsWith('_timestamp_seconds') || bare.endsWith('_time_seconds')) return 'none';
  if (bare.endsWith('_seconds')) return 'seconds';
  if (bare.endsWith('_ratio')) return 'ratio';
  return 'none';
}
