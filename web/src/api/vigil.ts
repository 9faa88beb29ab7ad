/** Kubevigil's own endpoints, as docs/api.md gives them: milliseconds, bytes, cores, null for unknown. */

import { ask } from './http';

export interface Missing {
  what: string;
  why: string;
  remedy?: string | null;
}

export interface CollectorStatus {
  name: string;
  job: 'node' | 'cadvisor';
  enabled: boolean;
  success: boolean;
  seconds: number | null;
  samples: number | null;
  error: string | null;
  missing: Missing[];
}

export interface Notice {
  severity: 'info' | 'warning' | 'error';
  what: string;
  why: string;
  remedy: string | null;
}

export interface Flag {
  name: string;
  value: string;
  default: string;
  help: string;
  set: boolean;
}

export interface Status {
  version: string;
  revision: string;
  mode: string;
  hostname: string;
  kernel: string;
  boot_ms: number | null;
  started_ms: number;
  now_ms: number;
  interval_ms: number;
  opening: null | { what: string; done: number; total: number };
  process: {
    cpu_seconds: number | null;
    resident_bytes: number | null;
    open_files: number | null;
    memory_limit_bytes: number | null;
  } | null;
  store: {
    dir: string;
    series: number | null;
    samples: number | null;
    head_bytes: number | null;
    log_bytes: number | null;
    block_bytes: number | null;
    blocks: number | null;
    oldest_ms: number | null;
    newest_ms: number | null;
    retention_ms: number | null;
    retention_bytes: number | null;
    read_only: string | null;
    quarantined: { file: string; why: string }[];
  } | null;
  collectors: CollectorStatus[];
  notices: Notice[];
  flags: Flag[];
}

export type Kind = 'machine' | 'slice' | 'service' | 'scope' | 'pod' | 'sandbox' | 'container' | 'group';

export interface Container {
  id: string;
  parent: string | null;
  kind: Kind;
  runtime: string | null;
  title: string;
  name: string;
  image: string;
  labels: Record<string, string>;
  namespace: string;
  pod: string;
  container: string;
  started_ms: number | null;
  ended_ms: number | null;
  processes: number | null;
  threads: number | null;
  cpu: {
    usage_cores: number | null;
    user_cores: number | null;
    system_cores: number | null;
    limit_cores: number | null;
    throttled_ratio: number | null;
    throttled_seconds_total: number | null;
  };
  memory: {
    working_set_bytes: number | null;
    usage_bytes: number | null;
    rss_bytes: number | null;
    cache_bytes: number | null;
    swap_bytes: number | null;
    limit_bytes: number | null;
    oom_kills: number | null;
  };
  io: { read_bytes_per_second: number | null; write_bytes_per_second: number | null };
  network: { receive_bytes_per_second: number | null; transmit_bytes_per_second: number | null } | null;
  pressure: {
    cpu_some_ratio: number | null;
    memory_some_ratio: number | null;
    io_some_ratio: number | null;
  } | null;
  missing: Missing[];
}

export interface Containers {
  time_ms: number;
  hostname: string;
  containers: Container[];
}

export function getStatus(signal?: AbortSignal): Promise<Status> {
  return ask<Status>('/api/vigil/v1/status', {}, { signal, timeoutMs: 10_000 });
}

export function getContainers(signal?: AbortSignal): Promise<Containers> {
  return ask<Containers>('/api/vigil/v1/containers', {}, { signal, timeoutMs: 30_000 });
}
