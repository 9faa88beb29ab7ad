import { describe, expect, it } from 'vitest';
import { errorOfAnswer, positionOf } from './error';
import { appendFrame, type Frame, gridTimes, onGrid, seriesName } from './prometheus';

describe('errors', () => {
  it('name the place in the query', () => {
    expect(positionOf('invalid parameter "query": 2:14: parse error: unexpected ")"')).toEqual({
      line: 2,
      column: 14,
    });
    expect(positionOf('1:1: parse error: no expression found in input')).toEqual({ line: 1, column: 1 });
    expect(positionOf('query timed out at 10:15')).toBeNull();
  });

  it.each([
    [400, '{"errorType":"bad_data","error":"x"}', '/api/v1/query', 'query'],
    [422, '{"errorType":"execution","error":"x"}', '/api/v1/query_range', 'query'],
    [503, '{"errorType":"timeout","error":"x"}', '/api/v1/query', 'timeout'],
    [503, '{"errorType":"unavailable","error":"x"}', '/api/v1/query', 'opening'],
    [503, '{"errorType":"too_many_requests","error":"x"}', '/api/v1/query', 'overload'],
    [429, 'slow down', '/api/v1/query', 'overload'],
    [401, 'Unauthorized', '/api/vigil/v1/status', 'unauthorized'],
    [500, '<html>', '/api/vigil/v1/status', 'server'],
  ])('%d %s of %s is %s', (status, body, path, kind) => {
    const error = errorOfAnswer(status, body, path);
    expect(error.kind).toBe(kind);
    expect(error.message).not.toContain('<html>');
    expect(error.message).not.toBe('');
  });
});

describe('answers on the grid', () => {
  const window = { start: 100, end: 150, step: 10 };

  it('keep gaps, and take what cannot be drawn for one', () => {
    expect(
      onGrid(
        [
          [100, '1'],
          [120, '0'],
          [130, 'NaN'],
          [140, '+Inf'],
          [150.0004, '5'],
        ],
        window,
      ),
    ).toEqual([1, null, 0, null, null, 5]);
    expect(gridTimes(window)).toEqual([100, 110, 120, 130, 140, 150]);
  });

  it('points outside are left out', () =>
    expect(onGrid([[90, '1']], window)).toEqual(new Array(6).fill(null)));

  const frame = (start: number, end: number, series: [string, (number | null)[]][]): Frame => ({
    window: { start, end, step: 10 },
    series: series.map(([n, values]) => ({ labels: { n }, values })),
    histograms: 0,
    warnings: [],
    infos: [],
    stats: { seconds: null, samples: null, peakSamples: null },
    explain: null,
  });

  it('a tail moves the window on, and equals asking for all of it', () => {
    const old = frame(100, 150, [
      ['a', [1, 2, 3, 4, 5, 6]],
      ['gone', [1, 1, null, null, null, null]],
    ]);
    const tail = frame(140, 170, [
      ['a', [50, 60, 70, 80]],
      ['new', [null, null, 7, 8]],
    ]);
    const joined = appendFrame(old, tail, { start: 120, end: 170, step: 10 });
    expect(joined.window).toEqual({ start: 120, end: 170, step: 10 });
    expect(joined.series).toEqual([
      { labels: { n: 'a' }, values: [3, 4, 50, 60, 70, 80] },
      { labels: { n: 'new' }, values: [null, null, null, null, 7, 8] },
    ]);
  });

  it('what ended before the tail has a gap there and is not drawn on', () => {
    const joined = appendFrame(frame(100, 150, [['a', [1, 1, 1, 1, 1, 1]]]), frame(140, 160, []), {
      start: 110,
      end: 160,
      step: 10,
    });
    expect(joined.series[0]?.values).toEqual([1, 1, 1, null, null, null]);
  });
});

it('series are named as in the text format', () => {
  expect(seriesName({ __name__: 'up', b: '2', a: 'x"y' })).toBe('up{a="x\\"y", b="2"}');
  expect(seriesName({ __name__: 'up' })).toBe('up');
  expect(seriesName({})).toBe('{}');
});
