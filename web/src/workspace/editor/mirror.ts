// CodeMirror, put together: fetched when the first file is opened.

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  defaultHighlightStyle,
  indentOnInput,
  indentUnit,
  type LanguageSupport,
  syntaxHighlighting,
} from "@codemirror/language";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { nonce } from "../../app/nonce.js";
import { darkStyle } from "./colours.js";
import { endingOf, written } from "./endings.js";

/** How an editor is made. */
export interface Wish {
  readonly place: HTMLElement;
  readonly name: string;
  readonly text: string;
  readonly dark: boolean;
  readonly readOnly: boolean;
  onText?(text: string): void;
  onSave?(): void;
}

/** An editor of one file. */
export interface Mirror {
  setDark(dark: boolean): void;
  setReadOnly(readOnly: boolean): void;
  setText(text: string): void;
  focus(): void;
  destroy(): void;
}

/** Makes one; its language follows as soon as it is fetched. */
export function mirror(wish: Wish): Mirror {
  const colours = new Compartment();
  const language = new Compartment();
  const editing = new Compartment();
  // Kept here, not as CodeMirror's `lineSeparator`: with that, a "\n" that is pasted ends no
  // line, and would be a line end of another kind in the file. A text of mixed ones is read-only.
  let ending = endingOf(wish.text) ?? "\n";
  let replacing = false;
  const save = (): boolean => {
    wish.onSave?.();
    return true;
  };
  const view = new EditorView({
    parent: wish.place,
    state: EditorState.create({
      doc: wish.text,
      extensions: [
        EditorView.cspNonce.of(nonce()),
        lineNumbers(),
        history(),
        drawSelection(),
        indentOnInput(),
        indentUnit.of("    "),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        keymap.of([
          { key: "Mod-s", preventDefault: true, run: save },
          ...closeBracketsKeymap,
          ...defaultKeymap,
          ...searchKeymap,
          ...historyKeymap,
          ...completionKeymap,
          // Escape, then Tab, leaves the editor: CodeMirror's own way out for keyboards.
          indentWithTab,
        ]),
        editing.of(EditorState.readOnly.of(wish.readOnly)),
        EditorView.contentAttributes.of({ "aria-label": wish.name }),
        EditorView.updateListener.of((update) => {
          // What came from outside is known there, to the last line end.
          if (update.docChanged && !replacing) wish.onText?.(written(update.state.doc, ending));
        }),
        colours.of(coloursOf(wish.dark)),
        language.of([]),
      ],
    }),
  });
  void languageOf(wish.name).then((found) => {
    if (found) view.dispatch({ effects: language.reconfigure(found) });
  });
  return {
    setDark: (dark) => view.dispatch({ effects: colours.reconfigure(coloursOf(dark)) }),
    setReadOnly: (readOnly) =>
      view.dispatch({ effects: editing.reconfigure(EditorState.readOnly.of(readOnly)) }),
    setText: (text) => {
      ending = endingOf(text) ?? "\n";
      const insert = view.state.toText(text);
      if (insert.eq(view.state.doc)) return;
      replacing = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } });
      replacing = false;
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

function coloursOf(dark: boolean): Extension {
  const theme = EditorView.theme(
    {
      "&": { height: "100%", fontSize: "14px", color: "var(--text)", background: "var(--surface)" },
      ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
      ".cm-gutters": { background: "var(--surface)", color: "var(--muted)", border: "0" },
      ".cm-activeLine": { background: "color-mix(in srgb, var(--raised) 55%, transparent)" },
      ".cm-content": { caretColor: "var(--accent)" },
      ".cm-cursor": { borderLeftColor: "var(--accent)" },
      "&.cm-focused": { outline: "none" },
      ".cm-panels": { background: "var(--raised)", color: "var(--text)" },
    },
    { dark },
  );
  return [theme, syntaxHighlighting(dark ? darkStyle : defaultHighlightStyle)];
}

/** Fetched by what the file is: Markdown alone drags three grammars along. */
async function languageOf(name: string): Promise<LanguageSupport | undefined> {
  const ending = /\.(\w+)$/.exec(name)?.[1]?.toLowerCase();
  switch (ending) {
    case "py":
      return (await import("@codemirror/lang-python")).python();
    case "js":
    case "mjs":
    case "cjs":
    case "jsx":
      return (await import("@codemirror/lang-javascript")).javascript({ jsx: true });
    case "ts":
    case "tsx":
      return (await import("@codemirror/lang-javascript")).javascript({
        typescript: true,
        jsx: ending === "tsx",
      });
    case "json":
      return (await import("@codemirror/lang-json")).json();
    case "md":
      return (await import("@codemirror/lang-markdown")).markdown();
    default:
      return undefined;
  }
}
