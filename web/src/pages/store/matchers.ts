/** Expressions that find the series of one place of a ranking. */

const PLAIN = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** All series of a metric, whatever its name is made of. */
export function ofMetric(name: string): string {
  return PLAIN.test(name)
    ? `count({__name__="${name}"}) by (job, instance)`
    : `count({${JSON.stringify(name)}})`;
}

/** The series with these labels: `job="node", instance="a"` as targets are named, or `job=node` as pairs are. */
export function ofPairs(text: string): string {
  if (text.includes('="')) return `count({${text}}) by (__name__)`;
  const at = text.indexOf('=');
  const [name, value] = [text.slice(0, at), text.slice(at + 1)];
  const label = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : JSON.stringify(name);
  return `count({${label}=${JSON.stringify(value)}}) by (__name__)`;
}
