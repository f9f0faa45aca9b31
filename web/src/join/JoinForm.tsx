import { useSignal } from "@preact/signals";
import { Plain } from "../app/Plain.js";
import { Labelled } from "../ui/Labelled.js";
import type { Stay } from "./stay.js";
import type { Words } from "./words.js";

/** Names are at most so long. */
const NAME = 64;

/** Name, join; and the way back for those who were here before. */
export function JoinForm({ stay, words }: { stay: Stay; words: Words | undefined }) {
  const name = useSignal(stay.name);
  const reconnect = useSignal("");
  const joining = stay.stage.value.at === "joining";
  const submit = (event: Event) => {
    event.preventDefault();
    void stay.join(name.value.trim(), reconnect.value.trim());
  };
  return (
    <Plain title="Join the workshop" busy={joining}>
      {words && (
        <div class="callout warn" role="alert">
          <strong>{words.title}.</strong> {words.text}
        </div>
      )}
      <form onSubmit={submit} class="stack">
        <p class="aside">
          Code <code>{stay.code}</code> · <a href="/">not this one?</a>
        </p>
        <Labelled
          label="Your name"
          hint="Your instructor sees it beside your seat. It may stay empty."
        >
          {(control) => (
            <input
              {...control}
              autocomplete="nickname"
              maxLength={NAME}
              value={name}
              autofocus
              onInput={(event) => {
                name.value = event.currentTarget.value;
              }}
            />
          )}
        </Labelled>
        <details>
          <summary>I had a seat here, on another device</summary>
          <Labelled
            label="Reconnect code"
            hint="It brings you back to the same seat, files and shells."
          >
            {(control) => (
              <input
                {...control}
                class="code"
                autocomplete="off"
                spellcheck={false}
                value={reconnect}
                onInput={(event) => {
                  reconnect.value = event.currentTarget.value;
                }}
              />
            )}
          </Labelled>
        </details>
        <button type="submit" class="main" disabled={joining}>
          {joining ? "Joining…" : "Join"}
        </button>
      </form>
    </Plain>
  );
}
