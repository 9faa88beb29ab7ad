/** The few signs of the pages, drawn for them: 16 by 16, one stroke, the colour of the text. */

interface SignProps {
  size?: number;
}

function Sign({ d, size = 16 }: SignProps & { d: string }) {
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
      <path d={d} />
    </svg>
  );
}

export const Gauge = (props: SignProps) => <Sign d="M2 11a6 6 0 1 1 12 0M8 11l3-4" {...props} />;
export const Boxes = (props: SignProps) => (
  <Sign d="M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z" {...props} />
);
export const Search = (props: SignProps) => (
  <Sign d="M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14" {...props} />
);
export const Drum = (props: SignProps) => (
  <Sign
    d="M2.5 4c0-1.2 2.5-2 5.5-2s5.5.8 5.5 2-2.5 2-5.5 2-5.5-.8-5.5-2zM2.5 4v8c0 1.2 2.5 2 5.5 2s5.5-.8 5.5-2V4M2.5 8c0 1.2 2.5 2 5.5 2s5.5-.8 5.5-2"
    {...props}
  />
);
export const Pulse = (props: SignProps) => <Sign d="M1.5 8.5h3l2-5 3 9 2-4h3" {...props} />;
export const Sun = (props: SignProps) => (
  <Sign
    d="M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1"
    {...props}
  />
);
export const Moon = (props: SignProps) => <Sign d="M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z" {...props} />;
export const Screen = (props: SignProps) => <Sign d="M2 3h12v8H2zM6 14h4M8 11v3" {...props} />;
export const Help = (props: SignProps) => (
  <Sign
    d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM6.2 6.2a1.9 1.9 0 1 1 2.7 1.7c-.6.3-.9.6-.9 1.3M8 11.4v.1"
    {...props}
  />
);
export const Pause = (props: SignProps) => <Sign d="M5.5 3v10M10.5 3v10" {...props} />;
export const Play = (props: SignProps) => <Sign d="M4.5 2.8v10.4L13 8z" {...props} />;
export const Left = (props: SignProps) => <Sign d="M10 3 5 8l5 5" {...props} />;
export const Right = (props: SignProps) => <Sign d="m6 3 5 5-5 5" {...props} />;
export const Down = (props: SignProps) => <Sign d="m3.5 6 4.5 4.5L12.5 6" {...props} />;
export const Clock = (props: SignProps) => (
  <Sign d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 4.5V8l2.5 1.5" {...props} />
);
export const Plus = (props: SignProps) => <Sign d="M8 3v10M3 8h10" {...props} />;
export const Cross = (props: SignProps) => <Sign d="m4 4 8 8M12 4l-8 8" {...props} />;
export const Copy = (props: SignProps) => <Sign d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" {...props} />;
export const Warning = (props: SignProps) => <Sign d="M8 2 1.5 13.5h13zM8 6.5v3M8 11.5v.1" {...props} />;
export const Info = (props: SignProps) => (
  <Sign d="M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 7.5v4M8 4.8v.1" {...props} />
);
export const Check = (props: SignProps) => <Sign d="m3 8.5 3.5 3.5L13 4.5" {...props} />;
export const ZoomOut = (props: SignProps) => (
  <Sign d="M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14M5 7h4" {...props} />
);
export const Open = (props: SignProps) => <Sign d="M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5" {...props} />;
export const Tree = (props: SignProps) => <Sign d="M3 2.5v9h3.5M3 6.5h3.5M9 6.5h4.5M9 11.5h4.5" {...props} />;
export const Rows = (props: SignProps) => <Sign d="M2.5 4h11M2.5 8h11M2.5 12h11" {...props} />;
