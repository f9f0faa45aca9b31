import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { codeIn } from "../join/code.js";
import { Labelled } from "../ui/Labelled.js";
import { Plain } from "./Plain.js";

/** Where somebody without a link begins. */
export function Home() {
  const { route } = useLocation();
  const typed = useSignal("");
  const join = (event: Event) => {
    event.preventDefault();
    const code = codeIn(typed.value);
    if (code !== "") route(`/j/${encodeURIComponent(code)}`);
  };
  return (
    <Plain title="Join your workshop">
      <form onSubmit={join} class="stack">
        <Labelled
          label="Join code"
          hint="Your instructor has it. A whole join link works here, too."
        >
          {(control) => (
            <input
              {...control}
              class="code"
              required
              autocomplete="off"
              autocapitalize="characters"
              spellcheck={false}
              placeholder="XXXXX-XXXXX"
              value={typed}
              onInput={(event) => {
                typed.value = event.currentTarget.value;
              }}
            />
          )}
        </Labelled>
        <button type="submit" class="main">
          Continue
        </button>
      </form>
      <p class="aside">
        You teach? <a href="/console">Open the instructor's console</a>
      </p>
    </Plain>
  );
}
