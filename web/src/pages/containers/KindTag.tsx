/** What sort of control group it is, as a small word. */

import type { Container } from '../../api/vigil';
import classes from './Containers.module.css';

export function KindTag({ container }: { container: Container }) {
  const word = container.kind === 'container' && container.runtime ? container.runtime : container.kind;
  return (
    <span className={classes.kind} data-kind={container.kind}>
      {word}
    </span>
  );
}
