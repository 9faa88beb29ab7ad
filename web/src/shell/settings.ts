/** What a person sets once for this browser: colours and time zone. Everything else is in the URL. */

import { useComputedColorScheme } from '@mantine/core';
import { useSyncExternalStore } from 'react';
import type { Scheme } from '../chart/palette';
import type { Zone } from '../time/text';

/** The colours shown now: the system's, unless another choice was made. */
export function useScheme(): Scheme {
  return useComputedColorScheme('light', { getInitialValueInEffect: false });
}

const ZONE_KEY = 'kubevigil.zone';
const listeners = new Set<() => void>();

/** Storage may be forbidden in this browser: then a setting lasts as long as the page. */
export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Nothing to do: the page works without.
  }
}

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

let zone: Zone = recall(ZONE_KEY) === 'utc' ? 'utc' : 'local';

export function setZone(next: Zone): void {
  zone = next;
  remember(ZONE_KEY, next);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useZone(): Zone {
  return useSyncExternalStore(subscribe, () => zone);
}
