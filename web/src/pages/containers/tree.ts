/** The list of control groups as tree, as flat list, and as those that do the work. Pure. */

import type { Container, Kind } from '../../api/vigil';

/** Groups that a person runs: containers, services, scopes; and bare groups that belong to none of these. */
const OWN: ReadonlySet<Kind> = new Set(['container', 'service', 'scope']);

/**
 * Those that do the work, each once: containers, services and scopes but not what is inside of
 * them, and bare groups without children elsewhere. Slices, pods and the machine only add up others.
 */
export function workers(containers: Container[]): Container[] {
  const byId = new Map(containers.map((one) => [one.id, one]));
  const parents = new Set(containers.map((one) => one.parent));
  const inside = (one: Container): boolean => {
    for (let up = one.parent; up !== null; up = byId.get(up)?.parent ?? null) {
      const parent = byId.get(up);
      if (parent && OWN.has(parent.kind)) return true;
    }
    return false;
  };
  // A service may hold containers (docker in a service): those are workers of their own then.
  return containers.filter((one) => {
    if (one.kind === 'container') return true;
    if (OWN.has(one.kind)) return !inside(one);
    return one.kind === 'group' && !parents.has(one.id) && !inside(one);
  });
}

export interface Row {
  container: Container;
  level: number;
  children: number;
  open: boolean;
}

export interface Choice {
  view: 'tree' | 'flat';
  text: string;
  kinds: ReadonlySet<Kind> | null;
  /** Ends in groups that are over. */
  ended: boolean;
  compare: (a: Container, b: Container) => number;
  closed: ReadonlySet<string>;
}

/** Does every word of the filter stand somewhere in the container's names? */
export function matches(container: Container, text: string): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const hay = [
    container.id,
    container.title,
    container.name,
    container.image,
    container.kind,
    container.runtime ?? '',
    container.namespace,
    container.pod,
    container.container,
    ...Object.entries(container.labels).map(([key, value]) => `${key}=${value}`),
  ]
    .join('\n')
    .toLowerCase();
  return words.every((word) => hay.includes(word));
}

/** The rows to show, in order. In a tree the ancestors of each match stand above it. */
export function rowsOf(containers: Container[], choice: Choice): Row[] {
  const wanted = containers.filter(
    (one) =>
      matches(one, choice.text) &&
      (choice.kinds === null || choice.kinds.has(one.kind)) &&
      (choice.ended || one.ended_ms === null),
  );
  if (choice.view === 'flat') {
    return [...wanted]
      .sort(choice.compare)
      .map((container) => ({ container, level: 1, children: 0, open: false }));
  }
  const byId = new Map(containers.map((one) => [one.id, one]));
  const shown = new Set<string>();
  for (const one of wanted) {
    for (
      let at: Container | undefined = one;
      at && !shown.has(at.id);
      at = at.parent === null ? undefined : byId.get(at.parent)
    ) {
      shown.add(at.id);
    }
  }
  const children = new Map<string | null, Container[]>();
  for (const one of containers) {
    if (!shown.has(one.id)) continue;
    const parent = one.parent !== null && shown.has(one.parent) ? one.parent : null;
    const list = children.get(parent);
    if (list) list.push(one);
    else children.set(parent, [one]);
  }
  const rows: Row[] = [];
  const filtered = choice.text !== '' || choice.kinds !== null;
  const walk = (parent: string | null, level: number) => {
    for (const container of (children.get(parent) ?? []).sort(choice.compare)) {
      const count = children.get(container.id)?.length ?? 0;
      const open = filtered || !choice.closed.has(container.id);
      rows.push({ container, level, children: count, open });
      if (open && count > 0) walk(container.id, level + 1);
    }
  };
  walk(null, 1);
  return rows;
}

/** From the root down to the group's parent. */
export function ancestors(containers: Container[], id: string): Container[] {
  const byId = new Map(containers.map((one) => [one.id, one]));
  const out: Container[] = [];
  for (let up = byId.get(id)?.parent ?? null; up !== null; up = byId.get(up)?.parent ?? null) {
    const parent = byId.get(up);
    if (!parent || out.includes(parent)) break;
    out.unshift(parent);
  }
  return out;
}

/** Compares numbers with the unknown always last. */
export function byNumber(a: number | null, b: number | null, descending: boolean): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return descending ? b - a : a - b;
}
