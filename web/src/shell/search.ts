/** The query part of an address to and from plain words: no JSON in it, so that a person can read and write it. */

export function parseSearch(text: string): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of new URLSearchParams(text)) {
    out[key] = value === 'true' ? true : value;
  }
  return out;
}

export function stringifySearch(search: Record<string, unknown>): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(search)) {
    if (value === undefined || value === null || value === '' || value === false) continue;
    parts.push(`${encode(key)}=${encode(String(value))}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** Percent-encodes what a query cannot hold, and leaves readable what it can. */
function encode(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replaceAll('%3A', ':')
    .replaceAll('%2C', ',')
    .replaceAll('%2F', '/');
}

/** Those parameters that mean the same on every page: they stay when another page is opened. */
export function shared(search: Record<string, unknown>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const key of ['range', 'from', 'to', 'paused']) {
    if (search[key] !== undefined) out[key] = search[key];
  }
  return out;
}

/** The address of a group's page; its path keeps its slashes. */
export function containerPath(id: string): string {
  return `/containers/${id.replace(/^\//, '').split('/').map(encodeURIComponent).join('/')}`;
}
