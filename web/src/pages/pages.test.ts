import { describe, expect, it } from 'vitest';
import type { Container, Kind } from '../api/vigil';
import * as container from '../query/container';
import { quote } from '../query/container';
import { containerPath, parseSearch, shared, stringifySearch } from '../shell/search';
import { ancestors, byNumber, type Choice, rowsOf, workers } from './containers/tree';
import { flattened } from './explore/ExplainTree';
import { panelsFromSearch, panelsToSearch, pointAt } from './explore/panels';
import { guessUnit } from './explore/unit';
import { combine } from './overview/breakdown';
import { ofMetric, ofPair, ofTarget } from './store/matchers';

describe('the address', () => {
  it('comes back as it went in', () => {
    const search = {
      'g0.expr': 'rate(x{a="b c",d=~"e|f"}[5m]) + 1 > 2',
      range: '1h',
      paused: true,
      sort: '-cpu',
    };
    expect(parseSearch(stringifySearch(search))).toEqual(search);
  });

  it('keeps the time from page to page and nothing else', () => {
    expect(shared({ range: '1h', sort: '-cpu', 'g0.expr': 'up', paused: true })).toEqual({
      range: '1h',
      paused: true,
    });
  });

  it('group paths keep their slashes and nothing that breaks an address', () => {
    expect(containerPath('/system.slice/a\\x2db c.service')).toBe(
      '/containers/system.slice/a%5Cx2db%20c.service',
    );
  });
});

describe('panels in the address', () => {
  it('come back as they went in', () => {
    const panels = [
      { expr: 'up', tab: 'table', mode: 'lines' },
      { expr: '', tab: 'graph', mode: 'lines' },
      { expr: 'sum by (x) (rate(y[1m]))', tab: 'graph', mode: 'stacked' },
    ] as const;
    const search = panelsToSearch([...panels], { range: '1h', 'g7.expr': 'old' });
    expect(search.range).toBe('1h');
    expect(search['g7.expr']).toBeUndefined();
    expect(panelsFromSearch(parseSearch(stringifySearch(search)))).toEqual(panels);
  });

  it('links of Prometheus open', () => {
    expect(panelsFromSearch(parseSearch('?g0.expr=up+%3D%3D+0&g0.tab=1'))).toEqual([
      { expr: 'up == 0', tab: 'table', mode: 'lines' },
    ]);
    expect(panelsFromSearch(parseSearch('?g0.expr=up&g0.tab=explain'))[0]?.tab).toBe('explain');
    expect(panelsFromSearch(parseSearch('?g0.expr=up&g0.display_mode=stacked'))[0]?.mode).toBe('stacked');
  });

  it('nothing is one empty panel', () => expect(panelsFromSearch({})).toHaveLength(1));

  it('an explained query is told parents first, each with its own time', () => {
    const leaf = { expr: 'x', seconds: 0.3, series: 4, samples: 40, children: [] };
    const rate = { expr: 'rate', seconds: 0.5, series: 4, samples: 40, children: [leaf] };
    const rows = flattened({ expr: 'q', seconds: 0.6, series: 1, samples: 40, children: [rate, leaf] });
    expect(rows.map((row) => [row.depth, row.expr])).toEqual([
      [0, 'q'],
      [1, 'rate'],
      [2, 'x'],
      [1, 'x'],
    ]);
    expect(rows.map((row) => Number(row.own.toFixed(3)))).toEqual([0, 0.2, 0.3, 0.3]);
    expect(new Set(rows.map((row) => row.key)).size).toBe(4);
  });

  it('errors point at their place', () => {
    expect(pointAt('a\n  rate(x', { line: 2, column: 8 })).toEqual({ line: '  rate(x', caret: '       ^' });
    expect(pointAt('a', { line: 9, column: 1 })).toBeNull();
  });
});

describe('units of queries', () => {
  it.each([
    ['node_memory_MemFree_bytes', 'bytes'],
    ['rate(node_network_receive_bytes_total{job="node"}[1m])', 'bytes/s'],
    ['sum by (mode) (rate(node_cpu_seconds_total[5m]))', 'cores'],
    ['rate(node_disk_io_time_seconds_total[5m])', 'none'],
    ['up', 'none'],
    ['count(node_memory_MemFree_bytes)', 'none'],
    ['node_memory_MemFree_bytes / node_memory_MemTotal_bytes', 'none'],
    ['sum(container_memory_working_set_bytes{id=~"/a-b.*"})', 'bytes'],
  ])('%s: %s', (expr, unit) => expect(guessUnit(expr)).toBe(unit));
});

it('strings in queries are quoted', () => {
  expect(quote('/a\\x2db"c')).toBe('"/a\\\\x2db\\"c"');
  expect(container.cpu('/a"b', 'user', '4s')).toContain('id="/a\\"b"');
});

it('a column from several has a gap where one has', () => {
  expect(
    combine(
      [
        [1, null, 3],
        [1, 1, 1],
      ],
      (v) => v.reduce((a, b) => a + b, 0),
    ),
  ).toEqual([2, null, 4]);
});

function group(id: string, kind: Kind, more: Partial<Container> = {}): Container {
  const up = id.slice(0, id.lastIndexOf('/'));
  return {
    id,
    parent: id === '/' ? null : up === '' ? '/' : up,
    kind,
    runtime: null,
    title: id.split('/').at(-1) ?? id,
    name: '',
    image: '',
    labels: {},
    namespace: '',
    pod: '',
    container: '',
    started_ms: null,
    ended_ms: null,
    processes: null,
    threads: null,
    cpu: {
      usage_cores: null,
      user_cores: null,
      system_cores: null,
      limit_cores: null,
      throttled_ratio: null,
      throttled_seconds_total: null,
    },
    memory: {
      working_set_bytes: null,
      usage_bytes: null,
      rss_bytes: null,
      cache_bytes: null,
      swap_bytes: null,
      limit_bytes: null,
      oom_kills: null,
    },
    io: { read_bytes_per_second: null, write_bytes_per_second: null },
    network: null,
    pressure: null,
    missing: [],
    ...more,
  };
}

describe('the list of groups', () => {
  const all = [
    group('/', 'machine'),
    group('/system.slice', 'slice'),
    group('/system.slice/ssh.service', 'service'),
    group('/system.slice/docker.service', 'service'),
    group('/system.slice/docker.service/inner', 'group'),
    group('/system.slice/docker.service/c1', 'container', { image: 'nginx:1', labels: { team: 'shop' } }),
    group('/own', 'group'),
    group('/own/leaf', 'group'),
    group('/gone', 'container', { ended_ms: 5 }),
  ];
  const choice: Choice = {
    view: 'tree',
    text: '',
    kinds: null,
    ended: true,
    compare: (a, b) => (a.id < b.id ? -1 : 1),
    closed: new Set(),
  };
  const ids = (change: Partial<Choice>) =>
    rowsOf(all, { ...choice, ...change }).map((row) => row.container.id);

  it('those that do the work are each there once', () => {
    expect(workers(all).map((one) => one.id)).toEqual([
      '/system.slice/ssh.service',
      '/system.slice/docker.service',
      '/system.slice/docker.service/c1',
      '/own/leaf',
      '/gone',
    ]);
  });

  it('a tree has every group below its parent', () => {
    const rows = rowsOf(all, choice);
    expect(rows).toHaveLength(all.length);
    for (const row of rows) {
      const parent = rows.findIndex((one) => one.container.id === row.container.parent);
      if (row.container.parent !== null) expect(parent).toBeLessThan(rows.indexOf(row));
    }
  });

  it('a filter keeps the way down to what matches', () => {
    expect(ids({ text: 'nginx shop' })).toEqual([
      '/',
      '/system.slice',
      '/system.slice/docker.service',
      '/system.slice/docker.service/c1',
    ]);
    expect(ids({ view: 'flat', text: 'nginx' })).toEqual(['/system.slice/docker.service/c1']);
  });

  it('closed branches hide what is inside', () => {
    expect(ids({ closed: new Set(['/system.slice']) })).toEqual([
      '/',
      '/gone',
      '/own',
      '/own/leaf',
      '/system.slice',
    ]);
  });

  it('kinds and ended ones can be left out', () => {
    expect(ids({ view: 'flat', kinds: new Set<Kind>(['container']), ended: false })).toEqual([
      '/system.slice/docker.service/c1',
    ]);
  });

  it('a group whose parent is not listed stands at the top', () => {
    const orphan = [group('/a/b', 'container')];
    expect(rowsOf(orphan, choice)).toHaveLength(1);
  });

  it('the way up, and an end to it when parents go in circles', () => {
    expect(ancestors(all, '/system.slice/docker.service/c1').map((one) => one.id)).toEqual([
      '/',
      '/system.slice',
      '/system.slice/docker.service',
    ]);
    const circle = [group('/a', 'group', { parent: '/b' }), group('/b', 'group', { parent: '/a' })];
    expect(ancestors(circle, '/a')).toHaveLength(2);
  });

  it('the unknown sorts last both ways', () => {
    const values = [3, null, 1];
    expect([...values].sort((a, b) => byNumber(a, b, true))).toEqual([3, 1, null]);
    expect([...values].sort((a, b) => byNumber(a, b, false))).toEqual([1, 3, null]);
  });
});

describe('the store', () => {
  it('places of a ranking lead to their series', () => {
    expect(ofMetric('up')).toBe('count({__name__="up"}) by (job, instance)');
    expect(ofMetric('odd name')).toBe('count({"odd name"})');
    expect(ofPair('job=node')).toBe('count({job="node"}) by (__name__)');
    expect(ofPair('path=a="b"')).toBe('count({path="a=\\"b\\""}) by (__name__)');
    expect(ofTarget('job="node", instance="a:1"')).toBe('count({job="node", instance="a:1"}) by (__name__)');
  });
});
