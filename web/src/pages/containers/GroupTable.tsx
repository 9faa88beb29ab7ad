/** The table itself: only the rows in sight are in the page; arrow keys, j and k move over all of them. */

import { useNavigate } from '@tanstack/react-router';
import { type KeyboardEvent, memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { Down, Right } from '../../shell/icons';
import { containerPath, shared } from '../../shell/search';
import classes from './Containers.module.css';
import type { Column, RowContext } from './columns';
import { KindTag } from './KindTag';
import type { Row } from './tree';

const ROW = 34;
/** Rows beyond the edges of the window. */
const SPARE = 12;

interface TableProps {
  rows: Row[];
  columns: Column[];
  context: RowContext;
  tree: boolean;
  sort: string;
  onSort: (sort: string) => void;
  onToggle: (id: string) => void;
}

export function GroupTable({ rows, columns, context, tree, sort, onSort, onToggle }: TableProps) {
  const navigate = useNavigate();
  const body = useRef<HTMLTableSectionElement>(null);
  const [range, setRange] = useState({ from: 0, to: 60 });
  const [current, setCurrent] = useState<string | null>(null);
  const wantFocus = useRef(false);

  const measure = useCallback(() => {
    const top = body.current?.getBoundingClientRect().top ?? 0;
    const from = Math.max(0, Math.floor(-top / ROW) - SPARE);
    const to = Math.ceil((window.innerHeight - top) / ROW) + SPARE;
    setRange((old) => (old.from === from && old.to === to ? old : { from, to }));
  }, []);
  useLayoutEffect(measure, [measure]);
  useEffect(() => {
    window.addEventListener('scroll', measure, { passive: true });
    window.addEventListener('resize', measure);
    return () => {
      window.removeEventListener('scroll', measure);
      window.removeEventListener('resize', measure);
    };
  }, [measure]);

  const at = Math.max(
    0,
    rows.findIndex((row) => row.container.id === current),
  );
  useLayoutEffect(() => {
    if (!wantFocus.current) return;
    const row = body.current?.querySelector<HTMLElement>(`[data-row="${at}"]`);
    if (row) {
      wantFocus.current = false;
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: 'nearest' });
    } else if (body.current) {
      window.scrollBy({ top: body.current.getBoundingClientRect().top + at * ROW - window.innerHeight / 2 });
    }
  });

  const open = useCallback(
    (id: string) => {
      const to = id === '/' ? '/' : containerPath(id);
      void navigate({ to, search: shared } as never);
    },
    [navigate],
  );

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = rows[at];
    const move = (to: number) => {
      event.preventDefault();
      const goal = rows[Math.min(rows.length - 1, Math.max(0, to))];
      if (!goal) return;
      wantFocus.current = true;
      setCurrent(goal.container.id);
    };
    if (event.key === 'j' || event.key === 'ArrowDown') move(at + 1);
    else if (event.key === 'k' || event.key === 'ArrowUp') move(at - 1);
    else if (event.key === 'Home') move(0);
    else if (event.key === 'End') move(rows.length - 1);
    else if (event.key === 'PageDown') move(at + 15);
    else if (event.key === 'PageUp') move(at - 15);
    else if (!row) return;
    else if (event.key === 'Enter') {
      event.preventDefault();
      open(row.container.id);
    } else if (tree && event.key === 'ArrowRight') {
      event.preventDefault();
      if (row.children > 0 && !row.open) onToggle(row.container.id);
      else if (row.children > 0) move(at + 1);
    } else if (tree && event.key === 'ArrowLeft') {
      event.preventDefault();
      if (row.children > 0 && row.open) onToggle(row.container.id);
      else move(rows.findLastIndex((one, i) => i < at && one.level < row.level));
    }
  };

  const from = Math.min(range.from, Math.max(0, rows.length - 1));
  const shown = rows.slice(from, range.to);
  return (
    <div className={classes.scroll}>
      <table
        className={classes.table}
        role={tree ? 'treegrid' : 'grid'}
        aria-label="Control groups"
        aria-rowcount={rows.length + 1}
      >
        <colgroup>
          <col className={classes.nameColumn} />
          {columns.map((column) => (
            <col key={column.key} style={{ width: column.width }} />
          ))}
        </colgroup>
        <Head columns={columns} sort={sort} onSort={onSort} />
        <tbody ref={body} onKeyDown={onKeyDown}>
          {from > 0 && <Spacer columns={columns.length + 1} height={from * ROW} />}
          {shown.map((row, i) => (
            <GroupRow
              key={row.container.id}
              row={row}
              index={from + i}
              columns={columns}
              context={context}
              tree={tree}
              focusable={from + i === at}
              onFocus={setCurrent}
              onOpen={open}
              onToggle={onToggle}
            />
          ))}
          {range.to < rows.length && (
            <Spacer columns={columns.length + 1} height={(rows.length - range.to) * ROW} />
          )}
        </tbody>
      </table>
    </div>
  );
}

/** Stands for the rows that are out of sight. */
function Spacer({ columns, height }: { columns: number; height: number }) {
  return (
    <tr>
      <td colSpan={columns} className={classes.spacer} style={{ height }} />
    </tr>
  );
}

function Head({
  columns,
  sort,
  onSort,
}: {
  columns: Column[];
  sort: string;
  onSort: (sort: string) => void;
}) {
  const descending = sort.startsWith('-');
  const key = descending ? sort.slice(1) : sort;
  const order = (column: string) => (key === column ? (descending ? 'descending' : 'ascending') : undefined);
  // Numbers begin with the largest, names with A.
  const next = (column: string) =>
    column === 'name' ? (sort === 'name' ? '-name' : 'name') : sort === `-${column}` ? column : `-${column}`;
  return (
    <thead>
      <tr aria-rowindex={1}>
        <th scope="col" aria-sort={order('name')}>
          <button type="button" onClick={() => onSort(next('name'))}>
            Name
          </button>
        </th>
        {columns.map((column) => (
          <th
            key={column.key}
            scope="col"
            aria-sort={order(column.key)}
            data-numeric={column.numeric || undefined}
            title={column.means}
          >
            {column.head === '' ? (
              <span className="visually-hidden">{column.means}</span>
            ) : (
              <button type="button" onClick={() => onSort(next(column.key))}>
                {column.head}
              </button>
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
}

interface RowProps {
  row: Row;
  index: number;
  columns: Column[];
  context: RowContext;
  tree: boolean;
  focusable: boolean;
  onFocus: (id: string) => void;
  onOpen: (id: string) => void;
  onToggle: (id: string) => void;
}

const GroupRow = memo(function GroupRow(props: RowProps) {
  const { row, index, columns, context, tree, focusable, onFocus, onOpen, onToggle } = props;
  const { container } = row;
  return (
    <tr
      data-row={index}
      data-ended={container.ended_ms !== null || undefined}
      tabIndex={focusable ? 0 : -1}
      aria-rowindex={index + 2}
      aria-level={tree ? row.level : undefined}
      aria-expanded={tree && row.children > 0 ? row.open : undefined}
      onFocus={() => onFocus(container.id)}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest('button')) onOpen(container.id);
      }}
    >
      <td>
        <span
          className={classes.name}
          style={{ paddingLeft: tree ? (row.level - 1) * 18 : 0 }}
          title={container.id}
        >
          {tree &&
            (row.children > 0 ? (
              <button
                type="button"
                tabIndex={-1}
                className={classes.toggle}
                aria-label={row.open ? `Close ${container.title}` : `Open ${container.title}`}
                onClick={() => onToggle(container.id)}
              >
                {row.open ? <Down size={12} /> : <Right size={12} />}
              </button>
            ) : (
              <i className={classes.leaf} />
            ))}
          <span className={classes.title}>{container.title}</span>
          <KindTag container={container} />
          {container.ended_ms !== null && <span className={classes.ended}>ended</span>}
          {container.image !== '' && <span className={classes.image}>{container.image}</span>}
        </span>
      </td>
      {columns.map((column) => (
        <td key={column.key} data-numeric={column.numeric || undefined}>
          {column.cell(container, context)}
        </td>
      ))}
    </tr>
  );
});
