// DEVELOPMENT ONLY: a made-up machine. Every number is a function of the series and the time, so
// that the same question has the same answer. It understands the queries of the pages and no more.
import type { CollectorStatus, Container, Kind, Status } from '../src/api/vigil';

export type Scene = 'full' | 'empty' | 'opening' | 'failing' | 'unauthorized';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

export function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return ((h >>> 0) % 100_000) / 100_000;
}

/** Between 0 and 1, smooth over minutes with a little noise over seconds. */
function wave(key: string, t: number): number {
  const a = hash(key);
  const slow = Math.sin(t / (240 + 600 * a) + a * 40);
  const mid = Math.sin(t / (37 + 50 * a) + a * 90);
  const noise = hash(`${key}${Math.floor(t)}`) - 0.5;
  return Math.min(1, Math.max(0, 0.45 + 0.28 * slow + 0.16 * mid + 0.16 * noise));
}

interface Made {
  id: string;
  kind: Kind;
  runtime?: string;
  title: string;
  image?: string;
  cpu: number;
  memory: number;
  cpuLimit?: number;
  memoryLimit?: number;
  oom?: number;
  ended?: number;
  labels?: Record<string, string>;
}

const hex = (seed: string) =>
  Array.from({ length: 64 }, (_, i) => Math.floor(hash(`${seed}${i}`) * 16).toString(16)).join('');
const docker = (name: string) => `/system.slice/docker-${hex(name)}.scope`;

const MADE: Made[] = [
  { id: '/', kind: 'machine', title: 'this machine', cpu: 1.9, memory: 9 * GIB },
  { id: '/init.scope', kind: 'scope', runtime: 'systemd', title: 'init', cpu: 0.004, memory: 12 * MIB },
  { id: '/system.slice', kind: 'slice', runtime: 'systemd', title: 'system', cpu: 1.2, memory: 6 * GIB },
  ...[
    'ssh',
    'cron',
    'systemd-journald',
    'systemd-networkd',
    'dbus',
    'containerd',
    'docker',
    'polkit',
    'rsyslog',
    'chrony',
    'unattended-upgrades',
    'systemd-udevd',
  ].map(
    (name): Made => ({
      id: `/system.slice/${name}.service`,
      kind: 'service',
      runtime: 'systemd',
      title: name,
      cpu: 0.002 + 0.06 * hash(name),
      memory: (4 + 90 * hash(`m${name}`)) * MIB,
    }),
  ),
  {
    id: docker('postgres'),
    kind: 'container',
    runtime: 'docker',
    title: 'postgres',
    image: 'postgres:17.2',
    cpu: 0.62,
    memory: 1.4 * GIB,
    cpuLimit: 1,
    memoryLimit: 2 * GIB,
    labels: { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'postgres' },
  },
  {
    id: docker('shop'),
    kind: 'container',
    runtime: 'docker',
    title: 'shop-frontend',
    image: 'registry.example/shop/frontend:2026.11.3',
    cpu: 0.34,
    memory: 412 * MIB,
    cpuLimit: 0.5,
    memoryLimit: 512 * MIB,
    oom: 3,
  },
  {
    id: docker('worker'),
    kind: 'container',
    runtime: 'docker',
    title: 'shop-worker',
    image: 'registry.example/shop/worker:2026.11.3',
    cpu: 0.21,
    memory: 240 * MIB,
    memoryLimit: 256 * MIB,
  },
  {
    id: docker('redis'),
    kind: 'container',
    runtime: 'docker',
    title: 'redis',
    image: 'redis:8',
    cpu: 0.018,
    memory: 96 * MIB,
  },
  {
    id: docker('backup'),
    kind: 'container',
    runtime: 'docker',
    title: 'backup',
    image: 'restic/restic:0.18',
    cpu: 0.4,
    memory: 180 * MIB,
    ended: 90,
  },
  { id: '/user.slice', kind: 'slice', runtime: 'systemd', title: 'user', cpu: 0.5, memory: 2.4 * GIB },
  {
    id: '/user.slice/user-1000.slice',
    kind: 'slice',
    runtime: 'systemd',
    title: 'user 1000',
    cpu: 0.5,
    memory: 2.4 * GIB,
  },
  {
    id: '/user.slice/user-1000.slice/session-3.scope',
    kind: 'scope',
    runtime: 'systemd',
    title: 'session 3',
    cpu: 0.5,
    memory: 2.3 * GIB,
  },
  { id: '/kubepods.slice', kind: 'slice', title: 'kubepods', cpu: 0.2, memory: 600 * MIB },
  {
    id: '/kubepods.slice/kubepods-podab12.slice',
    kind: 'pod',
    title: 'default/web-7d9f',
    cpu: 0.2,
    memory: 600 * MIB,
  },
  {
    id: `/kubepods.slice/kubepods-podab12.slice/cri-containerd-${hex('web')}.scope`,
    kind: 'container',
    runtime: 'containerd',
    title: 'web',
    image: 'nginx:1.29',
    cpu: 0.12,
    memory: 88 * MIB,
    cpuLimit: 0.3,
    memoryLimit: 128 * MIB,
  },
];

function parentOf(id: string): string | null {
  if (id === '/') return null;
  const up = id.slice(0, id.lastIndexOf('/'));
  return up === '' ? '/' : up;
}

function containerOf(made: Made, nowMs: number): Container {
  const t = nowMs / 1000;
  const used = made.cpu * (0.4 + 1.2 * wave(`cpu${made.id}`, t));
  const cpu = made.cpuLimit ? Math.min(used, made.cpuLimit) : used;
  const memory = made.memory * (0.9 + 0.2 * wave(`mem${made.id}`, t));
  const network = made.kind === 'container' || made.kind === 'machine';
  return {
    id: made.id,
    parent: parentOf(made.id),
    kind: made.kind,
    runtime: made.runtime ?? null,
    title: made.title,
    name: made.kind === 'container' ? made.title : '',
    image: made.image ?? '',
    labels: made.labels ?? {},
    namespace: made.kind === 'pod' ? 'default' : '',
    pod: made.kind === 'pod' ? 'web-7d9f' : '',
    container: '',
    started_ms: nowMs - 1000 * (600 + 400_000 * hash(made.id)),
    ended_ms: made.ended ? nowMs - made.ended * 1000 : null,
    processes: 1 + Math.floor(20 * hash(`p${made.id}`)),
    threads: 4 + Math.floor(60 * hash(`t${made.id}`)),
    cpu: {
      usage_cores: cpu,
      user_cores: cpu * 0.7,
      system_cores: cpu * 0.3,
      limit_cores: made.cpuLimit ?? null,
      throttled_ratio: made.cpuLimit ? Math.max(0, (used / made.cpuLimit - 0.7) * 0.9) : null,
      throttled_seconds_total: made.cpuLimit ? 412 : null,
    },
    memory: {
      working_set_bytes: made.memoryLimit ? Math.min(memory, made.memoryLimit) : memory,
      usage_bytes: memory * 1.3,
      rss_bytes: memory * 0.7,
      cache_bytes: memory * 0.5,
      swap_bytes: 0,
      limit_bytes: made.memoryLimit ?? null,
      oom_kills: made.oom ?? 0,
    },
    io: {
      read_bytes_per_second: hash(made.id) > 0.5 ? 0 : 30_000 * wave(`r${made.id}`, t),
      write_bytes_per_second: 90_000 * wave(`w${made.id}`, t),
    },
    network: network
      ? {
          receive_bytes_per_second: 4e5 * wave(`rx${made.id}`, t),
          transmit_bytes_per_second: 2e5 * wave(`tx${made.id}`, t),
        }
      : null,
    pressure: { cpu_some_ratio: 0.02, memory_some_ratio: 0, io_some_ratio: 0.01 },
    missing: network ? [] : [{ what: 'network', why: 'it shares the network of the machine' }],
  };
}

const NODE_COLLECTORS = [
  'cpu',
  'meminfo',
  'diskstats',
  'filesystem',
  'loadavg',
  'netdev',
  'netstat',
  'sockstat',
  'stat',
  'vmstat',
  'pressure',
  'uname',
  'time',
  'filefd',
  'os',
  'hwmon',
  'textfile',
  'arp',
  'schedstat',
  'softnet',
];

function statusOf(nowMs: number, scene: Scene): Status {
  const collectors: CollectorStatus[] = [
    ...NODE_COLLECTORS.map(
      (name): CollectorStatus => ({
        name,
        job: 'node',
        enabled: name !== 'arp',
        success: name !== 'textfile',
        seconds: 0.0001 + 0.0012 * hash(name),
        samples: 4 + Math.floor(120 * hash(`s${name}`)),
        error: name === 'textfile' ? '/var/lib/node/backup.prom:14: no value after the labels' : null,
        missing:
          name === 'hwmon'
            ? [{ what: 'temperatures', why: 'this machine has no folder /sys/class/hwmon', remedy: null }]
            : [],
      }),
    ),
    {
      name: 'containers',
      job: 'cadvisor',
      enabled: true,
      success: true,
      seconds: 0.0061,
      samples: 1490,
      error: null,
      missing: [
        {
          what: 'names and images of docker containers',
          why: 'permission denied on /var/run/docker.sock',
          remedy: 'run kubevigil as root, or as a member of the group docker',
        },
      ],
    },
  ];
  return {
    version: '0.1.0',
    revision: '3f21c09be7a1',
    mode: 'standalone',
    hostname: 'workbench',
    kernel: 'Linux 6.12.48',
    boot_ms: nowMs - 5 * 86400_000,
    started_ms: nowMs - 5 * 3600_000,
    now_ms: nowMs,
    interval_ms: 1000,
    opening: scene === 'opening' ? { what: 'reading the log', done: 61, total: 148 } : null,
    process: { cpu_seconds: 214, resident_bytes: 48 * MIB, open_files: 61, memory_limit_bytes: 512 * MIB },
    store: {
      dir: '/var/lib/kubevigil',
      series: scene === 'empty' ? 0 : 3127,
      samples: scene === 'empty' ? 0 : 61_230_412,
      head_bytes: 21 * MIB,
      log_bytes: 14 * MIB,
      block_bytes: 31 * MIB,
      blocks: 6,
      oldest_ms: scene === 'empty' ? null : nowMs - 2 * 86400_000,
      newest_ms: scene === 'empty' ? null : nowMs,
      retention_ms: 15 * 86400_000,
      retention_bytes: null,
      read_only: scene === 'failing' ? 'no space left on the device of /var/lib/kubevigil' : null,
      quarantined:
        scene === 'failing' ? [{ file: 'log/00000041', why: 'record 18812: checksum does not match' }] : [],
    },
    collectors: scene === 'empty' ? [] : collectors,
    notices: [
      {
        severity: 'warning',
        what: 'Docker cannot be asked.',
        why: 'Containers appear by their ids, without names and images.',
        remedy: 'Run kubevigil as root, or as a member of the group docker.',
      },
      {
        severity: 'info',
        what: 'The clock was set back by 2 s at 09:14:03.',
        why: 'Samples of that time were kept in their order.',
        remedy: null,
      },
    ],
    flags: [
      {
        name: 'listen',
        value: '127.0.0.1:7600',
        default: '127.0.0.1:7600',
        help: 'Address of the pages and the API',
        set: false,
      },
      {
        name: 'interval',
        value: '1s',
        default: '1s',
        help: 'Time between two rounds of collection',
        set: false,
      },
      { name: 'retention', value: '15d', default: '15d', help: 'How long samples are kept', set: false },
      {
        name: 'memory-limit',
        value: '512MiB',
        default: '',
        help: 'Memory above which queries and ingestion are refused',
        set: true,
      },
    ],
  };
}

type Labels = Record<string, string>;
type Made2 = { labels: Labels; value: (t: number) => number | null };

/** The last hours without the time between 40 and 34 minutes ago, in which nothing ran. */
function running(t: number, now: number): boolean {
  const ago = now - t;
  return ago >= 0 && ago < 2 * 86400 && !(ago > 2040 && ago < 2400);
}

const MODES: Record<string, number> = {
  user: 0.9,
  system: 0.35,
  nice: 0,
  iowait: 0.12,
  irq: 0,
  softirq: 0.03,
  steal: 0.02,
  idle: 6,
};

function groups(value: (made: Made, t: number) => number | null): Made2[] {
  return MADE.map((made) => ({ labels: { id: made.id }, value: (t) => value(made, t) }));
}

/** Series for what a query names. */
function seriesFor(query: string): Made2[] {
  const id = /id="((?:[^"\\]|\\.)*)"/.exec(query)?.[1]?.replaceAll('\\\\', '\\');
  const made = MADE.find((one) => one.id === id);
  const one = (labels: Labels, value: (t: number) => number | null) => [{ labels, value }];
  const has = (text: string) => query.includes(text);
  if (has('count(count by (cpu)')) return one({}, () => 8);
  if (has('node_cpu_seconds_total')) {
    return Object.entries(MODES).map(([mode, scale]) => ({
      labels: { mode },
      value: (t) => scale * wave(mode, t),
    }));
  }
  if (has('node_memory_')) {
    const sizes: Record<string, number> = {
      MemTotal: 15.5,
      MemFree: 2.6,
      MemAvailable: 8.1,
      Buffers: 0.4,
      Cached: 5.4,
      SReclaimable: 0.5,
      Shmem: 0.6,
      SwapTotal: 4,
      SwapFree: 3.4,
    };
    return Object.entries(sizes).map(([name, size]) => ({
      labels: { __name__: `node_memory_${name}_bytes`, job: 'node' },
      value: (t) => (name.endsWith('Total') ? size : size * (0.9 + 0.2 * wave(name, t))) * GIB,
    }));
  }
  if (has('node_load')) {
    return ['1', '5', '15'].map((n) => ({
      labels: { __name__: `node_load${n}`, job: 'node' },
      value: (t) => 0.5 + 2 * wave('load', t / Number(n)),
    }));
  }
  const pressure = /node_pressure_(\w+)_waiting/.exec(query);
  if (pressure) return one({}, (t) => 0.09 * wave(`psi${pressure[1]}`, t) ** 3);
  if (has('node_disk_')) return one({}, (t) => 6e6 * wave(query.slice(9, 30), t) ** 4);
  if (has('node_network_')) return one({}, (t) => 3e6 * wave(query.slice(9, 40), t) ** 2);
  if (has('node_filesystem_')) {
    return [
      ['/', 'ext4', 90, 40],
      ['/boot', 'ext4', 1, 0.7],
      ['/var/lib/postgres', 'xfs', 200, 14],
    ].flatMap(([mountpoint, fstype, size, avail]) =>
      (['size', 'avail'] as const).map((what) => ({
        labels: {
          __name__: `node_filesystem_${what}_bytes`,
          mountpoint: String(mountpoint),
          fstype: String(fstype),
          device: `/dev/${hash(String(mountpoint)) * 100}`,
        },
        value: () => Number(what === 'size' ? size : avail) * GIB,
      })),
    );
  }
  if (has('by (id) (rate(container_cpu'))
    return groups((m, t) => m.cpu * (0.4 + 1.2 * wave(`cpu${m.id}`, t)));
  if (has('by (id) (last_over_time(container_memory'))
    return groups((m, t) => m.memory * (0.9 + 0.2 * wave(`mem${m.id}`, t)));
  if (made) return containerSeries(made, query);
  if (query.startsWith('count_over_time(up')) return one({}, () => 60);
  if (query.startsWith('up'))
    return ['node', 'cadvisor'].map((job) => ({
      labels: { __name__: 'up', job, instance: 'workbench' },
      value: () => 1,
    }));
  if (query.startsWith('many'))
    return Array.from({ length: 340 }, (_, i) => ({
      labels: { __name__: 'many', n: String(i) },
      value: (t: number) => 10 * wave(`many${i}`, t) + i / 20,
    }));
  return [];
}

function containerSeries(made: Made, query: string): Made2[] {
  const one = (value: (t: number) => number | null, labels: Labels = {}) => [{ labels, value }];
  const has = (text: string) => query.includes(text);
  const cpu = (t: number) => Math.min(made.cpuLimit ?? 99, made.cpu * (0.4 + 1.2 * wave(`cpu${made.id}`, t)));
  if (has('cfs_throttled'))
    return made.cpuLimit ? one((t) => Math.max(0, wave(`cpu${made.id}`, t) - 0.6)) : [];
  if (has('cpu_quota')) return made.cpuLimit ? one(() => made.cpuLimit ?? null) : [];
  if (has('cpu_user')) return one((t) => cpu(t) * 0.7);
  if (has('cpu_system')) return one((t) => cpu(t) * 0.3);
  if (has('memory_limit_bytes')) return made.memoryLimit ? one(() => made.memoryLimit ?? null) : [];
  if (has('working_set')) return one((t) => made.memory * (0.9 + 0.2 * wave(`mem${made.id}`, t)));
  if (has('memory_rss')) return one((t) => made.memory * (0.6 + 0.1 * wave(`rss${made.id}`, t)));
  if (has('memory_cache')) return one((t) => made.memory * (0.4 + 0.1 * wave(`cache${made.id}`, t)));
  if (has('memory_swap')) return one(() => 0);
  if (has('oom_events')) return one((t) => (hash(`oom${Math.floor(t / 60)}`) > 0.97 && made.oom ? 1 : 0));
  if (has('container_fs_')) return one((t) => 90_000 * wave(`fs${query.length}`, t), { device: '/dev/vda' });
  if (has('container_network_'))
    return made.kind === 'container'
      ? one((t) => 3e5 * wave(`net${query.length}`, t), { interface: 'eth0' })
      : [];
  if (has('container_pressure_')) return one((t) => 0.08 * wave(`psi${query}`, t) ** 3);
  if (has('container_processes')) return one(() => 12);
  if (has('container_threads')) return one((t) => 30 + Math.round(6 * wave('threads', t)));
  return [];
}

function query(url: URL, nowMs: number, scene: Scene): { status: number; json: unknown } {
  const text = url.searchParams.get('query') ?? '';
  const instant = url.pathname.endsWith('/query');
  if (scene === 'failing')
    return {
      status: 503,
      json: {
        status: 'error',
        errorType: 'too_many_requests',
        error: 'memory limit of 512 MiB reached: 3 queries are running',
      },
    };
  const open = [...text].filter((c) => c === '(').length;
  const close = [...text].filter((c) => c === ')').length;
  if (open !== close || text === '') {
    return {
      status: 400,
      json: {
        status: 'error',
        errorType: 'bad_data',
        error: `invalid parameter "query": 1:${text.length + 1}: parse error: unclosed left parenthesis`,
      },
    };
  }
  const made = scene === 'empty' ? [] : seriesFor(text);
  const stats = {
    timings: { evalTotalTime: 0.0031, execTotalTime: 0.0034 },
    samples: { totalQueryableSamples: made.length * 1400, peakSamples: made.length * 361 },
  };
  const now = nowMs / 1000;
  if (instant) {
    const time = Number(url.searchParams.get('time') ?? now);
    const result = made.map((one) => ({ metric: one.labels, value: [time, String(one.value(time))] }));
    return { status: 200, json: { status: 'success', data: { resultType: 'vector', result, stats } } };
  }
  const start = Number(url.searchParams.get('start'));
  const end = Number(url.searchParams.get('end'));
  const step = Number(url.searchParams.get('step'));
  const result = made
    .map((one) => {
      const values: [number, string][] = [];
      for (let t = start; t <= end + 1e-6; t += step) {
        const value = running(t, now) ? one.value(t) : null;
        if (value !== null) values.push([t, String(value)]);
      }
      return { metric: one.labels, values };
    })
    .filter((one) => one.values.length > 0);
  const infos = text.startsWith('many')
    ? [
        'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "many" (1:6)',
      ]
    : undefined;
  return { status: 200, json: { status: 'success', data: { resultType: 'matrix', result, stats }, infos } };
}

export function answer(url: URL, nowMs: number, scene: Scene): { status: number; json: unknown } {
  const path = url.pathname;
  if (scene === 'unauthorized') return { status: 401, json: { error: 'unauthorized' } };
  if (path === '/api/vigil/v1/status') return { status: 200, json: statusOf(nowMs, scene) };
  if (scene === 'opening')
    return {
      status: 503,
      json: { status: 'error', errorType: 'unavailable', error: 'the store is being opened' },
    };
  if (path === '/api/vigil/v1/containers') {
    const containers = scene === 'empty' ? [] : MADE.map((made) => containerOf(made, nowMs));
    return { status: 200, json: { time_ms: nowMs, hostname: 'workbench', containers } };
  }
  if (path === '/api/v1/query' || path === '/api/v1/query_range') return query(url, nowMs, scene);
  if (path.endsWith('/values'))
    return {
      status: 200,
      json: {
        status: 'success',
        data: [
          'up',
          'node_cpu_seconds_total',
          'node_memory_MemTotal_bytes',
          'container_cpu_usage_seconds_total',
        ],
      },
    };
  if (path === '/api/v1/metadata')
    return {
      status: 200,
      json: { status: 'success', data: { up: [{ type: 'gauge', help: 'Whether the target answered.' }] } },
    };
  return { status: 200, json: { status: 'success', data: [] } };
}
