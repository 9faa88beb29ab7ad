/** Mantine in the colours of tokens.css. */

import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

const vigil: MantineColorsTuple = [
  '#e6f5fa',
  '#cbe8f1',
  '#9bd3e4',
  '#66bcd6',
  '#3da6c6',
  '#1f90b3',
  '#0f7a9c',
  '#0a6785',
  '#07536c',
  '#043d50',
];

/** Mantine's own dark greys are warm; these are those of tokens.css. */
const dark: MantineColorsTuple = [
  '#e2e8ee',
  '#b9c4ce',
  '#98a5b3',
  '#66737f',
  '#33404c',
  '#222c36',
  '#1a232c',
  '#141b22',
  '#0d1217',
  '#090d11',
];

export const theme = createTheme({
  primaryColor: 'vigil',
  primaryShade: { light: 7, dark: 6 },
  colors: { vigil, dark },
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, Cantarell, sans-serif',
  fontFamilyMonospace: 'var(--kv-mono)',
  defaultRadius: 'sm',
  cursorType: 'pointer',
  respectReducedMotion: true,
});

export const resolver: CSSVariablesResolver = () => ({
  variables: {},
  light: scheme(),
  dark: scheme(),
});

function scheme(): Record<string, string> {
  return {
    '--mantine-color-body': 'var(--kv-page)',
    '--mantine-color-text': 'var(--kv-text)',
    '--mantine-color-dimmed': 'var(--kv-text-dim)',
    '--mantine-color-placeholder': 'var(--kv-text-dim)',
    '--mantine-color-default': 'var(--kv-panel)',
    '--mantine-color-default-hover': 'var(--kv-hover)',
    '--mantine-color-default-color': 'var(--kv-text)',
    '--mantine-color-default-border': 'var(--kv-edge)',
    '--mantine-color-anchor': 'var(--kv-accent)',
  };
}
