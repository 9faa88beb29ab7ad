/** An empty panel is a place to begin: queries that people ask first, and every name that is stored. */

import { TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { asApiError } from '../../api/error';
import { getMetrics, type Metric } from '../../api/prometheus';
import classes from './Start.module.css';

const QUESTIONS: [question: string, expr: string][] = [
  ['Where does CPU time go?', 'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[1m]))'],
  [
    'Which groups use most CPU?',
    'topk(10, sum by (id) (rate(container_cpu_usage_seconds_total{id!="/"}[1m])))',
  ],
  ['Which groups hold most memory?', 'topk(10, container_memory_working_set_bytes{id!="/"})'],
  ['Who is held up by a CPU limit?', 'rate(container_cpu_cfs_throttled_seconds_total[1m]) > 0'],
  ['Who was killed for want of memory?', 'container_oom_events_total > 0'],
  [
    'What does each disk do?',
    'rate(node_disk_read_bytes_total[1m]) + rate(node_disk_written_bytes_total[1m])',
  ],
  [
    'Which filesystem fills up within four days?',
    'predict_linear(node_filesystem_avail_bytes[1h], 4 * 86400) < 0',
  ],
  ['Which collector takes longest?', 'topk(5, node_scrape_collector_duration_seconds)'],
];

const SHOWN = 200;

export default function Start({ onChoose }: { onChoose: (expr: string) => void }) {
  const [text, setText] = useState('');
  const { data, error } = useQuery({
    queryKey: ['metrics'],
    queryFn: ({ signal }) => getMetrics(signal),
    staleTime: 30_000,
    retry: false,
  });
  const found = useMemo(() => filtered(data ?? [], text), [data, text]);
  return (
    <div className={classes.start}>
      <section aria-label="Questions">
        <h3>Questions</h3>
        <ul>
          {QUESTIONS.map(([question, expr]) => (
            <li key={question}>
              <button type="button" onClick={() => onChoose(expr)}>
                <span>{question}</span>
                <code>{expr}</code>
              </button>
            </li>
          ))}
        </ul>
      </section>
      <section aria-label="Metrics">
        <div className={classes.head}>
          <h3>Metrics</h3>
          <TextInput
            size="xs"
            aria-label="Find a metric"
            placeholder="Find by name or meaning"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          <span role="status">{data ? `${found.length} of ${data.length}` : ''}</span>
        </div>
        {error ? (
          <p className={classes.word}>{asApiError(error).message}</p>
        ) : data?.length === 0 ? (
          <p className={classes.word}>Nothing is stored yet.</p>
        ) : (
          <ul className={classes.list}>
            {found.slice(0, SHOWN).map((metric) => (
              <li key={metric.name}>
                <button type="button" onClick={() => onChoose(firstQuery(metric))}>
                  <code>{metric.name}</code>
                  <small>{metric.type}</small>
                  <span>{metric.help}</span>
                </button>
              </li>
            ))}
            {found.length > SHOWN && (
              <li className={classes.word}>and {found.length - SHOWN} more: narrow the search</li>
            )}
          </ul>
        )}
      </section>
    </div>
  );
}

function filtered(metrics: Metric[], text: string): Metric[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return metrics.filter((one) => {
    const hay = `${one.name} ${one.help}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

/** What a person most likely wants to see of a metric first. */
function firstQuery({ name, type }: Metric): string {
  if (type === 'counter' || (type === 'unknown' && name.endsWith('_total'))) return `rate(${name}[1m])`;
  if (type === 'histogram') return `histogram_quantile(0.9, sum by (le) (rate(${name}_bucket[1m])))`;
  if (type === 'summary') return `rate(${name}_sum[1m]) / rate(${name}_count[1m])`;
  return name;
}
