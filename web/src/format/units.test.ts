import { describe, expect, it } from 'vitest';
import {
  age,
  bytes,
  bytesPerSecond,
  cores,
  count,
  duration,
  format,
  percent,
  plain,
  tickStep,
  UNKNOWN,
} from './units';

describe('unknown values', () => {
  it('are never shown as zero', () => {
    for (const text of [bytes, bytesPerSecond, cores, percent, count, duration, age]) {
      expect(text(null)).toBe(UNKNOWN);
      expect(text(Number.NaN)).toBe(UNKNOWN);
      expect(text(undefined)).toBe(UNKNOWN);
      expect(text(0)).not.toBe(UNKNOWN);
    }
    expect(format(null, 'none')).toBe(UNKNOWN);
  });
});

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1 MiB'],
    [412 * 1024 ** 2, '412 MiB'],
    [1.45 * 1024 ** 3, '1.45 GiB'],
    [-2048, '-2 KiB'],
  ])('%d is %s', (value, text) => expect(bytes(value)).toBe(text));

  it('a trickle is not a fraction of a byte', () => expect(bytesPerSecond(0.2)).toBe('0 B/s'));
});

describe('cores and ratios', () => {
  it.each([
    [0, '0'],
    [0.0004, '<0.001'],
    [0.042, '0.042'],
    [0.25, '0.25'],
    [1.5, '1.5'],
    [12.34, '12.3'],
  ])('%d cores are %s', (value, text) => expect(cores(value)).toBe(text));

  it.each([
    [0, '0 %'],
    [0.00001, '<0.01 %'],
    [0.0042, '0.42 %'],
    [0.042, '4.2 %'],
    [0.96, '96 %'],
    [1.5, '150 %'],
  ])('%d is %s', (value, text) => expect(percent(value)).toBe(text));
});

describe('times', () => {
  it.each([
    [0.0000012, '1.2 µs'],
    [0.0123, '12.3 ms'],
    [3.2, '3.2 s'],
    [250, '4m 10s'],
    [7500, '2h 5m'],
    [273600, '3d 4h'],
    [86400, '1d'],
    [-90, '-1m 30s'],
  ])('%d s is %s', (value, text) => expect(duration(value)).toBe(text));

  it('ages have two steps at most', () => {
    expect(age(0.4)).toBe('0s');
    expect(age(59.9)).toBe('59s');
    expect(age(86400 * 3 + 3600 * 4 + 59)).toBe('3d 4h');
  });
});

describe('counts and bare numbers', () => {
  it.each([
    [9999, '9,999'],
    [12_345, '12.3k'],
    [61_230_412, '61.2M'],
  ])('%d is %s', (value, text) => expect(count(value)).toBe(text));

  it('bare numbers keep what matters', () => {
    expect(plain(18.2191)).toBe('18.219');
    expect(plain(Number.POSITIVE_INFINITY)).toBe('+Inf');
    expect(plain(Number.NaN)).toBe('NaN');
    expect(plain(0.00001234)).toBe('1.234e-5');
  });
});

describe('steps of an axis', () => {
  it('are round in the unit shown', () => {
    expect(tickStep(16 * 1024 ** 3, 4, 'bytes')).toBe(4 * 1024 ** 3);
    expect(tickStep(1, 5, 'cores')).toBe(0.2);
    expect(tickStep(300, 5, 'seconds')).toBe(60);
    expect(tickStep(3, 6, 'count')).toBe(1);
    expect(tickStep(0, 5, 'none')).toBe(1);
  });

  it('are never more than asked for, for any range', () => {
    for (const unit of ['bytes', 'cores', 'seconds', 'ratio', 'none'] as const) {
      for (let range = 1e-6; range < 1e15; range *= 3.7) {
        const step = tickStep(range, 5, unit);
        expect(step).toBeGreaterThan(0);
        expect(range / step).toBeLessThanOrEqual(5.01);
      }
    }
  });
});
