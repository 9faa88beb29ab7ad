/** The window behind `?`: every key of the pages. */

import { Modal } from '@mantine/core';
import classes from './KeyList.module.css';
import { KEYS } from './keys';

export default function KeyList({ onClose }: { onClose: () => void }) {
  return (
    // Locking the scroll would write a style element that the page's policy refuses.
    <Modal
      lockScroll={false}
      opened
      onClose={onClose}
      title="Keys"
      size="lg"
      closeButtonProps={{ 'aria-label': 'Close' }}
      transitionProps={{ duration: 0 }}
    >
      <div className={classes.groups}>
        {KEYS.map((group) => (
          <section key={group.where}>
            <h3>{group.where}</h3>
            <dl>
              {group.keys.map((key) => (
                <div key={key.keys}>
                  <dt>
                    {key.keys.split(' ').map((one) => (
                      <kbd key={one}>{one}</kbd>
                    ))}
                  </dt>
                  <dd>{key.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Modal>
  );
}
