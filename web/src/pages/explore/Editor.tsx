/** The PromQL editor: CodeMirror with Prometheus's own language support. Loaded only where it is used. */

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap } from '@codemirror/lint';
import { Compartment, EditorState, Prec } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';
import { useEffect, useRef } from 'react';
import { nonce } from '../../shell/nonce';

const colors = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--kv-accent)', fontWeight: '600' },
  { tag: tags.function(tags.variableName), color: 'var(--kv-accent)' },
  { tag: tags.string, color: 'var(--kv-good)' },
  { tag: tags.number, color: 'var(--kv-warn)' },
  { tag: tags.labelName, color: 'var(--kv-blue)' },
  { tag: tags.operator, color: 'var(--kv-text-dim)' },
  { tag: tags.modifier, color: 'var(--kv-accent)' },
  { tag: tags.comment, color: 'var(--kv-text-dim)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--kv-bad)' },
]);

const look = EditorView.theme({
  '&': { fontSize: '13px', backgroundColor: 'transparent', color: 'var(--kv-text)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-content': { fontFamily: 'var(--kv-mono)', padding: '7px 0', caretColor: 'var(--kv-text)' },
  '.cm-line': { padding: '0 10px' },
  '.cm-cursor': { borderLeftColor: 'var(--kv-text)' },
  '.cm-scroller': { lineHeight: '1.45', maxHeight: '240px' },
  '.cm-placeholder': { color: 'var(--kv-text-dim)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': {
    background: 'color-mix(in srgb, var(--kv-accent) 24%, transparent) !important',
  },
  '.cm-matchingBracket': {
    background: 'var(--kv-accent-soft) !important',
    outline: '1px solid var(--kv-accent)',
  },
  '.cm-tooltip': {
    background: 'var(--kv-raised)',
    color: 'var(--kv-text)',
    border: '1px solid var(--kv-edge)',
    borderRadius: '6px',
    boxShadow: 'var(--kv-shadow)',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': {
    fontFamily: 'var(--kv-mono)',
    fontSize: '12.5px',
    maxHeight: '320px',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '2px 10px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]': {
    background: 'var(--kv-accent-soft)',
    color: 'var(--kv-text)',
  },
  '.cm-completionIcon': { display: 'none' },
  '.cm-completionDetail': { color: 'var(--kv-text-dim)', fontStyle: 'normal', marginLeft: '1.2em' },
  '.cm-completionInfo': { maxWidth: '360px', padding: '6px 10px', fontSize: '12.5px' },
  '.cm-diagnostic': { padding: '4px 10px', borderLeft: '3px solid var(--kv-bad)' },
});

interface EditorProps {
  value: string;
  label: string;
  autoFocus: boolean;
  onChange: (text: string) => void;
  onRun: () => void;
}

export default function Editor(props: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;

  // biome-ignore lint/correctness/useExhaustiveDependencies: made once; later values come in below
  useEffect(() => {
    if (!host.current) return;
    const language = new PromQLExtension().setComplete({
      remote: { url: '', httpMethod: 'POST' },
      maxMetricsMetadata: 2000,
    });
    const made = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: props.value,
        extensions: [
          EditorView.cspNonce.of(nonce()),
          look,
          history(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false, maxRenderedOptions: 200 }),
          syntaxHighlighting(colors),
          EditorView.lineWrapping,
          new Compartment().of(language.asExtension()),
          placeholder('A PromQL query, such as rate(node_cpu_seconds_total[1m])'),
          EditorView.contentAttributes.of({
            'aria-label': props.label,
            'data-find': '',
            spellcheck: 'false',
          }),
          keymap.of([...completionKeymap, ...closeBracketsKeymap, ...historyKeymap, ...lintKeymap]),
          Prec.high(
            keymap.of([
              {
                key: 'Enter',
                run: () => {
                  latest.current.onRun();
                  return true;
                },
              },
              { key: 'Shift-Enter', run: insertNewlineAndIndent },
              {
                key: 'Escape',
                run: (v) => {
                  v.contentDOM.blur();
                  return false;
                },
              },
            ]),
          ),
          keymap.of(defaultKeymap),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    if (props.autoFocus) made.focus();
    return () => {
      made.destroy();
      language.destroy();
    };
  }, []);

  useEffect(() => {
    const v = view.current;
    if (v && v.state.doc.toString() !== props.value) {
      v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: props.value } });
    }
  }, [props.value]);

  return <div ref={host} />;
}
