import "./editor.css";
import { useEffect, useRef } from "preact/hooks";
import { dark } from "../../app/theme.js";
import { ask } from "../../ui/ask.js";
import { type Doc, type Documents, dirty } from "./documents.js";
import { type Mirror, mirror } from "./mirror.js";

/** The open files' tabs, and the one in front. */
export function Editor({ documents, onSaved }: { documents: Documents; onSaved(): void }) {
  const list = documents.list.value;
  const now = documents.now.value;
  const save = async (doc: Doc) => {
    await documents.save(doc);
    onSaved();
  };
  const close = async (doc: Doc) => {
    if (dirty(doc)) {
      const answer = await ask({
        title: `Save ${doc.path}?`,
        body: "It was changed here and not saved.",
        answers: [
          { word: "Save", key: "save" },
          { word: "Do not save", key: "drop", danger: true },
        ],
      });
      if (!answer) return;
      if (answer.key === "save") await save(doc);
      // A save that was refused says why, in the tab.
      if (
        answer.key === "save" &&
        documents.list.value.some((d) => d.path === doc.path && dirty(d))
      )
        return;
    }
    documents.close(doc.path);
  };
  const key = (event: KeyboardEvent) => {
    const at = list.findIndex(({ path }) => path === now?.path);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    documents.front.value = list[(at + step + list.length) % list.length]?.path;
    const bar = event.currentTarget as HTMLElement;
    requestAnimationFrame(() => bar.querySelector<HTMLElement>('[tabindex="0"]')?.focus());
  };
  return (
    <section class="editor" aria-label="Editor">
      <div class="tabbar">
        <div role="tablist" aria-label="Open files" class="tabs" onKeyDown={key}>
          {list.map((doc) => (
            <button
              key={doc.path}
              type="button"
              role="tab"
              class="tab"
              aria-selected={doc === now}
              tabIndex={doc === now ? 0 : -1}
              title={doc.path}
              onClick={() => {
                documents.front.value = doc.path;
              }}
            >
              <span class="cut">{doc.path.split("/").pop()}</span>
              {dirty(doc) && (
                <span class="dot" role="img" aria-label="not saved">
                  ●
                </span>
              )}
            </button>
          ))}
        </div>
        <span class="grow" />
        {now && (
          <>
            {now.readOnly === undefined && (
              <button
                type="button"
                class="small"
                disabled={!dirty(now) || now.busy.value}
                title="Ctrl-S"
                onClick={() => void save(now)}
              >
                {now.busy.value ? "Saving…" : dirty(now) ? "Save" : "Saved"}
              </button>
            )}
            <button
              type="button"
              class="quiet square"
              aria-label={`Close ${now.path}`}
              onClick={() => void close(now)}
            >
              <span aria-hidden="true">×</span>
            </button>
          </>
        )}
      </div>
      {documents.trouble.value && (
        <p class="callout bad" role="alert">
          {documents.trouble.value}
        </p>
      )}
      {list.map((doc) => (
        <Sheet
          key={doc.text}
          doc={doc}
          shown={doc === now}
          documents={documents}
          onSave={() => void save(doc)}
        />
      ))}
    </section>
  );
}

/** One file; hidden, it keeps its place and what can be undone. */
function Sheet(props: { doc: Doc; documents: Documents; shown: boolean; onSave(): void }) {
  const { doc, documents, shown, onSave } = props;
  const place = useRef<HTMLDivElement>(null);
  const made = useRef<Mirror | undefined>(undefined);
  const saving = useRef(onSave);
  saving.current = onSave;
  useEffect(() => {
    if (!place.current) return;
    const one = mirror({
      place: place.current,
      name: doc.path,
      text: doc.text.value,
      dark: dark.value,
      readOnly: doc.readOnly !== undefined,
      onText: (text) => {
        doc.text.value = text;
      },
      onSave: () => saving.current(),
    });
    made.current = one;
    return () => one.destroy();
  }, []);
  const isDark = dark.value;
  const replaced = doc.replaced.value;
  useEffect(() => made.current?.setDark(isDark), [isDark]);
  useEffect(() => made.current?.setText(doc.text.value), [replaced]);
  const readOnly = doc.readOnly !== undefined;
  useEffect(() => made.current?.setReadOnly(readOnly), [readOnly]);
  useEffect(() => {
    if (shown) made.current?.focus();
  }, [shown]);
  const conflict = doc.conflict.value;
  return (
    <div class="document" hidden={!shown}>
      {doc.readOnly && <p class="standing">{doc.readOnly}</p>}
      {conflict && (
        <div class="callout warn conflict" role="alert">
          <p>
            <strong>{doc.path} was changed elsewhere</strong> since it was opened here
            {conflict.theirs === undefined ? ": it is gone" : ""}. Nothing was overwritten.
          </p>
          <div class="row wrap">
            <button type="button" onClick={() => void documents.keepMine(doc)}>
              Keep mine
            </button>
            <button type="button" onClick={() => documents.takeTheirs(doc)}>
              {conflict.theirs === undefined ? "Close it" : "Take theirs"}
            </button>
          </div>
        </div>
      )}
      <div class="sheets">
        <div ref={place} class="sheet" />
        {conflict?.theirs !== undefined && <Theirs name={doc.path} text={conflict.theirs} />}
      </div>
    </div>
  );
}

/** The other version, beside mine. */
function Theirs({ name, text }: { name: string; text: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!place.current) return;
    const wish = { place: place.current, text, dark: dark.value, readOnly: true };
    const made = mirror({ ...wish, name: `${name}, as it is in the seat` });
    return () => made.destroy();
  }, [text]);
  return (
    <div class="sheet theirs">
      <p class="standing">Theirs, as it is in the seat</p>
      <div ref={place} class="sheet" />
    </div>
  );
}
