/** Why something is not there, as the collectors themselves say it. */

import type { Missing, Status } from '../api/vigil';

/** The words of a collector about itself; null when it works as it should. */
export function whyMissing(status: Status | null, job: 'node' | 'cadvisor', name: string): string | null {
  const collector = status?.collectors.find((one) => one.job === job && one.name === name);
  if (!collector) return null;
  if (!collector.enabled) return `the collector ${name} is switched off`;
  if (collector.error) return collector.error;
  const first = collector.missing[0];
  return first ? sentence(first) : null;
}

export function sentence(missing: Missing): string {
  return missing.remedy
    ? `${missing.what}: ${missing.why} (${missing.remedy})`
    : `${missing.what}: ${missing.why}`;
}

/** The kernel's release with its name before it. */
export function kernelName(kernel: string): string {
  return /^\d/.test(kernel) ? `Linux ${kernel}` : kernel;
}
