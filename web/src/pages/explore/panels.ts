/**
 * Explore's panels in the address: `g0.expr=…&g0.tab=table&g0.mode=stacked&g1.expr=…`. The names
 * are Prometheus's own, so that links from its pages and its alerts open here. Pure.
 */

export interface PanelState {
  expr: string;
  tab: 'graph' | 'table' | 'explain';
  mode: 'lines' | 'stacked';
}

const MOST = 24;

/** The panels that the address describes; one empty panel where it says nothing. */
export function panelsFromSearch(search: Record<string, unknown>): PanelState[] {
  const panels: PanelState[] = [];
  for (let i = 0; i < MOST; i++) {
    const expr = search[`g${i}.expr`];
    const known = Object.keys(search).some((key) => key.startsWith(`g${i}.`));
    if (!known) break;
    const tab = String(search[`g${i}.tab`] ?? 'graph');
    const mode = String(search[`g${i}.mode`] ?? search[`g${i}.display_mode`] ?? 'lines');
    const stacked = mode === 'stacked' || String(search[`g${i}.stacked`] ?? '0') === '1';
    panels.push({
      expr: typeof expr === 'string' ? expr : expr === true ? 'true' : '',
      // Prometheus 2 wrote 1 for the table.
      tab: tab === 'table' || tab === '1' ? 'table' : tab === 'explain' ? 'explain' : 'graph',
      mode: stacked ? 'stacked' : 'lines',
    });
  }
  return panels.length > 0 ? panels : [{ expr: '', tab: 'graph', mode: 'lines' }];
}

/** The search with these panels and without any others. */
export function panelsToSearch(
  panels: PanelState[],
  search: Record<string, unknown>,
): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(search)) {
    if (!/^g\d+\./.test(key)) out[key] = value;
  }
  panels.slice(0, MOST).forEach((panel, i) => {
    out[`g${i}.expr`] = panel.expr;
    // Also names an empty panel, which would otherwise vanish from the address.
    if (panel.tab !== 'graph' || panel.expr === '') out[`g${i}.tab`] = panel.tab;
    if (panel.mode !== 'lines') out[`g${i}.mode`] = panel.mode;
  });
  return out;
}

/** The range of a Prometheus link (`g0.range_input`, `g0.end_input`), in this page's words. */
export function rangeOfPrometheusLink(search: Record<string, unknown>): Record<string, string> {
  const range = search['g0.range_input'];
  const end = search['g0.end_input'] ?? search['g0.moment_input'];
  if (typeof range !== 'string') return {};
  if (typeof end !== 'string') return { range };
  return { range, end };
}

/** The line of the query in which an error stands, and a caret below the place. */
export function pointAt(
  expr: string,
  position: { line: number; column: number },
): { line: string; caret: string } | null {
  const line = expr.split('\n')[position.line - 1];
  if (line === undefined) return null;
  return { line, caret: `${' '.repeat(Math.max(0, Math.min(line.length, position.column - 1)))}^` };
}
