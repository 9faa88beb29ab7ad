/** The choice of time: pause, back and forth, the last so long, or from a moment to another. */

import { ActionIcon, Button, Popover, TextInput } from '@mantine/core';
import { useState } from 'react';
import { duration } from '../format/units';
import {
  formatDuration,
  PRESETS,
  parseDuration,
  parseMoment,
  type Range,
  rangeSeconds,
  shift,
  widen,
} from '../time/range';
import { moment, span, type Zone } from '../time/text';
import { Clock, Down, Left, Pause, Play, Right, ZoomOut } from './icons';
import { useZone } from './settings';
import classes from './TimeControl.module.css';
import { useTime } from './time';

export function TimeControl({ step }: { step: boolean }) {
  const time = useTime();
  const zone = useZone();
  const [open, setOpen] = useState(false);
  const last = time.range.kind === 'last';
  const word =
    time.range.kind === 'last'
      ? `Last ${formatDuration(time.range.seconds)}`
      : span(time.range.from, time.range.to, zone);
  return (
    <div className={classes.control} role="group" aria-label="Time">
      {step && (
        <span className={classes.step} title="Distance between two points of the charts">
          step {duration(time.window.step)}
        </span>
      )}
      <Button.Group>
        <Step
          label="Half a range back ( [ )"
          onClick={() => time.setRange(shift(time.range, -1, time.now()))}
        >
          <Left />
        </Step>
        <Popover opened={open} onChange={setOpen} position="bottom-end" shadow="md" trapFocus returnFocus>
          <Popover.Target>
            <Button
              variant="default"
              size="xs"
              onClick={() => setOpen(!open)}
              leftSection={<Clock size={14} />}
              rightSection={<Down size={12} />}
              aria-label={`Time range: ${word}`}
              aria-haspopup="dialog"
              aria-expanded={open}
            >
              {word}
            </Button>
          </Popover.Target>
          <Popover.Dropdown aria-label="Time range" className={classes.dropdown}>
            <Choice
              range={time.range}
              zone={zone}
              shown={time.window}
              onChoose={(range) => {
                setOpen(false);
                time.setRange(range);
              }}
            />
          </Popover.Dropdown>
        </Popover>
        <Step
          label="Half a range forth ( ] )"
          disabled={last}
          onClick={() => time.setRange(shift(time.range, 1, time.now()))}
        >
          <Right />
        </Step>
        <Step label="Zoom out ( - )" onClick={() => time.setRange(widen(time.range, time.now()))}>
          <ZoomOut />
        </Step>
      </Button.Group>
      {last ? (
        <Button
          variant={time.paused ? 'filled' : 'default'}
          size="xs"
          leftSection={time.paused ? <Play size={13} /> : <Pause size={13} />}
          onClick={() => time.setPaused(!time.paused)}
          title="p"
        >
          {time.paused ? 'Go on' : 'Pause'}
        </Button>
      ) : (
        <Button
          variant="filled"
          size="xs"
          leftSection={<Play size={13} />}
          onClick={() => time.setRange({ kind: 'last', seconds: nearPreset(rangeSeconds(time.range)) })}
        >
          Live
        </Button>
      )}
    </div>
  );
}

function Step(props: { label: string; disabled?: boolean; onClick: () => void; children: React.ReactNode }) {
  return (
    <ActionIcon
      variant="default"
      size={30}
      aria-label={props.label}
      title={props.label}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      {props.children}
    </ActionIcon>
  );
}

function nearPreset(seconds: number): number {
  const all = PRESETS.map((text) => parseDuration(text) ?? 900);
  return all.find((one) => one >= seconds) ?? 15 * 86400;
}

function Choice(props: {
  range: Range;
  zone: Zone;
  shown: { start: number; end: number };
  onChoose: (range: Range) => void;
}) {
  const { range, zone, shown, onChoose } = props;
  const [from, setFrom] = useState(moment(shown.start * 1000, zone));
  const [to, setTo] = useState(moment(shown.end * 1000, zone));
  const [last, setLast] = useState('');
  const [error, setError] = useState('');
  const read = (text: string) =>
    parseMoment(
      /[zZ]|[+-]\d\d:?\d\d$/.test(text)
        ? text
        : zone === 'utc'
          ? `${text.replace(' ', 'T')}Z`
          : text.replace(' ', 'T'),
    );
  const apply = () => {
    if (last.trim() !== '') {
      const seconds = parseDuration(last);
      if (seconds === null || seconds < 10)
        setError('a duration such as 90s, 45m or 1h30m, ten seconds or more');
      else onChoose({ kind: 'last', seconds });
      return;
    }
    const a = read(from);
    const b = read(to);
    if (a === null || b === null) setError('times such as 2026-11-21 14:00:00');
    else if (b <= a) setError('the end must be after the start');
    else onChoose({ kind: 'between', from: a, to: b });
  };
  return (
    <div className={classes.choice}>
      <div className={classes.presets}>
        {PRESETS.map((preset) => {
          const seconds = parseDuration(preset) ?? 900;
          return (
            <Button
              key={preset}
              size="xs"
              variant={range.kind === 'last' && range.seconds === seconds ? 'filled' : 'default'}
              onClick={() => onChoose({ kind: 'last', seconds })}
            >
              {preset}
            </Button>
          );
        })}
      </div>
      <form
        className={classes.custom}
        onSubmit={(event) => {
          event.preventDefault();
          apply();
        }}
      >
        <TextInput
          size="xs"
          label="Last"
          placeholder="such as 45m"
          value={last}
          onChange={(e) => setLast(e.currentTarget.value)}
        />
        <p className={classes.or}>or</p>
        <TextInput
          size="xs"
          label={`From (${zone === 'utc' ? 'UTC' : 'local time'})`}
          value={from}
          onChange={(e) => setFrom(e.currentTarget.value)}
        />
        <TextInput size="xs" label="To" value={to} onChange={(e) => setTo(e.currentTarget.value)} />
        {error !== '' && (
          <p role="alert" className={classes.error}>
            {error}
          </p>
        )}
        <Button type="submit" size="xs">
          Show
        </Button>
      </form>
    </div>
  );
}
