/** What stands where data would be: why there is none, and what to do. */

import type { ReactNode } from 'react';
import classes from './Word.module.css';

export function Word(props: {
  title: string;
  tone?: 'dim' | 'warn' | 'bad';
  children?: ReactNode;
  small?: boolean;
}) {
  return (
    <div className={classes.word} data-tone={props.tone ?? 'dim'} data-small={props.small || undefined}>
      <strong>{props.title}</strong>
      {props.children && <div>{props.children}</div>}
    </div>
  );
}
