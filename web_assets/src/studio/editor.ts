/** CodeMirror with the page's own colours; loaded after the page, since it is most of its bytes. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { html } from "@codemirror/lang-html";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { markdown } from "@codemirror/lang-markdown";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, linter } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers, rectangularSelection } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export type Language = "html" | "json" | "markdown";

const COLOURS = HighlightStyle.define([
  { tag: [tags.tagName, tags.keyword], color: "var(--code-tag)" },
  { tag: [tags.attributeName, tags.propertyName], color: "var(--code-name)" },
  { tag: [tags.string, tags.attributeValue], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.color, tags.unit], color: "var(--code-number)" },
  { tag: [tags.comment, tags.meta], color: "var(--code-comment)" },
  { tag: [tags.angleBracket, tags.punctuation, tags.bracket], color: "var(--code-quiet)" },
  { tag: tags.heading, fontWeight: "600" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: tags.strong, fontWeight: "600" },
  { tag: tags.link, color: "var(--accent-text)" },
]);

const THEME = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--text)", backgroundColor: "var(--field)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--text)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--field)", color: "var(--text-faint)", border: "none" },
  ".cm-activeLine": { backgroundColor: "var(--line-active)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--panel)", color: "var(--text)", border: "1px solid var(--border)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--accent-ink)" },
  ".cm-panels input, .cm-panels button": { font: "inherit" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--panel)", color: "var(--text-soft)", border: "1px solid var(--border)" },
});

const LANGUAGES: Record<Language, () => Extension> = {
  html: () => html({ autoCloseTags: true }),
  markdown: () => markdown(),
  json: () => [json(), linter(jsonParseLinter()), lintGutter()],
};

/**
 * Text over a selection is put in here and not by the browser, which would keep the look of what was selected by a
 * style attribute; the page's policy refuses that, and reports it.
 */
const OVER_SELECTION = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    const text = event.data;
    if (event.inputType !== "insertText" || !text || empty || view.composing) return false;
    event.preventDefault();
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type" });
    const isHandled = view.state.facet(EditorView.inputHandler).some((one) => one(view, from, to, text, insert));
    if (!isHandled) view.dispatch(insert());
    return true;
  },
});

export interface Editor {
  set(text: string): void;
  language(language: Language, label: string): void;
  focus(): void;
}

/** An editor in an element; `change` gets the text after each edit by its user. */
export function editor(parent: HTMLElement, nonce: string, change: (text: string) => void): Editor {
  let isOurs = false;
  const extensions = (language: Language, label: string): Extension => [
    EditorView.cspNonce.of(nonce),
    lineNumbers(), highlightActiveLineGutter(), highlightSpecialChars(), history(), foldGutter(),
    drawSelection(), dropCursor(), indentOnInput(), bracketMatching(), closeBrackets(), autocompletion(),
    rectangularSelection(), highlightActiveLine(), highlightSelectionMatches(),
    syntaxHighlighting(COLOURS),
    EditorView.lineWrapping, THEME, OVER_SELECTION,
    // Tab leaves the editor, as it leaves every other field; Ctrl+] indents.
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap]),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged && !isOurs) change(update.state.doc.toString());
    }),
    LANGUAGES[language](),
  ];
  const view = new EditorView({ parent, state: EditorState.create({ extensions: extensions("html", "HTML") }) });
  return {
    set(text) {
      if (text === view.state.doc.toString()) return;
      isOurs = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      isOurs = false;
    },
    language(language, label) {
      view.setState(EditorState.create({ doc: view.state.doc, extensions: extensions(language, label) }));
    },
    focus() { view.focus(); },
  };
}
