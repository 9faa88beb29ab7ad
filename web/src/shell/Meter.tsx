/** A bar for a share of something that ends: a limit, a size. Colour and word change near the end. */

import classes from './Meter.module.css';

export function Meter({ ratio, label, wide }: { ratio: number; label: string; wide?: boolean }) {
  const share = Math.min(1, Math.max(0, ratio));
  const tone = ratio >= 0.95 ? 'bad' : ratio >= 0.8 ? 'warn' : 'calm';
  return (
    <span
      className={classes.meter}
      data-tone={tone}
      data-wide={wide || undefined}
      role="img"
      aria-label={label}
    >
      <i style={{ width: `${(share * 100).toFixed(1)}%` }} />
    </span>
  );
}
