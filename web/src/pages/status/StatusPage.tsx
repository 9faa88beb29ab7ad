/** Kubevigil about itself: what is collected and what is not, what is stored, how it was started. */

import type { ReactNode } from 'react';
import type { CollectorStatus, Status } from '../../api/vigil';
import { Panel } from '../../chart/Panel';
import { age, bytes, count, duration, percent, UNKNOWN } from '../../format/units';
import { useConnection, useStatus } from '../../shell/connection';
import { Check, Cross, Info, Warning } from '../../shell/icons';
import { PageHead } from '../../shell/Layout';
import { Meter } from '../../shell/Meter';
import { NoticeText } from '../../shell/Notices';
import noticeClasses from '../../shell/Notices.module.css';
import { useZone } from '../../shell/settings';
import { useTime } from '../../shell/time';
import { Word } from '../../shell/Word';
import { kernelName } from '../../shell/why';
import { formatDuration } from '../../time/range';
import { moment } from '../../time/text';
import classes from './Status.module.css';

export function StatusPage() {
  const status = useStatus();
  const { connection } = useConnection();
  if (!status)
    return (
      <Word title={connection.state === 'lost' ? 'No status was received' : 'Waiting for the first answer'} />
    );
  const ill = status.collectors.filter((one) => stateOf(one) === 'fails').length;
  return (
    <>
      <PageHead title="Status" time={false}>
        <span className={classes.lead} data-tone={ill > 0 ? 'bad' : 'good'}>
          {ill > 0
            ? `${ill} of ${status.collectors.length} collectors fail`
            : 'everything that is collected works'}
        </span>
      </PageHead>
      <div className={classes.grid}>
        <div className={classes.columns}>
          <Process status={status} />
          <Store status={status} />
        </div>
        <div className={classes.columns}>
          <Collectors status={status} />
          <div className={classes.stack}>
            <NoticeList status={status} />
            <NotCollected collectors={status.collectors} />
          </div>
        </div>
        <Flags status={status} />
      </div>
    </>
  );
}

function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Process({ status }: { status: Status }) {
  const zone = useZone();
  const time = useTime();
  const { process } = status;
  const up = (time.now() - status.started_ms) / 1000;
  const resident = process?.resident_bytes ?? null;
  const limit = process?.memory_limit_bytes ?? null;
  return (
    <Panel title="Kubevigil">
      <Facts
        facts={[
          [
            'Version',
            `${status.version}${status.revision ? ` (${status.revision.slice(0, 12)})` : ''}, ${status.mode}`,
          ],
          ['Machine', `${status.hostname}, ${kernelName(status.kernel)}`],
          ['Running for', `${age(up)}, since ${moment(status.started_ms, zone)}`],
          ['Collects each', formatDuration(status.interval_ms / 1000)],
          [
            'CPU',
            process?.cpu_seconds == null
              ? UNKNOWN
              : `${duration(process.cpu_seconds)} in all, ${percent(up > 0 ? process.cpu_seconds / up : null)} of a core`,
          ],
          [
            'Memory',
            <span key="memory">
              {bytes(resident)}
              {limit === null ? ', no limit set' : ` of ${bytes(limit)}`}
              {limit !== null && resident !== null && (
                <Meter ratio={resident / limit} label={`${percent(resident / limit)} of the limit`} />
              )}
            </span>,
          ],
          ['Open files', count(process?.open_files)],
        ]}
      />
    </Panel>
  );
}

function Store({ status }: { status: Status }) {
  const zone = useZone();
  const { store } = status;
  if (!store)
    return (
      <Panel title="Store">
        <p className={classes.quiet}>Nothing is stored.</p>
      </Panel>
    );
  const size = (store.log_bytes ?? 0) + (store.block_bytes ?? 0);
  const perSample = store.samples ? (store.block_bytes ?? 0) / store.samples : null;
  const retention = [
    store.retention_ms === null ? null : formatDuration(store.retention_ms / 1000),
    store.retention_bytes === null ? null : bytes(store.retention_bytes),
  ].filter((one) => one !== null);
  return (
    <Panel title="Store">
      {store.read_only !== null && (
        <p className={classes.alarm} role="alert">
          <Warning /> Read only: {store.read_only}
        </p>
      )}
      <Facts
        facts={[
          ['Series', count(store.series)],
          ['Samples', count(store.samples)],
          [
            'On disk',
            `${bytes(size)}: log ${bytes(store.log_bytes)}, ${count(store.blocks)} blocks ${bytes(store.block_bytes)}${perSample && store.blocks ? ` (${perSample.toFixed(2)} B a sample)` : ''}`,
          ],
          ['In memory', bytes(store.head_bytes)],
          ['From', store.oldest_ms === null ? UNKNOWN : moment(store.oldest_ms, zone)],
          ['To', store.newest_ms === null ? UNKNOWN : moment(store.newest_ms, zone)],
          ['Kept for', retention.length === 0 ? 'without end' : retention.join(' or ')],
          ['Folder', <code key="dir">{store.dir}</code>],
          [
            'Quarantine',
            store.quarantined.length === 0 ? (
              'empty'
            ) : (
              <ul key="quarantine" className={classes.quarantine}>
                {store.quarantined.map((one) => (
                  <li key={one.file}>
                    <code>{one.file}</code> {one.why}
                  </li>
                ))}
              </ul>
            ),
          ],
        ]}
      />
    </Panel>
  );
}

function NoticeList({ status }: { status: Status }) {
  if (status.notices.length === 0) return null;
  return (
    <Panel title="Notices">
      <ul className={`${noticeClasses.notices} ${classes.notices}`}>
        {status.notices.map((one) => (
          <li key={`${one.what} ${one.why}`} data-tone={one.severity}>
            <NoticeText notice={one} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type State = 'fails' | 'in part' | 'works' | 'not here' | 'off';

/** A collector that finds nothing to read has not failed: this machine does not have it. */
function stateOf(one: CollectorStatus): State {
  if (!one.enabled) return 'off';
  if (one.error !== null) return 'fails';
  if (!one.success) return one.missing.length > 0 ? 'not here' : 'fails';
  return one.missing.length > 0 ? 'in part' : 'works';
}

const RANK: State[] = ['fails', 'in part', 'works', 'not here', 'off'];

/** Failing ones first, those switched off last. */
function order(a: CollectorStatus, b: CollectorStatus): number {
  const rank = (one: CollectorStatus) => RANK.indexOf(stateOf(one));
  return rank(a) - rank(b) || a.job.localeCompare(b.job) * -1 || a.name.localeCompare(b.name);
}

function Collectors({ status }: { status: Status }) {
  const collectors = [...status.collectors].sort(order);
  const on = collectors.filter((one) => one.enabled);
  const off = collectors.filter((one) => !one.enabled);
  const seconds = on.reduce((sum, one) => sum + (one.seconds ?? 0), 0);
  const samples = on.reduce((sum, one) => sum + (one.samples ?? 0), 0);
  const slowest = Math.max(...on.map((one) => one.seconds ?? 0), 0);
  if (collectors.length === 0) {
    return (
      <Panel title="Collectors">
        <p className={classes.quiet}>No round is over yet.</p>
      </Panel>
    );
  }
  return (
    <Panel title="Collectors" note={`${count(samples)} samples in ${duration(seconds)} a round`}>
      <div className={classes.scroll} role="region" aria-label="Collectors" tabIndex={0}>
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">Collector</th>
              <th scope="col">Job</th>
              <th scope="col">State</th>
              <th scope="col" data-numeric>
                Time
              </th>
              <th scope="col">
                <span className="visually-hidden">share of the slowest</span>
              </th>
              <th scope="col" data-numeric>
                Samples
              </th>
            </tr>
          </thead>
          <tbody>
            {on.map((one) => (
              <tr key={`${one.job} ${one.name}`}>
                <th scope="row">
                  {one.name}
                  {one.error && <p className={classes.error}>{one.error}</p>}
                </th>
                <td className={classes.dim}>{one.job}</td>
                <td>
                  <StateWord collector={one} />
                </td>
                <td data-numeric>{duration(one.seconds)}</td>
                <td className={classes.bar}>
                  {one.seconds !== null && slowest > 0 && (
                    <span aria-hidden="true" className={classes.share}>
                      <i style={{ width: `${(one.seconds / slowest) * 100}%` }} />
                    </span>
                  )}
                </td>
                <td data-numeric>{count(one.samples)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {off.length > 0 && <p className={classes.off}>Switched off: {off.map((one) => one.name).join(', ')}</p>}
    </Panel>
  );
}

function StateWord({ collector }: { collector: CollectorStatus }) {
  const state = stateOf(collector);
  const tone = state === 'fails' ? 'bad' : state === 'in part' ? 'warn' : state === 'works' ? 'good' : 'dim';
  return (
    <span className={classes.state} data-tone={tone}>
      {state === 'fails' ? (
        <Cross size={13} />
      ) : state === 'in part' ? (
        <Warning size={13} />
      ) : state === 'works' ? (
        <Check size={13} />
      ) : (
        <Info size={13} />
      )}{' '}
      {state}
    </span>
  );
}

function NotCollected({ collectors }: { collectors: CollectorStatus[] }) {
  const missing = collectors
    .filter((one) => one.enabled)
    .flatMap((one) => one.missing.map((item) => ({ ...item, from: one.name })));
  return (
    <Panel title="Not collected, and why" note={missing.length === 0 ? undefined : String(missing.length)}>
      {missing.length === 0 ? (
        <p className={classes.quiet}>Nothing is missing that this kernel has to tell.</p>
      ) : (
        <ul className={classes.missing}>
          {missing.map((one) => (
            <li key={`${one.from} ${one.what} ${one.why}`}>
              <strong>{one.what}</strong> <small>{one.from}</small>
              <p>{one.why}</p>
              {one.remedy && <p className={classes.remedy}>{one.remedy}</p>}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Flags({ status }: { status: Status }) {
  if (status.flags.length === 0) return null;
  return (
    <Panel title="Flags" note={`${status.flags.filter((one) => one.set).length} set`}>
      <div className={classes.scroll} role="region" aria-label="Flags" tabIndex={0}>
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">Flag</th>
              <th scope="col">Value</th>
              <th scope="col">Default</th>
              <th scope="col">Meaning</th>
            </tr>
          </thead>
          <tbody>
            {status.flags.map((one) => (
              <tr key={one.name} data-set={one.set || undefined}>
                <th scope="row">
                  <code>{one.name.startsWith('-') ? one.name : `--${one.name}`}</code>
                </th>
                <td>
                  <code>{one.value || UNKNOWN}</code>
                  {one.set && <span className={classes.set}>set</span>}
                </td>
                <td className={classes.dim}>
                  <code>{one.default || UNKNOWN}</code>
                </td>
                <td className={classes.says}>{one.help}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
