/** The frame of every page: name, pages, time, and what is wrong with the connection. */

import { ActionIcon, Menu, useMantineColorScheme } from '@mantine/core';
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import { lazy, type ReactNode, Suspense, useMemo, useState } from 'react';
import { shift, widen } from '../time/range';
import { ConnectionBanner, Gate } from './ConnectionStates';
import { useConnection, useStatus } from './connection';
import { Boxes, Check, Drum, Gauge, Help, Moon, Pulse, Screen, Search, Sun } from './icons';
import { useKeys } from './keys';
import classes from './Layout.module.css';
import { shared } from './search';
import { setZone, useZone } from './settings';
import { TimeControl } from './TimeControl';
import { TimeProvider, useTime } from './time';
import { kernelName } from './why';

const KeyList = lazy(() => import('./KeyList'));

const PAGES: { to: string; label: string; icon: ReactNode }[] = [
  { to: '/', label: 'Overview', icon: <Gauge /> },
  { to: '/containers', label: 'Containers', icon: <Boxes /> },
  { to: '/explore', label: 'Explore', icon: <Search /> },
  { to: '/store', label: 'Store', icon: <Drum /> },
  { to: '/status', label: 'Status', icon: <Pulse /> },
];

export function Layout() {
  return (
    <TimeProvider>
      <Frame />
    </TimeProvider>
  );
}

function Frame() {
  const [help, setHelp] = useState(false);
  const status = useStatus();
  const navigate = useNavigate();
  const time = useTime();
  const actions = useMemo(() => {
    const go = (to: string) => () => void navigate({ to, search: shared } as never);
    return {
      'g o': go('/'),
      'g c': go('/containers'),
      'g e': go('/explore'),
      'g d': go('/store'),
      'g s': go('/status'),
      p: () => time.setPaused(!time.paused),
      '[': () => time.setRange(shift(time.range, -1, time.now())),
      ']': () => time.setRange(shift(time.range, 1, time.now())),
      '-': () => time.setRange(widen(time.range, time.now())),
      '/': () => document.querySelector<HTMLElement>('[data-find]')?.focus(),
      '?': () => setHelp(true),
    };
  }, [navigate, time]);
  useKeys(actions);
  return (
    <div className={classes.frame}>
      <a className={classes.skip} href="#main">
        To the content
      </a>
      <header className={classes.header}>
        <Link to="/" search={shared as never} className={classes.name} aria-label="Kubevigil, Overview">
          <Mark />
          <span>Kubevigil</span>
        </Link>
        <nav className={classes.nav} aria-label="Pages">
          {PAGES.map((page) => (
            <PageLink key={page.to} {...page} />
          ))}
        </nav>
        <div className={classes.host}>
          <State />
          <span title={status ? `${status.hostname}, ${kernelName(status.kernel)}` : undefined}>
            {status?.hostname ?? ''}
          </span>
        </div>
        <SettingsMenu />
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label="Keys"
          title="Keys (?)"
          onClick={() => setHelp(true)}
        >
          <Help />
        </ActionIcon>
      </header>
      <ConnectionBanner />
      <main id="main" className={classes.main} tabIndex={-1}>
        <Gate>
          <Suspense fallback={null}>
            <Outlet />
          </Suspense>
        </Gate>
      </main>
      {help && (
        <Suspense fallback={null}>
          <KeyList onClose={() => setHelp(false)} />
        </Suspense>
      )}
    </div>
  );
}

function PageLink({ to, label, icon }: { to: string; label: string; icon: ReactNode }) {
  const path = useLocation({ select: (location) => location.pathname });
  const here = to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`);
  return (
    <Link
      to={to}
      search={shared as never}
      className={classes.page}
      data-here={here || undefined}
      aria-current={here ? 'page' : undefined}
    >
      {icon}
      <span>{label}</span>
    </Link>
  );
}

/** The state of the connection as a sign and a word. */
function State() {
  const { connection, slow } = useConnection();
  const time = useTime();
  const [word, tone] =
    connection.state === 'lost'
      ? ['no answer', 'bad']
      : connection.state === 'opening'
        ? ['opening', 'warn']
        : connection.state === 'connecting'
          ? ['connecting', 'dim']
          : slow
            ? ['slow', 'warn']
            : time.live
              ? ['live', 'good']
              : [time.paused ? 'paused' : 'past', 'dim'];
  return (
    <span className={classes.state} data-tone={tone}>
      <i aria-hidden="true" />
      <span role="status">{word}</span>
    </span>
  );
}

function SettingsMenu() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const zone = useZone();
  const tick = (on: boolean) => (on ? <Check size={14} /> : <span className={classes.noTick} />);
  return (
    <Menu position="bottom-end" width={210} withinPortal={false}>
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label="Colours and time zone"
          title="Colours and time zone"
        >
          {colorScheme === 'light' ? <Sun /> : colorScheme === 'dark' ? <Moon /> : <Screen />}
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Colours</Menu.Label>
        <Menu.Item leftSection={tick(colorScheme === 'auto')} onClick={() => setColorScheme('auto')}>
          as the system
        </Menu.Item>
        <Menu.Item leftSection={tick(colorScheme === 'light')} onClick={() => setColorScheme('light')}>
          light
        </Menu.Item>
        <Menu.Item leftSection={tick(colorScheme === 'dark')} onClick={() => setColorScheme('dark')}>
          dark
        </Menu.Item>
        <Menu.Divider />
        <Menu.Label>Times in</Menu.Label>
        <Menu.Item leftSection={tick(zone === 'local')} onClick={() => setZone('local')}>
          this browser's zone
        </Menu.Item>
        <Menu.Item leftSection={tick(zone === 'utc')} onClick={() => setZone('utc')}>
          UTC
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Mark() {
  return (
    <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#0b5e78" />
      <path
        d="M4 16c3.4-5.2 7.4-7.8 12-7.8S24.6 10.8 28 16c-3.4 5.2-7.4 7.8-12 7.8S7.4 21.2 4 16z"
        fill="none"
        stroke="#fff"
        strokeWidth="2"
      />
      <path
        d="M9.5 17.5h3l2-5 3 8 2-4.5h3"
        fill="none"
        stroke="#ffb84d"
        strokeWidth="2"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}

/** The head of a page: its title, what belongs to it, and the time. */
export function PageHead({
  title,
  children,
  time = true,
  step = true,
}: {
  title: ReactNode;
  children?: ReactNode;
  time?: boolean;
  step?: boolean;
}) {
  return (
    <div className={classes.head}>
      <h1>{title}</h1>
      <div className={classes.extra}>{children}</div>
      {time && <TimeControl step={step} />}
    </div>
  );
}
