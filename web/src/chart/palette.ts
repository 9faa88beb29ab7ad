/**
 * Colours of series: Okabe and Ito's palette, which the colour-blind can tell apart, darkened for
 * light paper and lightened for dark paper so that each line has a contrast of 3:1 or more. After
 * the eighth series colours come again with another dash, so that colour is never the only sign.
 */

export type Scheme = 'light' | 'dark';

export type Hue = 'blue' | 'orange' | 'green' | 'pink' | 'red' | 'sky' | 'olive' | 'gray';

const HUES: Record<Hue, Record<Scheme, string>> = {
  blue: { light: '#0072b2', dark: '#4aa3e6' },
  orange: { light: '#c77f00', dark: '#f2ae2e' },
  green: { light: '#00855f', dark: '#2bc295' },
  pink: { light: '#b8578d', dark: '#e294c0' },
  red: { light: '#cf4a00', dark: '#ff7d45' },
  sky: { light: '#2b93cf', dark: '#8fd3ff' },
  olive: { light: '#857600', dark: '#e3d85c' },
  gray: { light: '#68737f', dark: '#a3adb9' },
};

const ORDER: Hue[] = ['blue', 'orange', 'green', 'pink', 'red', 'sky', 'olive', 'gray'];

const DASHES: (number[] | undefined)[] = [undefined, [6, 4], [2, 3], [10, 3, 2, 3]];

export function hue(name: Hue, scheme: Scheme): string {
  return HUES[name][scheme];
}

/** Colour and dash of the n-th series of a chart. */
export function nth(index: number, scheme: Scheme): { color: string; dash: number[] | undefined } {
  const name = ORDER[index % ORDER.length] ?? 'blue';
  return { color: HUES[name][scheme], dash: DASHES[Math.floor(index / ORDER.length) % DASHES.length] };
}

/** `#rrggbb` with an opacity between 0 and 1. */
export function fade(color: string, opacity: number): string {
  return `${color}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, '0')}`;
}
