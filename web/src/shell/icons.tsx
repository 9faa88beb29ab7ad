/** The few signs of the pages, drawn for them: 16 by 16, one stroke, the colour of the text. */

import type { ReactNode } from 'react';

function Icon({ children, size = 16 }: { children: ReactNode; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

const icon = (children: ReactNode) =>
  function Sign({ size }: { size?: number }) {
    return <Icon size={size}>{children}</Icon>;
  };

export const Gauge = icon(<path d="M2 11a6 6 0 1 1 12 0M8 11l3-4" />);
export const Boxes = icon(<path d="M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z" />);
export const Search = icon(<path d="M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14" />);
export const Pulse = icon(<path d="M1.5 8.5h3l2-5 3 9 2-4h3" />);
export const Sun = icon(
  <path d="M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1" />,
);
export const Moon = icon(<path d="M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z" />);
export const Screen = icon(<path d="M2 3h12v8H2zM6 14h4M8 11v3" />);
export const Help = icon(
  <path d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM6.2 6.2a1.9 1.9 0 1 1 2.7 1.7c-.6.3-.9.6-.9 1.3M8 11.4v.1" />,
);
export const Pause = icon(<path d="M5.5 3v10M10.5 3v10" />);
export const Play = icon(<path d="M4.5 2.8v10.4L13 8z" />);
export const Left = icon(<path d="M10 3 5 8l5 5" />);
export const Right = icon(<path d="m6 3 5 5-5 5" />);
export const Down = icon(<path d="m3.5 6 4.5 4.5L12.5 6" />);
export const Clock = icon(<path d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 4.5V8l2.5 1.5" />);
export const Plus = icon(<path d="M8 3v10M3 8h10" />);
export const Cross = icon(<path d="m4 4 8 8M12 4l-8 8" />);
export const Copy = icon(<path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />);
export const Warning = icon(<path d="M8 2 1.5 13.5h13zM8 6.5v3M8 11.5v.1" />);
export const Info = icon(<path d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 7.5v4M8 4.8v.1" />);
export const Check = icon(<path d="m3 8.5 3.5 3.5L13 4.5" />);
export const ZoomOut = icon(<path d="M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14M5 7h4" />);
export const Open = icon(<path d="M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5" />);
export const Tree = icon(<path d="M3 2.5v9h3.5M3 6.5h3.5M9 6.5h4.5M9 11.5h4.5" />);
export const Rows = icon(<path d="M2.5 4h11M2.5 8h11M2.5 12h11" />);
