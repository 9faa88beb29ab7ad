/** Expressions that count the series of one place of a ranking. */

const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** All series of a metric, whatever its name is made of. */
export function ofMetric(name: string): string {
  return METRIC.test(name)
    ? `count({__name__="${name}"}) by (job, instance)`
    : `count({${JSON.stringify(name)}})`;
}

/** The series of a target, which is named by its labels: `job="node", instance="a:1"`. */
export function ofTarget(labels: string): string {
  return `count({${labels}}) by (__name__)`;
}

/** The series with a label: `job=node`; the value may hold anything. */
export function ofPair(pair: string): string {
  const at = pair.indexOf('=');
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
  const label = LABEL.test(name) ? name : JSON.stringify(name);
  return `count({${label}=${JSON.stringify(value)}}) by (__name__)`;
}
