import { describe, expect, it } from 'vitest';
import {
  autoStep,
  DEFAULT_RANGE,
  formatDuration,
  PRESETS,
  parseDuration,
  parseMoment,
  type Range,
  rangeFromSearch,
  rangeToSearch,
  rateWindow,
  shift,
  widen,
  windowOf,
} from './range';

const NOW = Date.UTC(2026, 10, 21, 12, 0, 3);

describe('durations', () => {
  it.each([
    ['15m', 900],
    ['1h30m', 5400],
    ['500ms', 0.5],
    ['15d', 1_296_000],
    ['90', 90],
  ])('%s is %d s', (text, seconds) => expect(parseDuration(text)).toBe(seconds));

  it.each(['', 'x', '-5m', '5 m', '0s', 'm5', '1.5h'])('%j is none', (text) =>
    expect(parseDuration(text)).toBeNull());

  it('come back from their text', () => {
    for (const seconds of [1, 59, 60, 61, 3600, 5400, 90061, 1_296_000, 0.5]) {
      expect(parseDuration(formatDuration(seconds))).toBeCloseTo(seconds, 3);
    }
  });
});

describe('the range in the address', () => {
  it('comes back as it went in', () => {
    const ranges: Range[] = [
      DEFAULT_RANGE,
      { kind: 'between', from: NOW - 3_600_000, to: NOW },
      ...PRESETS.map((text): Range => ({ kind: 'last', seconds: parseDuration(text) ?? 0 })),
    ];
    for (const range of ranges) expect(rangeFromSearch(rangeToSearch(range))).toEqual(range);
  });

  it('the default stands for itself', () => expect(rangeToSearch(DEFAULT_RANGE)).toEqual({}));

  it.each([
    { range: 'forever' },
    { range: '1s' },
    { from: '2026-11-21T12:00:00Z', to: '2026-11-21T11:00:00Z' },
    { from: 'yesterday', to: 'today' },
    {},
  ])('%j falls back to the default', (search) => expect(rangeFromSearch(search)).toEqual(DEFAULT_RANGE));

  it('reads moments in seconds, milliseconds and ISO', () => {
    expect(parseMoment('1795348803')).toBe(1_795_348_803_000);
    expect(parseMoment(1_795_348_803_000)).toBe(1_795_348_803_000);
    expect(parseMoment('2026-11-21T12:00:03Z')).toBe(NOW);
    expect(parseMoment('soon')).toBeNull();
  });
});

describe('the window', () => {
  it('does not move within a step', () => {
    const range: Range = { kind: 'last', seconds: 900 };
    expect(windowOf(range, NOW, 5)).toEqual(windowOf(range, NOW + 1900, 5));
    expect(windowOf(range, NOW + 2000, 5).end - windowOf(range, NOW, 5).end).toBe(5);
  });

  it('lies on the step and covers the range', () => {
    for (const step of [1, 5, 7, 60, 3600]) {
      const w = windowOf({ kind: 'between', from: NOW - 7_777_000, to: NOW }, NOW, step);
      expect(w.start % step).toBe(0);
      expect(w.start * 1000).toBeLessThanOrEqual(NOW - 7_777_000);
      expect(w.end * 1000).toBeGreaterThanOrEqual(NOW);
    }
  });

  it('has no more points than asked for, and none nearer than the interval', () => {
    for (const text of PRESETS) {
      const seconds = parseDuration(text) ?? 0;
      const step = autoStep(seconds, 1, 360);
      expect(seconds / step).toBeLessThanOrEqual(360);
    }
    expect(autoStep(300, 1, 360)).toBe(1);
    expect(autoStep(300, 7, 360)).toBe(7);
    expect(autoStep(900, 1, 360)).toBe(5);
  });

  it('of rate has room for four samples', () => {
    expect(rateWindow(1, 1)).toBe('4s');
    expect(rateWindow(1, 60)).toBe('1m1s');
    expect(rateWindow(15, 5)).toBe('1m');
  });
});

describe('moving', () => {
  it('back and forth again is live again', () => {
    const live: Range = { kind: 'last', seconds: 900 };
    const back = shift(live, -1, NOW);
    expect(back).toEqual({ kind: 'between', from: NOW - 1_350_000, to: NOW - 450_000 });
    expect(shift(back, 1, NOW)).toEqual(live);
  });

  it('out never goes into the future', () => {
    const range: Range = { kind: 'between', from: NOW - 60_000, to: NOW };
    expect(widen(range, NOW)).toEqual({ kind: 'between', from: NOW - 120_000, to: NOW });
    expect(widen({ kind: 'last', seconds: 900 }, NOW)).toEqual({ kind: 'last', seconds: 1800 });
  });
});
