import "@xterm/xterm/css/xterm.css";
import { useRef } from "preact/hooks";
import { askText } from "../../ui/ask.js";
import { KeyRow } from "./KeyRow.js";
import { Options } from "./Options.js";
import { Pane } from "./Pane.js";
import { MOST, type Tabs } from "./tabs.js";

/** The terminals' tabs, and the one in front; `machine` is the state of what they run on. */
export function Terminals({ tabs, machine }: { tabs: Tabs; machine: string }) {
  const list = tabs.list.value;
  const front = tabs.front.value;
  const bar = useRef<HTMLDivElement>(null);
  const focusTab = () =>
    requestAnimationFrame(() =>
      bar.current?.querySelector<HTMLElement>('[aria-selected="true"]')?.focus(),
    );
  const key = (event: KeyboardEvent) => {
    const at = list.findIndex(({ name }) => name === front);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: list.length - 1 }[event.key];
    const next = to === undefined ? undefined : list[(to + list.length) % list.length];
    if (next) {
      event.preventDefault();
      tabs.front.value = next.name;
      focusTab();
    } else if (event.key === "F2") {
      event.preventDefault();
      void rename(tabs, front);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      tabs.now.screen.focus();
    }
  };
  return (
    <section class="terminals" aria-label="Terminals">
      <div class="tabbar">
        <div ref={bar} role="tablist" aria-label="Terminals" class="tabs" onKeyDown={key}>
          {list.map(({ name, title }) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={name === front}
              aria-controls={`pane-${name}`}
              tabIndex={name === front ? 0 : -1}
              class="tab"
              title="Double-click or F2 renames"
              onClick={() => {
                tabs.front.value = name;
                requestAnimationFrame(() => tabs.now.screen.focus());
              }}
              onDblClick={() => void rename(tabs, name)}
            >
              <span class="cut">{title}</span>
            </button>
          ))}
        </div>
        {list.length > 1 && (
          <button
            type="button"
            class="quiet square"
            aria-label="Close this terminal's tab"
            title="Close this tab. Its shell runs on: + brings it back"
            onClick={() => tabs.close(front)}
          >
            <span aria-hidden="true">×</span>
          </button>
        )}
        <button
          type="button"
          class="quiet square"
          aria-label="New terminal"
          title="New terminal"
          disabled={list.length >= MOST}
          onClick={() => tabs.add()}
        >
          <span aria-hidden="true">+</span>
        </button>
        <span class="grow" />
        <Options shell={() => tabs.now} />
      </div>
      {list.map(({ name, title }) => (
        <Pane
          key={name}
          shell={tabs.shell(name)}
          title={title}
          shown={name === front}
          machine={machine}
          onLeave={focusTab}
          onRenew={() => tabs.renew(name)}
        />
      ))}
      <KeyRow shell={() => tabs.now} />
    </section>
  );
}

async function rename(tabs: Tabs, name: string): Promise<void> {
  const value = tabs.list.value.find((tab) => tab.name === name)?.title ?? "";
  const title = await askText("Rename this terminal", { label: "Name", value }, "Rename");
  if (title) tabs.rename(name, title);
}
