import { useSignal } from "@preact/signals";
import { SearchAddon } from "@xterm/addon-search";
import type { Terminal } from "@xterm/xterm";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

/** Finds text in a terminal and its scrollback. */
export function Search({ screen, onClose }: { screen: Terminal; onClose(): void }) {
  const finder = useMemo(() => new SearchAddon(), [screen]);
  const field = useRef<HTMLInputElement>(null);
  const found = useSignal(true);
  // Before anybody can type: the field is there with it.
  useLayoutEffect(() => {
    screen.loadAddon(finder);
    field.current?.focus();
    return () => finder.dispose();
  }, [finder, screen]);
  const find = (back: boolean, typing = false) => {
    const text = field.current?.value ?? "";
    found.value =
      text === "" ||
      (back ? finder.findPrevious(text) : finder.findNext(text, { incremental: typing }));
  };
  return (
    <search class="standing">
      <input
        ref={field}
        class="grow"
        aria-label="Find in this terminal"
        placeholder="Find"
        onInput={() => find(false, true)}
        onKeyDown={(event) => {
          if (event.key === "Enter") find(!event.shiftKey);
          if (event.key === "Escape") onClose();
        }}
      />
      <span role="status">{found.value ? "" : "Not found"}</span>
      <button type="button" class="small" onClick={() => find(true)}>
        Before
      </button>
      <button type="button" class="small" onClick={() => find(false)}>
        After
      </button>
      <button type="button" class="small" onClick={onClose} aria-label="Close the search">
        ×
      </button>
    </search>
  );
}
