/** The queries about containers: cAdvisor's names with `job="cadvisor"` and the label `id`. */

const JOB = 'job="cadvisor"';

/** A string literal of PromQL. */
export function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

function one(id: string): string {
  return `${JOB},id=${quote(id)}`;
}

export type Resource = 'cpu' | 'memory';

/** Every group's use of a resource at once, for sparklines and for the order of the top lists. */
export function all(resource: Resource, w: string): string {
  return resource === 'cpu'
    ? `sum by (id) (rate(container_cpu_usage_seconds_total{${JOB}}[${w}]))`
    : `max by (id) (last_over_time(container_memory_working_set_bytes{${JOB}}[${w}]))`;
}

export function cpu(id: string, part: 'user' | 'system' | 'usage', w: string): string {
  return `sum(rate(container_cpu_${part}_seconds_total{${one(id)}}[${w}]))`;
}

export function cpuLimit(id: string, w: string): string {
  return `max(last_over_time(container_spec_cpu_quota{${one(id)}}[${w}])) / max(last_over_time(container_spec_cpu_period{${one(id)}}[${w}]))`;
}

export function throttled(id: string, w: string): string {
  return `sum(rate(container_cpu_cfs_throttled_periods_total{${one(id)}}[${w}])) / (sum(rate(container_cpu_cfs_periods_total{${one(id)}}[${w}])) > 0)`;
}

export function throttledSeconds(id: string, w: string): string {
  return `sum(rate(container_cpu_cfs_throttled_seconds_total{${one(id)}}[${w}]))`;
}

export function memoryGauge(
  id: string,
  part: 'working_set_bytes' | 'rss' | 'cache' | 'swap' | 'usage_bytes',
  w: string,
): string {
  return `max(last_over_time(container_memory_${part}{${one(id)}}[${w}]))`;
}

/** Zero means no limit in cAdvisor's language: such points are left out. */
export function memoryLimit(id: string, w: string): string {
  return `max(last_over_time(container_spec_memory_limit_bytes{${one(id)}}[${w}])) > 0`;
}

export function oomKills(id: string, w: string): string {
  return `sum(increase(container_oom_events_total{${one(id)}}[${w}]))`;
}

export function io(id: string, direction: 'reads' | 'writes', w: string): string {
  return `sum by (device) (rate(container_fs_${direction}_bytes_total{${one(id)}}[${w}]))`;
}

export function network(id: string, direction: 'receive' | 'transmit', w: string): string {
  return `sum by (interface) (rate(container_network_${direction}_bytes_total{${one(id)}}[${w}]))`;
}

export function pressure(id: string, resource: 'cpu' | 'memory' | 'io', w: string): string {
  return `sum(rate(container_pressure_${resource}_waiting_seconds_total{${one(id)}}[${w}]))`;
}

export function tasks(id: string, what: 'processes' | 'threads', w: string): string {
  return `max(last_over_time(container_${what}{${one(id)}}[${w}]))`;
}

/** What is stored about a group that is not in the newest round any more. */
export function lastSeen(id: string, w: string): string {
  return `last_over_time(container_start_time_seconds{${one(id)}}[${w}])`;
}
