import { useRef } from "preact/hooks";
import { change, SIZES, settings } from "./settings.js";
import type { Shell } from "./shell.js";

/** How terminals look and behave, behind one button. */
export function Options({ shell }: { shell(): Shell }) {
  const panel = useRef<HTMLDivElement>(null);
  const { fontSize, copyOnSelect, screenReader } = settings.value;
  return (
    <>
      <button
        type="button"
        class="quiet small"
        popovertarget="terminal-options"
        onClick={({ currentTarget }) => {
          // Below its button, whatever stands above the terminals now.
          const { bottom } = currentTarget.getBoundingClientRect();
          panel.current?.style.setProperty("top", `${bottom + 4}px`);
        }}
      >
        Options
      </button>
      <div ref={panel} id="terminal-options" popover="auto" class="options">
        <fieldset class="row">
          <legend class="unseen">Size of letters</legend>
          <span class="grow">Letters</span>
          <button
            type="button"
            class="small"
            aria-label="Smaller letters"
            disabled={fontSize <= SIZES.least}
            onClick={() => change({ fontSize: fontSize - 1 })}
          >
            <span aria-hidden="true">−</span>
          </button>
          <output aria-label="Size of letters">{fontSize}</output>
          <button
            type="button"
            class="small"
            aria-label="Larger letters"
            disabled={fontSize >= SIZES.most}
            onClick={() => change({ fontSize: fontSize + 1 })}
          >
            <span aria-hidden="true">+</span>
          </button>
        </fieldset>
        <Check
          is={copyOnSelect}
          says="Copy what is selected at once"
          onChange={(is) => change({ copyOnSelect: is })}
        />
        <Check
          is={screenReader}
          says="Tell screen readers what the terminal says"
          onChange={(is) => change({ screenReader: is })}
        />
        <button
          type="button"
          onClick={() => {
            panel.current?.hidePopover();
            shell().press("\x17");
          }}
        >
          Press Ctrl-W, which closes the browser's tab otherwise
        </button>
        <p class="aside">
          Ctrl-Shift-F finds, Ctrl-C copies a selection, Ctrl-Shift-F6 leaves to the tabs.
        </p>
      </div>
    </>
  );
}

function Check(props: { is: boolean; says: string; onChange(is: boolean): void }) {
  return (
    <label class="row">
      <input
        type="checkbox"
        checked={props.is}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      {props.says}
    </label>
  );
}
