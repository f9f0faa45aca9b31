import "./workspace.css";
import type { Seat } from "@clarateach/sdk";
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { icon } from "../app/icon.js";
import type { Stay } from "../join/stay.js";
import { WayBack } from "../join/WayBack.js";
import { Asking, sure } from "../ui/ask.js";
import { lately } from "../ui/Lazy.js";
import { Splitter } from "../ui/Splitter.js";
import { Documents } from "./editor/documents.js";
import { Files } from "./files/Files.js";
import { Tree } from "./files/tree.js";
import { Uploads } from "./files/uploads.js";
import { resize, sizes } from "./layout.js";
import { TopBar } from "./TopBar.js";
import { hasGraphics } from "./terminals/drawing.js";
import { Terminals } from "./terminals/Terminals.js";
import { Tabs } from "./terminals/tabs.js";
import { Warnings } from "./Warnings.js";

// Asked while the learner types a name: the first frame would wait for it.
hasGraphics();

const Editor = lately(() => import("./editor/Editor.js").then(({ Editor }) => Editor));
const Instructions = lately(() =>
  import("./Instructions.js").then(({ Instructions }) => Instructions),
);

/** What a narrow screen shows; a wide one shows all. */
type Part = "instructions" | "terminals" | "files";

/** A learner's seat: terminals, files, and what to do. */
export function Workspace({ stay, seat }: { stay: Stay; seat: Seat }) {
  const { tabs, tree, uploads, documents } = useMemo(() => partsOf(seat), [seat]);
  const part = useSignal<Part>("terminals");
  useEffect(() => () => tabs.end(), [tabs]);
  useEffect(() => {
    document.title = `${seat.workshopName} · ClaraTeach`;
  }, [seat]);
  useSignalEffect(() => icon(tabs.now.state.value.is === "away" ? "away" : "ready"));
  useSignalEffect(() => guard(documents.unsaved.value));
  useEffect(() => watchShell(tabs, () => void tree.refresh()), [tabs, tree]);
  const run = async (code: string) => {
    const { screen } = tabs.now;
    // Something has the whole screen: it would take the text for its own keys.
    const busy = screen.buffer.active.type === "alternate";
    const body = "A program has the terminal. The text would go to it.";
    if (busy && !(await sure("Type it all the same?", body, "Type it", false))) return;
    part.value = "terminals";
    await tabs.now.type(`${code.trimEnd()}\r`);
    screen.focus();
  };
  const { instructions, files, editor } = sizes.value;
  const editing = documents.list.value.length > 0;
  const hasText = seat.instructions.trim() !== "";
  return (
    <div class="workspace">
      <TopBar stay={stay} seat={seat} />
      <Warnings stay={stay} />
      <WayBack stay={stay} />
      <nav class="parts" aria-label="Parts of the workspace">
        {(["instructions", "terminals", "files"] as const)
          .filter((name) => name !== "instructions" || hasText)
          .map((name) => (
            <button
              key={name}
              type="button"
              class="quiet"
              aria-current={part.value === name ? "page" : undefined}
              onClick={() => {
                part.value = name;
              }}
            >
              {{ instructions: "Read", terminals: "Terminal", files: "Files" }[name]}
            </button>
          ))}
      </nav>
      <main
        class="panes"
        data-part={part.value}
        style={`--instructions:${instructions}px;--files:${files}px;--editor:${editor}px`}
      >
        {hasText && (
          <>
            <div class="left">
              <Instructions text={seat.instructions} onRun={(code) => void run(code)} />
            </div>
            <Splitter
              label="Width of the instructions"
              along="x"
              size={instructions}
              min={180}
              max={window.innerWidth / 2}
              onSize={(size) => resize("instructions", size)}
            />
          </>
        )}
        <div class="middle">
          <Terminals tabs={tabs} machine={stay.update.value?.state ?? "ready"} />
          {editing && (
            <>
              <Splitter
                label="Height of the editor"
                along="y"
                size={editor}
                min={120}
                max={window.innerHeight - 260}
                after
                onSize={(size) => resize("editor", size)}
              />
              <div class="bottom">
                <Editor documents={documents} onSaved={() => void tree.refresh()} />
              </div>
            </>
          )}
        </div>
        <Splitter
          label="Width of the files"
          along="x"
          size={files}
          min={160}
          max={window.innerWidth / 2}
          after
          onSize={(size) => resize("files", size)}
        />
        <div class="right">
          <Files
            seat={seat}
            tree={tree}
            uploads={uploads}
            onOpen={(entry) => void documents.open(entry)}
            onMoved={(from, to) => documents.moved(from, to)}
          />
          {documents.trouble.value && !editing && (
            <p class="callout bad" role="alert">
              {documents.trouble.value}
            </p>
          )}
        </div>
      </main>
      <Asking />
    </div>
  );
}

function partsOf(seat: Seat) {
  return {
    tabs: new Tabs(seat),
    tree: new Tree(seat),
    uploads: new Uploads(seat),
    documents: new Documents(seat),
  };
}

/** Leaving asks only when something would be lost: shells live on without a page. */
function guard(unsaved: boolean): () => void {
  if (!unsaved) return () => undefined;
  const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
  window.addEventListener("beforeunload", ask);
  return () => window.removeEventListener("beforeunload", ask);
}

/** A shell that was busy may have made files: looks once it is quiet, in milliseconds. */
const QUIET_MS = 1_000;

function watchShell(tabs: Tabs, look: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  const wait = (ms: number): void => {
    timer = setTimeout(() => {
      timer = undefined;
      const left = last + QUIET_MS - performance.now();
      if (left > 0) wait(left);
      else if (!document.hidden) look();
    }, ms);
  };
  tabs.onOutput = () => {
    // Called for every piece of a flood: one timer does for all of them.
    last = performance.now();
    if (timer === undefined) wait(QUIET_MS);
  };
  return () => {
    clearTimeout(timer);
    tabs.onOutput = () => undefined;
  };
}
