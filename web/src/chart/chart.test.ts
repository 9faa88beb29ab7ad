import { describe, expect, it } from 'vitest';
import { timeStep, timeTicks, upperEnd, valueTicks } from './axis';
import { findGaps, type History, reasonOf } from './gaps';
import { hue, nth } from './palette';
import { lastValue, lonely, stack, summary } from './stack';

const window = { start: 1000, end: 1090, step: 10 };

describe('gaps', () => {
  it('are where no series has a value', () => {
    const a = [1, 1, null, null, null, 1, 1, 1, 1, 1];
    const b = [1, null, null, null, 1, 1, 1, 1, 1, 1];
    expect(findGaps([a, b], window)).toEqual([{ from: 1020, to: 1030 }]);
  });

  it('a single hole is a break in the line, no gap to speak of', () => {
    expect(findGaps([[1, 1, null, 1, 1, 1, 1, 1, 1, 1]], window)).toEqual([]);
  });

  it('zero is a value', () => expect(findGaps([new Array(10).fill(0)], window)).toEqual([]));

  it('the newest points may still be on their way', () => {
    expect(findGaps([[1, 1, 1, 1, 1, 1, 1, 1, null, null]], window)).toEqual([]);
    expect(findGaps([[1, 1, 1, 1, null, null, null, null, null, null]], window)).toEqual([
      { from: 1040, to: 1090 },
    ]);
  });

  it('a chart without any value is one gap', () => {
    expect(findGaps([new Array(10).fill(null)], window)).toEqual([{ from: 1000, to: 1090 }]);
  });

  const history: History = {
    oldestMs: 500_000_000,
    startedMs: 900_000_000,
    bootMs: 100_000_000,
    retentionMs: 86_400_000_000,
  };
  const now = 1_000_000_000;
  it.each([
    [{ from: 900_000, to: 950_000 }, 'not collected'],
    [{ from: 850_000, to: 899_990 }, 'Kubevigil was not running'],
    [{ from: 400_000, to: 499_000 }, 'before collection began'],
    [{ from: 50_000, to: 99_000 }, 'before this machine was started'],
    [{ from: 1_100_000, to: 1_200_000 }, 'in the future'],
  ])('%j has the reason "%s"', (gap, reason) => expect(reasonOf(gap, history, now)).toBe(reason));

  it('a gap around the start of the machine is its', () => {
    const booted = { ...history, bootMs: 890_000_000 };
    expect(reasonOf({ from: 850_000, to: 899_000 }, booted, now)).toContain('machine was off');
  });

  it('what is older than the retention says so', () => {
    const short = { ...history, oldestMs: 900_000_000, bootMs: 0, retentionMs: 100_000_000 };
    expect(reasonOf({ from: 700_000, to: 800_000 }, short, now)).toBe('older than what is kept');
  });
});

describe('stacks', () => {
  it('add up, keep gaps, and take a missing part as nothing', () => {
    expect(
      stack([
        [1, null, null, 2],
        [1, null, 3, 2],
      ]),
    ).toEqual([
      [1, null, 0, 2],
      [2, null, 3, 4],
    ]);
    expect(stack([])).toEqual([]);
  });

  it('summaries leave nulls out', () => {
    expect(summary([null, 1, 3, null])).toEqual({ min: 1, max: 3, mean: 2, last: 3 });
    expect(summary([null])).toBeNull();
  });

  it('an old value does not pass for the newest', () => {
    expect(lastValue([5, null, null, null], 2)).toBeNull();
    expect(lastValue([5, null, null, null])).toBe(5);
  });

  it('lonely points are found', () => expect(lonely([1, null, 2, 3, null, 0])).toEqual([0, 5]));
});

describe('axes', () => {
  it('ticks are round and inside', () => {
    expect(valueTicks(0, 1.08, 180, 'cores')).toEqual([0, 0.25, 0.5, 0.75, 1]);
    for (const max of [0.001, 0.3, 7, 1e6, 3e9]) {
      for (const t of valueTicks(0, max, 180, 'bytes')) expect(t).toBeLessThanOrEqual(max);
    }
  });

  it('an idle chart still has a height', () => expect(upperEnd(0, 'ratio')).toBeGreaterThan(0));

  it('time ticks lie on local hours', () => {
    const step = timeStep(86_400, 700);
    expect(step).toBe(14_400);
    const berlin = 3600;
    for (const t of timeTicks(1_795_000_000, 1_795_086_400, step, berlin))
      expect((t + berlin) % step).toBe(0);
  });
});

/** Contrast of two colours as WCAG has it. */
function contrast(a: string, b: string): number {
  const light = (color: string) => {
    const [r = 0, g = 0, b2 = 0] = [1, 3, 5].map((i) => {
      const c = Number.parseInt(color.slice(i, i + 2), 16) / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b2;
  };
  const [x, y] = [light(a), light(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

describe('colours', () => {
  it('stand out from the paper in both schemes', () => {
    for (const name of ['blue', 'orange', 'green', 'pink', 'red', 'sky', 'olive', 'gray'] as const) {
      expect(contrast(hue(name, 'light'), '#ffffff')).toBeGreaterThanOrEqual(3);
      expect(contrast(hue(name, 'dark'), '#141b22')).toBeGreaterThanOrEqual(3);
    }
  });

  it('no two of the first 32 series look alike', () => {
    const looks = new Set(Array.from({ length: 32 }, (_, i) => JSON.stringify(nth(i, 'light'))));
    expect(looks.size).toBe(32);
  });
});
