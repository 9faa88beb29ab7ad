/**
 * The queries of the Overview page: node exporter's names with `job="node"`. Gauges are read by
 * `last_over_time` over the rate window, because a plain selector would draw a flat line for five
 * minutes across a time in which nothing was collected.
 */

const JOB = 'job="node"';

/** Every disk but partitions, loop devices and the layers (dm, md) that would count the same bytes twice. */
const DISKS =
  'device!~"(loop|ram|zram|dm-|md|sr|fd)[0-9]*|[shv]d[a-z]+[0-9]+|xvd[a-z]+[0-9]+|nvme[0-9]+n[0-9]+p[0-9]+|mmcblk[0-9]+p[0-9]+"';

/** Every interface that leaves the machine: no loopback, no bridge ports of containers. */
const NICS = 'device!~"lo|veth.*|cali.*|cni.*|flannel.*|docker.*|br-.*|virbr.*|lxc.*|tap.*|dummy.*|ifb.*"';

export function cpuByMode(w: string): string {
  return `sum by (mode) (rate(node_cpu_seconds_total{${JOB}}[${w}]))`;
}

export function cpuCount(w: string): string {
  return `count(count by (cpu) (last_over_time(node_cpu_seconds_total{${JOB},mode="idle"}[${w}])))`;
}

export const MEMORY_FIELDS = [
  'MemTotal',
  'MemFree',
  'MemAvailable',
  'Buffers',
  'Cached',
  'SReclaimable',
  'Shmem',
  'SwapTotal',
  'SwapFree',
] as const;

export function memory(w: string): string {
  return `last_over_time({__name__=~"node_memory_(${MEMORY_FIELDS.join('|')})_bytes",${JOB}}[${w}])`;
}

export function load(w: string): string {
  return `last_over_time({__name__=~"node_load(1|5|15)",${JOB}}[${w}])`;
}

/** Share of the time in which something waited; the name tells for what. `rate` drops names, so each is its own query. */
export function pressure(resource: 'cpu' | 'memory' | 'io', w: string): string {
  return `rate(node_pressure_${resource}_waiting_seconds_total{${JOB}}[${w}])`;
}

export function diskRead(w: string): string {
  return `sum(rate(node_disk_read_bytes_total{${JOB},${DISKS}}[${w}]))`;
}

export function diskWritten(w: string): string {
  return `sum(rate(node_disk_written_bytes_total{${JOB},${DISKS}}[${w}]))`;
}

export function networkIn(w: string): string {
  return `sum(rate(node_network_receive_bytes_total{${JOB},${NICS}}[${w}]))`;
}

export function networkOut(w: string): string {
  return `sum(rate(node_network_transmit_bytes_total{${JOB},${NICS}}[${w}]))`;
}

/** Size and free space of each mounted filesystem that keeps data. */
export function filesystems(w: string): string {
  return `last_over_time({__name__=~"node_filesystem_(size|avail)_bytes",${JOB},fstype!~"tmpfs|ramfs|overlay|squashfs|devtmpfs|fuse.*|nsfs|iso9660"}[${w}])`;
}
